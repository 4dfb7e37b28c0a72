package federation

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/link"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

func invite(t testing.TB, s *site) *pb.Invitation {
	t.Helper()
	inv, err := s.fed().Invite(context.Background(), 0, record.Writer{Actor: "olive"})
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// joinedBy is who made a region a peer, or changed what is known of it last.
func (s *site) joinedBy(o *site) string {
	s.w.t.Helper()
	rec, _, err := state.Get(s.store.pin(), registry.RegionRecordKey(o.id), 0)
	if err != nil {
		s.w.t.Fatal(err)
	}
	actor, err := state.ActorOf(s.store.pin(), record.ShardSystem, rec.ModifyRevision)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return actor
}

func TestJoin(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		p, err := b.fed().Accept(context.Background(), invite(t, a), record.Writer{Actor: "ada"})
		if err != nil || p.GetRegion().GetName() != "alpha" || len(p.GetFingerprints()) != 1 {
			t.Fatalf("%v, %v", p, err)
		}
		if mine, theirs := b.joinedBy(a), a.joinedBy(b); mine != "ada" || theirs != "olive" {
			t.Errorf("one side was made a peer by %q, the other by %q", mine, theirs)
		}
		a.links(b)
		b.links(a)
		a.federate(a)
		b.federate(a)
		a.put(config("app"), "one")
		b.put(instance("web/1"), "of beta")
		w.converge(15 * time.Second)
		w.verify()
		// A region that joins again, as it was, stays what it was.
		if _, err := b.fed().Accept(context.Background(), invite(t, a), record.Writer{Actor: "ada"}); err != nil {
			t.Errorf("to join again: %v", err)
		}
		w.converge(15 * time.Second)
	})
}

func TestJoin_Refused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.region("alpha"), w.region("beta"), w.region("gamma")
		other := w.plan("alpha") // another region of the same name
		other.id[0] ^= 0xff
		other.store = newTwin(t)
		other.do(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: other.id, Name: "alpha"}})
		other.start("n1")
		other.store.lead("n1")
		alter := func(change func(inv *pb.Invitation)) *pb.Invitation {
			inv := invite(t, a)
			change(inv)
			return inv
		}
		used := invite(t, a)
		if _, err := b.fed().Accept(context.Background(), used, record.Writer{Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
		expired, err := a.fed().Invite(context.Background(), time.Second, record.Writer{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		later := proto.CloneOf(expired)
		later.Expires = timestamppb.New(time.Now().Add(time.Hour))
		for _, x := range []struct {
			name string
			by   *site
			inv  *pb.Invitation
			want fault.Kind
		}{
			{"used", c, used, fault.Denied},
			{"used by the same", b, used, fault.Denied},
			{"expired", c, expired, fault.Denied},
			{"expired, with another end", c, later, fault.Denied},
			{"wrong secret", c, alter(func(i *pb.Invitation) { i.Secret[0] ^= 1 }), fault.Denied},
			{"altered certificate", c, alter(func(i *pb.Invitation) { i.CaCertificates = [][]byte{b.ca.cert.Raw} }), fault.Denied},
			{"altered certificate and fingerprint", c, alter(func(i *pb.Invitation) {
				i.CaCertificates, i.Fingerprint = [][]byte{b.ca.cert.Raw}, fingerprint(b.ca.cert.Raw)
			}), fault.Denied},
			{"address of another region", c, alter(func(i *pb.Invitation) { i.Addresses = []string{b.servers[0].address} }), fault.Denied},
			{"another region's id", c, alter(func(i *pb.Invitation) { i.RegionId = hex.EncodeToString(b.id[:]) }), fault.Denied},
			{"no secret", c, alter(func(i *pb.Invitation) { i.Secret = nil }), fault.Invalid},
			{"its own", a, invite(t, a), fault.Invalid},
			{"nobody there", c, alter(func(i *pb.Invitation) { i.Addresses = []string{"10.9.9.9:8302"} }), fault.Unavailable},
			{"the same name", other, invite(t, a), fault.Exists},
		} {
			if _, err := x.by.fed().Accept(context.Background(), x.inv, record.Writer{Actor: "ada"}); fault.KindOf(err) != x.want {
				t.Errorf("%s: %v, not %v", x.name, err, x.want)
			}
		}
		for s, want := range map[*site]int{a: 1, b: 1, c: 0, other: 0} {
			if peers, err := s.fed().Peers(); err != nil || len(peers) != want {
				t.Errorf("%s has %d peers, %v", s.name, len(peers), err)
			}
		}
	})
}

// knock shows a document of the test's choice to a region.
func (s *site) knock(t testing.TB, to *site, doc *pb.Region, secret []byte) error {
	t.Helper()
	ctx := context.Background()
	c, err := s.fed().endpoint.DialJoin(ctx, to.id, to.servers[0].address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(nil)
	stream, err := c.Open(ctx, link.ClassCalls)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	document, err := marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	signature := s.fed().cfg.Identity.Sign(append([]byte(documentContext), document...))
	body, err := marshal(&pb.JoinRequest{Secret: secret, Region: &pb.SignedRegion{Document: document, Signature: signature[:]}})
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(ctx, link.Message{Type: frameCall, Body: append([]byte{1, callJoin}, body...)}); err != nil {
		t.Fatal(err)
	}
	m, err := stream.Recv(ctx)
	if err != nil {
		return err
	}
	return decodeAnswer(m.Body[1:]).err
}

func TestJoin_DocumentOfAnother(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.region("alpha"), w.region("beta"), w.region("gamma")
		a.knows(b)
		w.until(time.Second, "beta is known", func() bool { return a.fed().book.find(b.id) != nil })
		inv := invite(t, a)
		mixed := c.document()
		mixed.Id = b.document().GetId()
		// The thief has a CA of its own, and a certificate by it for the id of a region that is a peer already.
		thief := w.plan("thief")
		thief.id = b.id
		thief.store = newTwin(t)
		thief.do(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: b.id, Name: "thief"}})
		thief.start("n1")
		named := thief.document()
		named.Name = "beta"
		bare, borrowed, foreign := c.document(), c.document(), c.document()
		bare.FeedKey = nil
		borrowed.FeedKey = b.document().GetFeedKey()
		foreign.CaCertificates = b.document().GetCaCertificates()
		for _, x := range []struct {
			name string
			by   *site
			doc  *pb.Region
			want fault.Kind
		}{
			{"the document of another", c, b.document(), fault.Denied},
			{"the feed key of another", c, borrowed, fault.Denied},
			{"the CA of another", c, foreign, fault.Unauthenticated},
			{"the id of another", c, mixed, fault.Denied},
			{"no feed key", c, bare, fault.Invalid},
			{"the region itself", c, a.document(), fault.Denied},
			{"a peer's id under another CA", thief, thief.document(), fault.Exists},
			{"a peer's id and name under another CA", thief, named, fault.Exists},
		} {
			if err := x.by.knock(t, a, x.doc, inv.GetSecret()); fault.KindOf(err) != x.want {
				t.Errorf("%s: %v, not %v", x.name, err, x.want)
			}
		}
		if p := a.fed().book.find(b.id); !bytes.Equal(p.doc.GetFeedKey(), b.document().GetFeedKey()) {
			t.Error("another region took the place of a peer")
		}
		if err := c.knock(t, a, c.document(), inv.GetSecret()); err != nil {
			t.Errorf("the invitation was used up by what was refused: %v", err)
		}
	})
}

func TestJoin_FloodIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.region("alpha"), w.region("beta"), w.region("gamma")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(10*time.Second, a, b)
		ctx := context.Background()
		open := 0
		for range 12 { // they say nothing
			conn, err := c.fed().endpoint.DialJoin(ctx, a.id, a.servers[0].address)
			if err != nil {
				continue
			}
			open++
			defer conn.Close(nil)
		}
		time.Sleep(100 * time.Millisecond)
		joining := 0
		for _, conn := range a.fed().endpoint.Conns() {
			if conn.Peer().Region == ([16]byte{}) && !conn.Dialed() {
				joining++
			}
		}
		if open == 0 || joining > 4 {
			t.Errorf("%d connections were opened, %d are being served", open, joining)
		}
		inv := invite(t, a)
		if _, err := c.fed().Accept(ctx, inv, record.Writer{Actor: "ada"}); err == nil {
			t.Error("one more region could join at once")
		}
		a.put(config("app"), "meanwhile")
		w.converge(2*time.Second, a, b)
		time.Sleep(callTimeout + time.Second)
		if _, err := c.fed().Accept(ctx, inv, record.Writer{Actor: "ada"}); err != nil {
			t.Errorf("after the flood: %v", err)
		}
	})
}

// Who is not let in is one line of the log that says so, whatever it did.
func TestJoin_RefusalIsLoggedOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		text := &lines{}
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		w.log = slog.New(slog.NewTextHandler(text, nil))
		a, b := w.region("alpha"), w.region("beta")
		inv := invite(t, a)
		inv.Secret[0] ^= 1
		for _, x := range []struct {
			does func() error
			says string
		}{
			{func() error { _, err := b.fed().Accept(t.Context(), inv, record.Writer{}); return err }, "the invitation is not one of this region"},
			{func() error { return b.callOther(t, a) }, "may only join"},
		} {
			text.take()
			if err := x.does(); err == nil {
				t.Error("it was let in")
			}
			time.Sleep(time.Minute)
			got := text.take()
			if len(got) != 1 || !strings.Contains(got[0], "level=WARN") || !strings.Contains(got[0], "not let in") || !strings.Contains(got[0], x.says) {
				t.Errorf("%d lines, want one about %q:\n%s", len(got), x.says, strings.Join(got, ""))
			}
		}
	})
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

// take gives the lines since the last time.
func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// callOther makes another call than that to join.
func (s *site) callOther(t testing.TB, to *site) error {
	t.Helper()
	c, err := s.fed().endpoint.DialJoin(t.Context(), to.id, to.servers[0].address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(nil)
	stream, err := c.Open(t.Context(), link.ClassCalls)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := stream.Send(t.Context(), link.Message{Type: frameCall, Body: []byte{1, callOffers}}); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv(t.Context())
	return err
}
