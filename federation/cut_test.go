package federation

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"supercluster/federation/feed"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

func TestCutAndHeal(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		for i := range 20 {
			a.put(config(fmt.Sprint("app", i)), "before")
			for _, s := range w.regions {
				s.put(instance(fmt.Sprint("web/", i)), "before")
			}
		}
		w.converge(15 * time.Second)
		chunked := map[*site]int{}
		for _, s := range w.regions {
			chunked[s] = s.store.chunked
		}
		before := map[[2]*site]map[string]string{}
		for _, s := range w.regions {
			for _, o := range w.regions {
				before[[2]*site{s, o}] = s.shown(o)
			}
		}
		w.isolate(c, true)
		cutAt := time.Now()
		for i := range 40 {
			for _, s := range w.regions {
				s.put(instance(fmt.Sprint("web/", i)), "during")
				s.delete(instance("web/0"))
			}
			a.put(config(fmt.Sprint("app", i)), "during")
			time.Sleep(500 * time.Millisecond)
		}
		for _, pair := range [][2]*site{{a, c}, {b, c}, {c, a}, {c, b}} {
			if got := pair[0].shown(pair[1]); !maps.Equal(got, before[pair]) {
				t.Errorf("%s no longer shows what it had of %s when it was cut: %d records of %d", pair[0].name, pair[1].name, len(got), len(before[pair]))
			}
			gone := time.Since(cutAt)
			if age, ok := pair[0].fed().Age(pair[1].id); !ok || age < gone-2*time.Second || age > gone+2*time.Second {
				t.Errorf("%s: %s was cut for %v and is %v old", pair[0].name, pair[1].name, gone, age)
			}
		}
		for _, l := range c.fed().Links().GetLinks() {
			if l.GetState() != "connecting" || l.GetLastError() == "" {
				t.Errorf("link %v", l)
			}
		}
		if a.behind(b) != "" && b.behind(a) != "" {
			t.Error("the others did not go on without the one that was cut")
		}
		w.isolate(c, false)
		took := w.converge(20 * time.Second)
		w.linked()
		w.verify()
		for _, s := range w.regions {
			if s.store.chunked != chunked[s] {
				t.Errorf("%s took %d records from snapshots, where the log had all", s.name, s.store.chunked-chunked[s])
			}
		}
		w.until(3*time.Second, "fresh", func() bool {
			age, ok := c.fed().Age(a.id)
			return ok && age < 1500*time.Millisecond
		})
		t.Logf("equal %v after the cut was healed", took)
	})
}

// TestWatchdog: a channel does not advance although its connection lives.
func TestWatchdog(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(10 * time.Second)
		stuck := func(op *record.Op) error {
			if op.Import != nil && len(op.Import.Records) > 0 {
				return fault.New(fault.Unavailable, "stuck")
			}
			return nil
		}
		b.store.mu.Lock()
		b.store.refuse = stuck
		b.store.mu.Unlock()
		a.put(config("app"), "one")
		w.until(30*time.Second, "the link counts as stalled", func() bool {
			l := b.fed().Links().GetLinks()
			return len(l) == 1 && l[0].GetStalls() > 0 && l[0].GetState() == "stalled"
		})
		b.store.mu.Lock()
		b.store.refuse = nil
		b.store.mu.Unlock()
		w.converge(20 * time.Second)
		w.until(10*time.Second, "the link is up", func() bool { return b.fed().Links().GetLinks()[0].GetState() == "up" })
	})
}

// TestBlackHole: one direction, then both, lose everything.
func TestBlackHole(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(10 * time.Second)
		for n, lose := range []func(bool){
			func(on bool) { w.oneWay(a, b, on) },
			func(on bool) { w.oneWay(b, a, on) },
			func(on bool) { w.oneWay(a, b, on); w.oneWay(b, a, on) },
		} {
			lose(true)
			a.put(config("app"), fmt.Sprint(n))
			b.put(instance("web/1"), fmt.Sprint(n))
			time.Sleep(25 * time.Second)
			if n != 1 && b.has(a, config("app"), fmt.Sprint(n)) {
				t.Error("something came through")
			}
			lose(false)
			took := w.converge(15 * time.Second)
			t.Logf("case %d: equal after %v", n, took)
		}
		w.linked()
		w.verify()
	})
}

// TestWatchdog_LongSnapshot: a snapshot that takes longer than a feed may stand still is not disturbed.
func TestWatchdog_LongSnapshot(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(10 * time.Second)
		w.cut(a, b)
		w.until(20*time.Second, "the connection ended", func() bool { return b.fed().Links().GetLinks()[0].GetState() != "up" })
		// Each of these is a chunk alone, since it is larger than a chunk is made; what else is there fits into one more.
		const big, each = 24, 3 * time.Second
		value := string(make([]byte, 300<<10))
		for i := range big {
			a.put(instance(fmt.Sprint("big/", i)), value)
		}
		rows := a.store.pin()
		s, _, err := state.FeedStateOf(rows, state.AliasSelf, uint32(record.ClassEndpoints))
		if err != nil {
			t.Fatal(err)
		}
		a.do(record.Op{Type: record.OpTrimFeed, TrimFeed: &record.TrimFeed{RegionID: a.id, Channel: uint32(record.ClassEndpoints), Through: s.Position.Sequence}})
		b.store.mu.Lock()
		b.store.lateness = func(op *record.Op) {
			if op.Replace != nil {
				time.Sleep(each)
			}
		}
		b.store.mu.Unlock()
		chunks := b.store.counted(record.OpReplace)
		w.heal(a, b)
		took := w.converge(2 * time.Minute)
		l := b.fed().Links().GetLinks()[0]
		if chunks = b.store.counted(record.OpReplace) - chunks; l.GetStalls() > 0 || len(value) <= feed.MaxBatchBytes || chunks > big+1 || took < (big-1)*each {
			t.Errorf("%d chunks in %v, %d stalls", chunks, took, l.GetStalls())
		}
	})
}
