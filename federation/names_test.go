package federation

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// rename gives a region another name, which nobody whom it hears has.
func (s *site) rename(name string) {
	s.w.t.Helper()
	if _, err := s.fed().Rename(context.Background(), name, record.Writer{Actor: "ada"}); err != nil {
		s.w.t.Fatal(err)
	}
}

// calls reports whether a name means a region to another one.
func (s *site) calls(o *site, name string) bool {
	id, err := s.fed().RegionID(name)
	return err == nil && id == o.id
}

// TestRename_OneNameForTwo: two regions that are cut from each other take one name. Every region says so, and none takes it for one of the
// two, but each of them for itself, until one is renamed.
func TestRename_OneNameForTwo(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.converge(15 * time.Second)
		w.linked()
		w.isolate(b, true)
		a.rename("x")
		b.rename("x")
		w.until(10*time.Second, "gamma has heard of the new name", func() bool { return c.calls(a, "x") })
		w.isolate(b, false)
		w.until(30*time.Second, "all say so", func() bool {
			return a.saysShared("x", a, b) && b.saysShared("x", a, b) && c.saysShared("x", a, b)
		})
		_, err := c.fed().RegionID("x")
		for _, s := range []*site{a, b} {
			id := hex.EncodeToString(s.id[:])
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), id) {
				t.Errorf("the name is refused with %v", err)
			}
			if !s.calls(s, "x") || !c.calls(s, s.name) || !c.calls(s, id) || c.fed().Name(s.id) != id {
				t.Errorf("%s is no longer found by its id, its old name, or by itself", s.name)
			}
		}
		if a.fed().Name(b.id) == "x" || a.fed().Name(a.id) != "x" {
			t.Errorf("alpha calls itself %q and beta %q", a.fed().Name(a.id), a.fed().Name(b.id))
		}
		if _, err := c.fed().Rename(t.Context(), "x", record.Writer{}); !fault.Is(err, fault.Exists) {
			t.Errorf("a third one: %v", err)
		}
		b.rename("y")
		w.until(10*time.Second, "the confusion is over", func() bool {
			return c.calls(a, "x") && c.calls(b, "y") && b.calls(a, "x") && len(c.status().GetDisagreements()) == 0
		})
	})
}

// saysShared reports whether the status of a region names a name that others have, with their ids.
func (s *site) saysShared(name string, all ...*site) bool {
	s.w.t.Helper()
	said := s.status().GetDisagreements()
	if len(said) != 1 || said[0].GetRegion() != name {
		return false
	}
	for _, o := range all {
		if !strings.Contains(said[0].GetProblem(), hex.EncodeToString(o.id[:])) {
			return false
		}
	}
	return true
}

// TestJoin_NameIsTakenHere: who accepts an invitation and has another peer of the inviter's name refuses before the inviter hears of it:
// the invitation is not used then.
func TestJoin_NameIsTakenHere(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c, d := w.region("alpha"), w.region("beta"), w.region("gamma"), w.region("delta")
		c.rename("alpha")
		w.until(time.Second, "gamma is called alpha", func() bool { return c.fed().Name(c.id) == "alpha" })
		accept := func(inv *pb.Invitation) error {
			_, err := b.fed().Accept(t.Context(), inv, record.Writer{Actor: "ada"})
			return err
		}
		if err := accept(invite(t, c)); err != nil {
			t.Fatal(err)
		}
		w.until(time.Second, "beta knows gamma", func() bool { return b.calls(c, "alpha") })
		inv := invite(t, a)
		if err := accept(inv); !fault.Is(err, fault.Exists) {
			t.Errorf("a second region called alpha: %v", err)
		}
		if peers, err := a.fed().Peers(); err != nil || len(peers) != 0 {
			t.Errorf("the region that invited has %d peers, %v", len(peers), err)
		}
		c.rename("other")
		w.until(20*time.Second, "beta knows the new name", func() bool { return b.calls(c, "other") })
		stranger := proto.CloneOf(invite(t, a))
		stranger.RegionId = hex.EncodeToString(c.id[:])
		if err := accept(stranger); !fault.Is(err, fault.Exists) {
			t.Errorf("a peer with another CA: %v", err)
		}
		if err := accept(inv); !fault.Is(err, fault.Exists) {
			t.Errorf("an old name of a peer: %v", err)
		}
		if _, err := d.fed().Accept(t.Context(), inv, record.Writer{Actor: "ada"}); err != nil {
			t.Errorf("a region that knows nobody: %v", err)
		}
	})
}
