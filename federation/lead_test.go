package federation

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/region/record"
)

// TestLeaderChange: the leadership of a region of two nodes goes back and forth under writes on both sides.
func TestLeaderChange(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 30*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		a.start("n2")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		n := 0
		for turn := range 20 {
			for range 15 {
				a.put(instance(fmt.Sprint("a/", n)), "a")
				b.put(instance(fmt.Sprint("b/", n)), "b")
				n++
				time.Sleep(7 * time.Millisecond)
			}
			a.store.lead([]string{"n2", "n1"}[turn%2])
			time.Sleep(time.Duration(turn*turn) * 5 * time.Millisecond)
		}
		w.converge(15 * time.Second)
		for _, pair := range [][2]*site{{a, b}, {b, a}} {
			at, from := pair[0], pair[1]
			for i := range n {
				k := instance(fmt.Sprint(from.name[:1], "/", i))
				k.Scope = at.alias(from)
				if at.store.events[k] != 1 {
					t.Errorf("%s saw %d events of %s", at.name, at.store.events[k], k.Name)
				}
			}
			if at.store.counted(record.OpFence) > 0 {
				t.Errorf("%s fenced itself", at.name)
			}
		}
		w.until(5*time.Second, "verified", func() bool {
			v, err := a.fed().Verify(context.Background(), time.Second)
			return err == nil && v.GetEqual()
		})
		w.verify(b)
		// The node that does not lead knows ages all the same, and that it holds no link.
		other := a.servers[1].fed
		w.until(3*time.Second, "both nodes know how old it is", func() bool {
			age, ok := other.Age(b.id)
			mine, ok2 := a.fed().Age(b.id)
			return ok && ok2 && age < 2*time.Second && mine < 2*time.Second
		})
		if l := other.Links(); len(l.GetLinks()) != 0 {
			t.Errorf("links of a node that does not lead: %v", l)
		}
	})
}

// TestLeaderChange_LinkFollows: a link is kept with the server that leads the peer, whichever that is.
func TestLeaderChange_LinkFollows(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 30*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		a.start("n2")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		for turn, node := range []string{"n2", "n1", "n2"} {
			a.store.lead(node)
			w.until(10*time.Second, "the link is with "+node, func() bool {
				l := b.fed().Links().GetLinks()
				return len(l) == 1 && l[0].GetAddress() == a.addressOf(node)
			})
			a.put(instance(fmt.Sprint("a/", turn)), "a")
			w.converge(15 * time.Second)
		}
	})
}

// TestLeaderChange_TwoImporters: for a while both nodes take themselves for the leader.
func TestLeaderChange_TwoImporters(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 30*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		a.start("n2")
		a.store.mu.Lock()
		a.store.both = true
		a.store.mu.Unlock()
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		for i := range 300 {
			b.put(instance(fmt.Sprint("b/", i)), "b")
			time.Sleep(5 * time.Millisecond)
		}
		w.converge(15 * time.Second)
		for i := range 300 {
			k := instance(fmt.Sprint("b/", i))
			if k.Scope = a.alias(b); a.store.events[k] != 1 {
				t.Errorf("%d events of %s", a.store.events[k], k.Name)
			}
		}
	})
}

// TestAges_OfANodeThatIsBehind: a node that does not have yet what its leader has does not call its copy as fresh as that.
func TestAges_OfANodeThatIsBehind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 30*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		f := a.fed()
		payload, err := f.encodeAges()
		if err != nil {
			t.Fatal(err)
		}
		w.cut(a, b)
		time.Sleep(20 * time.Second)
		ahead := slices.Clone(payload)
		ahead[len(ahead)-1]++ // one revision that this node does not have
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := f.takeAges(ctx, ahead, time.Now()); err == nil {
			t.Error("ages of rows that are not here were taken in")
		}
		if age, _ := f.Age(b.id); age < 15*time.Second {
			t.Errorf("the copy is called %v old after a cut of 20 s", age)
		}
		// The leader said it at most 3 s after it was asked: then the copy may be as old as that.
		if err := f.takeAges(context.Background(), payload, time.Now().Add(-3*time.Second)); err != nil {
			t.Error(err)
		}
		if age, _ := f.Age(b.id); age < 3*time.Second || age > 5*time.Second {
			t.Errorf("the copy is called %v old, although the leader was asked 3 s ago", age)
		}
	})
}

// TestVerify_RightAfterAStart: a node that does not know the regions yet does not take that for having no peer.
func TestVerify_RightAfterAStart(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 30*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		a.servers[0].stop()
		a.start("n1")
		v, err := a.fed().Verify(context.Background(), time.Second)
		if err != nil || len(v.GetResults()) == 0 || v.GetEqual() {
			t.Errorf("before the link is up: %v, %v", v, err)
		}
		a.store.lead("n1")
	})
}
