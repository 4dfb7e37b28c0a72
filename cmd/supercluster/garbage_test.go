package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestPercentFor_LeavesGarbageBesideWhatIsLive(t *testing.T) {
	for _, test := range []struct {
		live uint64
		want int
	}{
		{0, 6400}, {1 << 20, 6400}, {16 << 20, 400}, {25 << 20, 256}, {64 << 20, 100}, {65 << 20, 100}, {8 << 30, 100},
	} {
		if got := percentFor(test.live); got != test.want {
			t.Errorf("%d live bytes: %d %%, want %d", test.live, got, test.want)
		}
	}
	for _, test := range []struct {
		now, next int
		want      bool
	}{{100, 100, false}, {100, 110, false}, {100, 111, true}, {110, 100, false}, {111, 100, true}} {
		if got := worthIt(test.now, test.next); got != test.want {
			t.Errorf("from %d to %d: %t, want %t", test.now, test.next, got, test.want)
		}
	}
}

// TestLetGarbageGather_FollowsWhatIsLive: the percentage falls when much is held, and rises again when it is let go.
func TestLetGarbageGather_FollowsWhatIsLive(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	if !letGarbageGather() {
		t.Fatal("it does not begin")
	}
	// What other tests left behind is live too.
	follows := func(percent int, live uint64) bool { return !worthIt(percent, percentFor(live)) }
	awaitPercent(t, "little is live", follows)
	held := make([]byte, 4*minGarbage)
	awaitPercent(t, "much is live", func(percent int, live uint64) bool { return percent == 100 && live > 4*minGarbage })
	runtime.KeepAlive(held)
	held = nil
	awaitPercent(t, "it was let go", func(percent int, live uint64) bool { return follows(percent, live) && live < 4*minGarbage })
}

// awaitPercent collects until the percentage is as wanted: the cleanup runs some time after a collection.
func awaitPercent(t *testing.T, when string, ok func(percent int, live uint64) bool) {
	t.Helper()
	samples := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/heap/live:bytes"}}
	for deadline := time.Now().Add(10 * time.Second); ; {
		runtime.GC()
		metrics.Read(samples)
		percent, live := int(samples[0].Value.Uint64()), samples[1].Value.Uint64()
		if ok(percent, live) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: the percentage is %d with %d live bytes", when, percent, live)
		}
	}
}

func TestLetGarbageGather_LeavesTheOperatorsWish(t *testing.T) {
	t.Setenv("GOGC", "70")
	if letGarbageGather() {
		t.Error("it does not leave GOGC alone")
	}
}
