package health

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/registry"
)

// frozen is a view that is behind.
type frozen struct {
	*region
	view *registry.View
}

func (f frozen) View() *registry.View { return f.view }

// world is the backends that fake probes reach: which instance answers what, and who probed when.
type world struct {
	mu     sync.Mutex
	start  time.Time
	health map[string]pb.Health // by address:port; missing: passing
	takes  time.Duration
	probes map[string][]probed
	flying int
	most   int
}

type probed struct {
	at   time.Duration
	node string
}

func newWorld() *world {
	return &world{start: time.Now(), health: map[string]pb.Health{}, probes: map[string][]probed{}}
}

// attach makes a node probe this world.
func (w *world) attach(n *Runner) *Runner {
	n.probe = func(ctx context.Context, t target, _ io.Closer) outcome {
		at := t.addr.String()
		w.mu.Lock()
		w.probes[at] = append(w.probes[at], probed{time.Since(w.start), n.cfg.Node})
		w.flying++
		w.most = max(w.most, w.flying)
		takes := w.takes
		w.mu.Unlock()
		if takes > 0 {
			select {
			case <-time.After(takes):
			case <-ctx.Done():
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.flying--
		h, ok := w.health[at]
		if !ok {
			h = passing
		}
		return outcome{health: h, output: fmt.Sprintf("%v says so", at)}
	}
	return n
}

func (w *world) set(h pb.Health, addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range addrs {
		w.health[a] = h
	}
}

// since gives the probes of an address from a time on.
func (w *world) since(addr string, from time.Duration) []probed {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.probes[addr]
	i, _ := slices.BinarySearchFunc(all, from, func(p probed, at time.Duration) int { return int(p.at - at) })
	return slices.Clone(all[i:])
}

const backend = "10.0.0.1:80"

// alone starts one node with its world; everything is still when it returns.
func alone(t *testing.T) (*region, *world, *Runner) {
	r, w := newRegion(t), newWorld()
	n := w.attach(r.node("n1"))
	t.Cleanup(run(t, n))
	synctest.Wait()
	return r, w, n
}

func TestActive_Lifecycle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, _ := alone(t)
		r.register(tcpInstance("web", "1", 2))
		expect := func(what string, want pb.Health) {
			t.Helper()
			synctest.Wait()
			if got := r.health("web", "1"); got != want {
				t.Errorf("%v %s: health %v, want %v", time.Since(w.start), what, got, want)
			}
		}
		expect("registered: probed at once", passing)
		if p, s := r.counts(); p != 1 || s != 1 {
			t.Errorf("the first success made %d operations with %d transitions", p, s)
		}

		time.Sleep(time.Minute)
		expect("nothing changed", passing)
		if p, s := r.counts(); p != 0 || s != 0 {
			t.Errorf("a minute without a change made %d operations with %d transitions", p, s)
		}

		w.set(critical, backend)
		time.Sleep(2*time.Second + 10*time.Millisecond)
		expect("failed once of two", passing)
		time.Sleep(2 * time.Second)
		expect("failed twice", critical)
		if got := r.output("web", "1"); got != backend+" says so" {
			t.Errorf("output %q", got)
		}

		w.set(warning, backend)
		time.Sleep(2 * time.Second)
		expect("warns", warning)
		w.set(passing, backend)
		time.Sleep(2 * time.Second)
		expect("is back", passing)
		if p, s := r.counts(); p != 3 || s != 3 {
			t.Errorf("three transitions made %d operations with %d transitions", p, s)
		}
	})
}

func TestActive_Schedule(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, _ := alone(t)
		w.takes = 300 * time.Millisecond
		r.register(tcpInstance("web", "1", 1))
		time.Sleep(20 * time.Second)
		all := w.since(backend, 0)
		if all[0].at > time.Millisecond {
			t.Errorf("the first probe came after %v, not at once", all[0].at)
		}
		if gap := all[1].at - all[0].at; gap < 500*time.Millisecond || gap > 1300*time.Millisecond {
			t.Errorf("the second probe came %v after the first", gap)
		}
		for i := 2; i < len(all); i++ {
			if gap := all[i].at - all[i-1].at; gap != time.Second {
				t.Errorf("probe %d came %v after the one before, whatever a probe takes it is to be 1 s", i, gap)
			}
		}
	})
}

// TestActive_SlowProbes: a probe that takes longer than the interval is not made up for.
func TestActive_SlowProbes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, _ := alone(t)
		w.takes = 2500 * time.Millisecond
		r.register(tcpInstance("web", "1", 1))
		time.Sleep(30 * time.Second)
		all := w.since(backend, 5*time.Second)
		for i := 1; i < len(all); i++ {
			if gap := all[i].at - all[i-1].at; gap != 3*time.Second {
				t.Errorf("probe %d came %v after the one before", i, gap)
			}
		}
		if w.most != 1 {
			t.Errorf("%d probes of one check at a time", w.most)
		}
	})
}

// TestActive_Start: a node that starts spreads the checks whose health is known, and probes the others at once.
func TestActive_Start(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w := newRegion(t), newWorld()
		const n = 200
		for i := range n {
			in := tcpInstance("web", fmt.Sprint(i), 10)
			in.Port = uint32(1000 + i)
			r.register(in)
		}
		stop := run(t, w.attach(r.node("n1")))
		time.Sleep(time.Second)
		for i := range n {
			if len(w.since(fmt.Sprintf("10.0.0.1:%d", 1000+i), 0)) != 1 {
				t.Fatalf("check %d was not probed within a second", i)
			}
		}
		stop()

		w = newWorld()
		t.Cleanup(run(t, w.attach(r.node("n1"))))
		time.Sleep(10 * time.Second)
		var parts [5]int
		for i := range n {
			all := w.since(fmt.Sprintf("10.0.0.1:%d", 1000+i), 0)
			if len(all) == 0 {
				t.Fatalf("check %d was not probed within its interval", i)
			}
			parts[min(all[0].at/(2*time.Second), 4)]++
		}
		for i, c := range parts {
			if c < n/5/2 {
				t.Errorf("%d of %d first probes in fifth %d of the interval", c, n, i)
			}
		}
		if p, _ := r.counts(); p > n+n/perWrite {
			t.Errorf("%d operations", p)
		}
	})
}

// TestActive_TenThousand: the probes in flight are bounded, every check is probed in its interval all the same, and
// transitions that come together are written together.
func TestActive_TenThousand(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w := newRegion(t), newWorld()
		const n = 10000
		for i := range n / 100 {
			for j := range 100 {
				in := tcpInstance(fmt.Sprintf("web%d", i), fmt.Sprint(j), 10)
				in.Address, in.Port = fmt.Sprintf("10.1.%d.%d", i, j+1), 80
				r.register(in)
			}
		}
		w.takes = 500 * time.Millisecond
		r.counts()
		t.Cleanup(run(t, w.attach(r.node("n1"))))
		time.Sleep(21 * time.Second)
		synctest.Wait()
		for i := range n / 100 {
			for j := range 100 {
				at := fmt.Sprintf("10.1.%d.%d:80", i, j+1)
				if got := len(w.since(at, 0)); got < 2 || got > 3 {
					t.Fatalf("%s was probed %d times in two intervals", at, got)
				}
				if h := r.health(fmt.Sprintf("web%d", i), fmt.Sprint(j)); h != passing {
					t.Fatalf("%s is %v", at, h)
				}
			}
		}
		if w.most > defaultMaxProbes {
			t.Errorf("%d probes in flight, the limit is %d", w.most, defaultMaxProbes)
		}
		if p, s := r.counts(); s != n || p > n/8 {
			t.Errorf("%d checks made %d operations with %d transitions", n, p, s)
		}
	})
}

// TestActive_Stops: what drains or is gone is not probed again, and a check made again starts anew.
func TestActive_Stops(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, n := alone(t)
		r.register(tcpInstance("web", "1", 1))
		time.Sleep(5 * time.Second)
		r.drain("web", "1")
		synctest.Wait()
		at := time.Since(w.start)
		time.Sleep(5 * time.Second)
		if got := w.since(backend, at+1); len(got) != 0 {
			t.Errorf("draining, but probed at %v", got)
		}
		r.register(tcpInstance("web", "1", 1))
		time.Sleep(2 * time.Second)
		if got := w.since(backend, at+1); len(got) < 2 {
			t.Errorf("not draining any more, but probed at %v only", got)
		}
		r.deregister("web", "1")
		synctest.Wait()
		at = time.Since(w.start)
		w.set(critical, backend)
		time.Sleep(5 * time.Second)
		if got := w.since(backend, at+1); len(got) != 0 {
			t.Errorf("gone, but probed at %v", got)
		}
		if n.active.Load() != 0 {
			t.Errorf("%d checks left", n.active.Load())
		}
		// Another instance of the same name is another instance: the first failure decides.
		r.register(tcpInstance("web", "1", 1))
		synctest.Wait()
		if got := r.health("web", "1"); got != critical || r.output("web", "1") == "" {
			t.Errorf("registered anew: %v, %q", got, r.output("web", "1"))
		}
	})
}

// TestActive_NewDefinition: a changed check is probed as it is now, at once, and keeps its health until then.
func TestActive_NewDefinition(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, _ := alone(t)
		r.register(tcpInstance("web", "1", 10))
		time.Sleep(time.Second)
		in := tcpInstance("web", "1", 5)
		in.Port = 81
		at := time.Since(w.start)
		r.register(in)
		synctest.Wait()
		if got := w.since("10.0.0.1:81", at); len(got) != 1 || got[0].at != at {
			t.Errorf("the new port was probed at %v, it changed at %v", got, at)
		}
		if got := r.health("web", "1"); got != passing {
			t.Errorf("health %v", got)
		}
		time.Sleep(20 * time.Second)
		if old := w.since(backend, at+1); len(old) != 0 {
			t.Errorf("the old port was probed at %v", old)
		}
	})
}

// TestWriter_Retries: a transition is written once writing works again, and only if it still holds then.
func TestWriter_Retries(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, _ := alone(t)
		for i := range 3 {
			in := tcpInstance("web", fmt.Sprint(i), 1)
			in.Port = uint32(80 + i)
			r.register(in)
		}
		time.Sleep(3 * time.Second)
		r.counts()
		r.setFail(fault.New(fault.Unavailable, "no leader"))
		w.set(critical, "10.0.0.1:80", "10.0.0.1:81", "10.0.0.1:82")
		time.Sleep(10 * time.Second)
		if p, s := r.counts(); s != 0 || p < 3 || p > 30 {
			t.Errorf("while writing fails: %d operations tried", p)
		}
		w.set(passing, "10.0.0.1:81")
		time.Sleep(2 * time.Second)
		r.setFail(nil)
		r.deregister("web", "2")
		time.Sleep(3 * time.Second)
		synctest.Wait()
		for id, want := range []pb.Health{critical, passing, pb.Health_HEALTH_UNSPECIFIED} {
			if got := r.health("web", fmt.Sprint(id)); got != want {
				t.Errorf("instance %d: %v, want %v", id, got, want)
			}
		}
	})
}

// TestWriter_OneLostCheck: a transition whose check is gone does not take the others of its operation with it.
func TestWriter_OneLostCheck(t *testing.T) {
	r := newRegion(t)
	n := r.node("n1")
	var ts []transition
	for i := range 5 {
		in := tcpInstance("web", fmt.Sprint(i), 1)
		r.register(in)
		ts = append(ts, transition{key: key("web", fmt.Sprint(i)).Check("tcp")})
		ts[i].state, _ = ts[i].state.Observe(time.Now(), true, "ok", check.Policy{})
	}
	stale := r.View()
	r.deregister("web", "3")
	r.counts()
	n.writer.cfg.Views = frozen{r, stale}
	n.writer.add(ts...)
	go func() { <-n.writer.written; <-n.writer.written; <-n.writer.written; <-n.writer.written }()
	if !n.writer.round(t.Context()) {
		t.Error("the round wants to be tried again")
	}
	if p, s := r.counts(); s != 4 || p != 6 {
		t.Errorf("%d operations wrote %d transitions, want 6 and 4", p, s)
	}
	if n.writer.has(ts[3].key) {
		t.Error("the lost check is still queued")
	}
	if r.health("web", "3") != pb.Health_HEALTH_UNSPECIFIED {
		t.Error("the late status brought the instance back")
	}
}
