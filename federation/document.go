package federation

import (
	"crypto/ed25519"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// A region's document is signed with the feed key that it names. At the first contact that proves that who joins has the key by which
// everything it sends from then on is judged, and that nobody changed the document on the way. Later the document is a record of the
// region's control channel, whose heads are signed with the same key.

// documentContext begins what is signed of a document, so that the signature is one of nothing else.
const documentContext = "supercluster region document\x00"

// signedDocument describes this region as it is, signed.
func (f *Federation) signedDocument() (*pb.SignedRegion, error) {
	document, err := marshal(f.fullDocument())
	if err != nil {
		return nil, err
	}
	signature := f.cfg.Identity.Sign(append([]byte(documentContext), document...))
	return &pb.SignedRegion{Document: document, Signature: signature[:]}, nil
}

// openDocument gives the document that a region made of itself.
func openDocument(s *pb.SignedRegion) (*pb.Region, error) {
	doc := &pb.Region{}
	if err := proto.Unmarshal(s.GetDocument(), doc); err != nil || len(s.GetDocument()) == 0 {
		return nil, fault.New(fault.Invalid, "the document of the region does not parse")
	}
	key := doc.GetFeedKey()
	if len(key) != ed25519.PublicKeySize {
		return nil, fault.New(fault.Invalid, "the document of the region names no feed key")
	}
	if !ed25519.Verify(key, append([]byte(documentContext), s.GetDocument()...), s.GetSignature()) {
		return nil, fault.New(fault.Denied, "the document of the region is not signed with the feed key that it names")
	}
	return doc, nil
}
