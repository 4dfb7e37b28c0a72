package federation

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"supercluster/region/record"
	"supercluster/region/state"
)

// fullSize is the environment variable that gives the tests of bulk their full size.
const fullSize = "SUPERCLUSTER_FEDERATION_FULL"

func sized(small, full int) int {
	if os.Getenv(fullSize) != "" {
		return full
	}
	return small
}

// behindBy makes two regions of which the second is cut off while the first changes n keys.
func (w *world) behindBy(n int, change func(a *site, i int)) (a, b *site) {
	a, b = w.region("alpha"), w.region("beta")
	w.mesh(a, b)
	a.federate(a)
	b.federate(a)
	a.put(instance("web/first"), "here")
	w.converge(20 * time.Second)
	w.cut(a, b)
	for i := range n {
		change(a, i)
	}
	return a, b
}

// TestCatchUp: many keys changed during a cut; real time over loopback with a round trip of 100 ms. 10,000 keys, or 100,000
// with SUPERCLUSTER_FEDERATION_FULL=1, and then in at most 10 s after the link is up.
func TestCatchUp(t *testing.T) {
	w := newUDP(t, 100*time.Millisecond)
	defer w.close()
	n := sized(10_000, 100_000)
	a, b := w.behindBy(n, func(a *site, i int) {
		a.put(instance(fmt.Sprintf("web/%06d", i)), "a value of some length: 10.20.30.40:8080")
	})
	heal := time.Now()
	w.heal(a, b)
	w.until(30*time.Second, "the first comes", func() bool { return b.has(a, instance("web/000000"), "a value of some length: 10.20.30.40:8080") })
	first := time.Now()
	w.until(2*time.Minute, "the last comes", func() bool {
		_, found := b.of(a, instance(fmt.Sprintf("web/%06d", n-1)))
		return found
	})
	took := time.Since(first)
	w.converge(20 * time.Second)
	entries := b.store.counted(record.OpImport)
	t.Logf("%d keys: the first %v after the heal, the last %v later, in %d entries, of which the largest has %d bytes; %.0f keys/s",
		n, first.Sub(heal), took, entries, b.store.largest, float64(n)/took.Seconds())
	if n == 100_000 && took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if entries > n/100 {
		t.Errorf("%d entries for %d changes", entries, n)
	}
}

// TestMemory: a peer that fell far behind costs neither end memory beside the rows, which the twin keeps there too: what the
// heap has over a straight line from before to after, drawn by the records taken over. 30,000 small changes, or 1,000,000
// with SUPERCLUSTER_FEDERATION_FULL=1.
func TestMemory(t *testing.T) {
	w := newUDP(t, 20*time.Millisecond)
	w.tuning.KeepRecords = 2_000_000
	defer w.close()
	n := sized(30_000, 1_000_000)
	a, b := w.behindBy(n, func(a *site, i int) { a.put(instance(fmt.Sprintf("web/%d", i%1000)), fmt.Sprint(i)) })
	// While the heap is measured the receiver's store takes nothing: all that may wait waits then, and nothing else is made.
	var gate sync.RWMutex
	b.store.mu.Lock()
	b.store.refuse = func(*record.Op) error {
		gate.RLock()
		defer gate.RUnlock()
		return nil
	}
	b.store.mu.Unlock()
	type sample struct{ heap, at uint64 }
	measure := func() sample {
		gate.Lock()
		defer gate.Unlock()
		time.Sleep(300 * time.Millisecond)
		runtime.GC()
		runtime.GC() // what was made during the first
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		s, _, err := state.FeedStateOf(b.store.pin(), b.alias(a), uint32(record.ClassEndpoints))
		if err != nil {
			t.Error(err)
		}
		return sample{m.HeapAlloc, s.Position.Sequence}
	}
	first := measure()
	w.heal(a, b)
	var during []sample
	w.until(10*time.Minute, "all comes", func() bool {
		during = append(during, measure())
		time.Sleep(100 * time.Millisecond)
		return b.behind(a) == ""
	})
	time.Sleep(time.Second)
	last := measure()
	worst := int64(0)
	for _, s := range during {
		share := float64(s.at-first.at) / float64(last.at-first.at)
		line := float64(first.heap) + share*(float64(last.heap)-float64(first.heap))
		worst = max(worst, int64(s.heap)-int64(line))
	}
	t.Logf("%d changes: the heap went from %d to %d MiB, and was at most %d MiB over the line in %d samples", n, first.heap>>20, last.heap>>20, worst>>20, len(during))
	if worst > 64<<20 {
		t.Errorf("%d bytes are held", worst)
	}
}
