package federation

import (
	"fmt"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
)

// Two living copies of a region in one incarnation, each heard by one region alone, which has a link of its own to what it
// takes for the region. Only because regions compare in turns what they hear of each does a copy learn what the other signed.
func TestClone_HeardApart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		elsewhere := fmt.Sprintf("10.0.0.%d:8302", 200+a.n)
		both := []string{a.servers[0].address, elsewhere}
		a.share(both)
		w.until(20*time.Second, "the addresses are known", func() bool {
			return len(b.fed().book.find(a.id).doc.GetAddresses()) == 2 && len(c.fed().book.find(a.id).doc.GetAddresses()) == 2
		})
		w.converge(15 * time.Second)
		clone := w.cloneOf(a) // equal in all, its addresses too
		clone.share(both)
		clone.at(elsewhere)
		w.cut(b, clone)
		w.cut(c, a)
		w.cut(b, c) // so that the copy is not told by way of them what the other one wrote before it was up
		clone.start("n1")
		clone.store.lead("n1")
		for n := range 8 {
			if n < 5 {
				a.put(instance(fmt.Sprint("web/", n)), "of the one")
			}
			clone.put(instance(fmt.Sprint("web/", n)), "of the other")
		}
		w.until(30*time.Second, "each is heard by one", func() bool { return b.behind(a) == "" && c.behind(clone) == "" })
		for _, s := range []*site{a, clone} {
			if got := s.status(); got.GetFence() != pb.Fence_FENCE_NONE || got.GetIncarnation() != 1 {
				t.Fatalf("before anybody can know, one has incarnation %d and says %q", got.GetIncarnation(), got.GetFenceReason())
			}
		}
		w.heal(b, c)
		w.until(90*time.Second, "one copy stops", func() bool {
			x, y := a.status().GetFence(), clone.status().GetFence()
			return (x == pb.Fence_FENCE_CLONE) != (y == pb.Fence_FENCE_CLONE)
		})
	})
}
