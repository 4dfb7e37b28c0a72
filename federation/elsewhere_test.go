package federation

import (
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// silence loses everything from and to a node, as if it had died without a word.
func (w *world) silence(dead *server) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.regions {
		for _, x := range s.servers {
			w.cuts[[2]string{dead.address, x.address}] = true
			w.cuts[[2]string{x.address, dead.address}] = true
		}
	}
}

// TestElsewhere_AllHadTheSameServer: the server of a region dies that both other regions are connected to. Each takes the other
// one for a relay, and has nothing for it; both find another server of the region, and go on with that at once.
func TestElsewhere_AllHadTheSameServer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 80*time.Millisecond)
		w.tuning = Tuning{}
		defer w.close()
		a, b, c := w.region("alpha"), w.region("beta"), w.region("gamma")
		a.start("n2")
		a.store.lead("n2")
		w.mesh(a, b, c)
		for _, s := range w.regions {
			s.federate(a)
		}
		a.put(config("app"), "before")
		w.converge(15 * time.Second)
		w.silence(a.servers[0])
		a.put(config("app"), "after")
		took := w.until(20*time.Second, "both regions have what is new", func() bool {
			return b.has(a, config("app"), "after") && c.has(a, config("app"), "after")
		})
		if t.Logf("after %v", took); took > 6500*time.Millisecond {
			t.Errorf("records came again only %v after the server had died", took)
		}
		w.until(5*time.Second, "direct", func() bool { return b.via(a) == "alpha" && c.via(a) == "alpha" })
		w.verify(b, c)
	})
}

// TestRelay_NobodyHasAnything: a region is cut off for a moment, and the others take each other for relays of it. Neither waits
// for the other one when the region is back.
func TestRelay_NobodyHasAnything(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 80*time.Millisecond)
		w.tuning = Tuning{}
		defer w.close()
		a, b, c := w.three()
		a.put(config("app"), "before")
		w.converge(15 * time.Second)
		w.isolate(a, true)
		a.put(config("app"), "after")
		w.until(5*time.Second, "the others are relays to each other", func() bool { return b.via(a) == "gamma" && c.via(a) == "beta" })
		w.isolate(a, false)
		took := w.until(20*time.Second, "both regions have what is new", func() bool {
			return b.has(a, config("app"), "after") && c.has(a, config("app"), "after")
		})
		if t.Logf("after %v", took); took > 3500*time.Millisecond {
			t.Errorf("records came again only %v after the region was back", took)
		}
	})
}
