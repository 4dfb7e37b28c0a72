package federation

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// TestClone_RelaysOfManyNodes: the two copies hear different regions, and what answers them there are nodes that do not lead, which
// hear of nobody. Both are written to equally fast, so that neither is ever far ahead of the other.
func TestClone_RelaysOfManyNodes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.region("alpha"), w.region("beta"), w.region("gamma")
		for _, s := range []*site{b, c} { // only the nodes that do not lead are known to others
			s.share([]string{s.start("n2").address})
		}
		w.mesh(a, b, c)
		for _, s := range w.regions {
			s.federate(a)
		}
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		both := []string{a.servers[0].address, fmt.Sprintf("10.0.0.%d:8302", 200+a.n)}
		a.share(both)
		w.until(20*time.Second, "the addresses are known", func() bool {
			return len(b.fed().book.find(a.id).doc.GetAddresses()) == 2 && len(c.fed().book.find(a.id).doc.GetAddresses()) == 2
		})
		w.converge(15 * time.Second)
		clone := w.cloneOf(a)
		clone.at(both[1])
		clone.share(both)
		w.cut(b, clone)
		w.cut(c, a)
		time.Sleep(20 * time.Second) // the links that were there before have ended: nobody hears of both
		clone.start("n1")
		clone.store.lead("n1")
		w.until(20*time.Second, "each hears one copy", func() bool { return b.fed().routes.direct(a.id) && c.fed().routes.direct(a.id) })
		time.Sleep(10 * time.Second)
		w.until(60*time.Second, "one copy stops", func() bool {
			for _, s := range []*site{a, clone} {
				_, _ = s.store.apply(writing(putOf(instance("web/1"), s.servers[0].address)))
			}
			time.Sleep(200 * time.Millisecond)
			return (a.status().GetFence() == pb.Fence_FENCE_CLONE) != (clone.status().GetFence() == pb.Fence_FENCE_CLONE)
		})
	})
}

// TestClone: two living copies of a region. One stops, nobody else diverges, and an operator decides.
func TestClone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		clone := w.cloneOf(a)
		clone.at(fmt.Sprintf("10.0.0.%d:8302", clone.n))
		// Both have the addresses of both; beta reaches the one, gamma the other.
		both := []string{a.servers[0].address, clone.servers[0].address}
		a.share(both)
		clone.share(both)
		w.cut(b, clone)
		w.cut(c, a)
		w.until(20*time.Second, "the addresses are known", func() bool {
			return len(b.fed().book.find(a.id).doc.GetAddresses()) == 2 && len(c.fed().book.find(a.id).doc.GetAddresses()) == 2
		})
		defer b.forward(a)()
		defer c.forward(a)()
		clone.start("n1")
		clone.store.lead("n1")
		n := 0
		fenced := func() (stopped, lives *site) {
			x, y := a.status().GetFence(), clone.status().GetFence()
			switch {
			case x == pb.Fence_FENCE_CLONE && y == pb.Fence_FENCE_NONE:
				return a, clone
			case y == pb.Fence_FENCE_CLONE && x == pb.Fence_FENCE_NONE:
				return clone, a
			}
			return nil, nil
		}
		w.until(90*time.Second, "one copy stops", func() bool {
			n++
			for _, s := range []*site{a, clone} { // what is fenced refuses them
				_, _ = s.store.apply(writing(putOf(instance(fmt.Sprint("web/", n%20)), fmt.Sprint(s.servers[0].address, n))))
			}
			time.Sleep(200 * time.Millisecond)
			s, _ := fenced()
			return s != nil
		})
		stopped, lives := fenced()
		time.Sleep(10 * time.Second)
		if s, _ := fenced(); s != stopped {
			t.Fatalf("they did not stay so: %v, %v", a.status().GetFence(), clone.status().GetFence())
		}
		lives.put(config("app"), "of the living")
		w.heal(b, clone)
		w.heal(c, a)
		w.until(60*time.Second, "the living copy is what others have", func() bool { return b.behind(lives) == "" && c.behind(lives) == "" })
		if st := stopped.status(); !strings.Contains(st.GetFenceReason(), "copy") || st.GetFencedAt() == nil {
			t.Errorf("status %v", st)
		}
		t.Logf("incarnation %d lives; %d fences at one, %d at the other", lives.status().GetIncarnation(), a.store.counted(record.OpFence), clone.store.counted(record.OpFence))
		// The operator stops the other one, and lets this one go on.
		lives.servers[0].stop()
		if _, err := stopped.fed().Unfence(context.Background(), record.Writer{Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
		stopped.put(config("app"), "of the one that goes on")
		w.until(60*time.Second, "it goes on", func() bool { return b.behind(stopped) == "" && c.behind(stopped) == "" })
		if _, err := stopped.fed().Unfence(context.Background(), record.Writer{Actor: "ada"}); fault.KindOf(err) != fault.Conflict {
			t.Errorf("what is not fenced was unfenced: %v", err)
		}
	})
}

// TestShown_Broken: heads that a peer shows and that do not parse end the call, and fence nobody.
func TestShown_Broken(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a := w.region("alpha")
		many := bytes.Repeat([]byte{1, 'x'}, maxShown+1)
		for what, heads := range map[string][]byte{"cut off": {9, 1}, "no size": {0x80}, "too many": many} {
			if err := a.fed().answerShown(t.Context(), heads); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := a.fed().answerShown(t.Context(), many[2:]); err != nil || a.status().GetFence() != pb.Fence_FENCE_NONE {
			t.Errorf("heads of nobody: %v, fence %v", err, a.status().GetFence())
		}
	})
}
