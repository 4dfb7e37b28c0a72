package federation

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

// A document is taken as its region signed it, with what only a newer version knows of it, or not at all.
func TestDocument_Signed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		good, err := a.fed().signedDocument()
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.fed().signedDocument()
		if err != nil {
			t.Fatal(err)
		}
		doc, err := openDocument(good)
		if err != nil || doc.GetName() != "alpha" {
			t.Fatalf("%v, %v", doc, err)
		}
		newer := append(append([]byte(nil), good.GetDocument()...), 0xfa, 0x7f, 2, 'h', 'i') // field 2047
		signature := a.fed().cfg.Identity.Sign(append([]byte(documentContext), newer...))
		if _, err := openDocument(&pb.SignedRegion{Document: newer, Signature: signature[:]}); err != nil {
			t.Errorf("a newer one: %v", err)
		}
		bare := a.fed().cfg.Identity.Sign(good.GetDocument())
		for name, x := range map[string]struct {
			s    *pb.SignedRegion
			want fault.Kind
		}{
			"nothing":             {nil, fault.Invalid},
			"no document":         {&pb.SignedRegion{Signature: good.GetSignature()}, fault.Invalid},
			"no message":          {&pb.SignedRegion{Document: []byte{0xff}, Signature: good.GetSignature()}, fault.Invalid},
			"no signature":        {&pb.SignedRegion{Document: good.GetDocument()}, fault.Denied},
			"of another":          {&pb.SignedRegion{Document: good.GetDocument(), Signature: other.GetSignature()}, fault.Denied},
			"of something else":   {&pb.SignedRegion{Document: good.GetDocument(), Signature: bare[:]}, fault.Denied},
			"something was added": {&pb.SignedRegion{Document: newer, Signature: good.GetSignature()}, fault.Denied},
		} {
			if _, err := openDocument(proto.CloneOf(x.s)); fault.KindOf(err) != x.want {
				t.Errorf("%s: %v, not %v", name, err, x.want)
			}
		}
	})
}
