package federation

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"supercluster/region/record"
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

// held gives the bytes in use that no store of a twin keeps: what stands in the heap profile and was not made while an
// operation was applied. The rows of a real store are on disk. It scales what the profile sampled, as pprof does.
func held() (bytes int64) {
	runtime.GC()
	runtime.GC() // what was made during the first
	records := make([]runtime.MemProfileRecord, 1<<16)
	n, ok := runtime.MemProfile(records, false)
	if !ok {
		return math.MaxInt64
	}
	for _, r := range records[:n] {
		if kept(r.Stack()) || r.InUseObjects() == 0 {
			continue
		}
		each := float64(r.InUseBytes()) / float64(r.InUseObjects())
		bytes += int64(float64(r.InUseBytes()) / (1 - math.Exp(-each/float64(runtime.MemProfileRate))))
	}
	return bytes
}

// kept reports whether a stack goes through the store of a twin.
func kept(stack []uintptr) bool {
	frames := runtime.CallersFrames(stack)
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "(*twin).apply") {
			return true
		}
		if !more {
			return false
		}
	}
}

// TestMemory: a peer that fell far behind costs neither end memory beside the rows of their stores. 30,000 small changes, or
// 1,000,000 with SUPERCLUSTER_FEDERATION_FULL=1.
func TestMemory(t *testing.T) {
	w := newUDP(t, 20*time.Millisecond)
	w.tuning.KeepRecords = 2_000_000
	defer w.close()
	n := sized(30_000, 1_000_000)
	a, b := w.behindBy(n, func(a *site, i int) { a.put(instance(fmt.Sprintf("web/%d", i%1000)), fmt.Sprint(i)) })
	// While memory is measured the receiver's store takes nothing: all that may wait waits then.
	var gate sync.RWMutex
	b.store.mu.Lock()
	b.store.refuse = func(*record.Op) error {
		gate.RLock()
		defer gate.RUnlock()
		return nil
	}
	b.store.mu.Unlock()
	measure := func() int64 {
		gate.Lock()
		defer gate.Unlock()
		time.Sleep(300 * time.Millisecond)
		return held()
	}
	first := measure()
	w.heal(a, b)
	worst, samples := int64(0), 0
	w.until(10*time.Minute, "all comes", func() bool {
		worst, samples = max(worst, measure()), samples+1
		time.Sleep(time.Duration(sized(100, 1000)) * time.Millisecond)
		return b.behind(a) == ""
	})
	t.Logf("%d changes: both ends held %d KiB before, and at most %d KiB in %d samples", n, first>>10, worst>>10, samples)
	if worst-first > 64<<20 {
		t.Errorf("%d bytes are held", worst-first)
	}
	if samples < 3 || worst < 1<<20 { // what is on its way at least
		t.Errorf("%d bytes in %d samples: that is no measurement", worst, samples)
	}
}
