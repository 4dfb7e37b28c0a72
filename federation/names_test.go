package federation

import (
	"context"
	"encoding/hex"
	"strings"
	"testing"
	"time"

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
