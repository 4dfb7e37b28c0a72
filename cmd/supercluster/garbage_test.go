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
		live, garbage uint64
		want          int
	}{
		{0, 64 << 20, 6400},
		{1 << 20, 64 << 20, 6400},
		{16 << 20, 64 << 20, 400},
		{25 << 20, 64 << 20, 256},
		{64 << 20, 64 << 20, 100},
		{65 << 20, 64 << 20, 100},
		{8 << 30, 64 << 20, 100},
		{32 << 20, 256 << 20, 800},
		{8 << 30, 256 << 20, 100},
	} {
		if got := percentFor(test.live, test.garbage); got != test.want {
			t.Errorf("%d live bytes, %d of garbage: %d %%, want %d", test.live, test.garbage, got, test.want)
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

func TestMostGarbage_IsASixteenthOfTheMemory(t *testing.T) {
	for _, test := range []struct{ memory, want uint64 }{
		{0, 64 << 20}, {512 << 20, 64 << 20}, {1 << 30, 64 << 20}, {2 << 30, 128 << 20}, {4 << 30, 256 << 20}, {1 << 40, 256 << 20},
	} {
		if got := mostGarbage(test.memory); got != test.want {
			t.Errorf("%d bytes of memory: %d, want %d", test.memory, got, test.want)
		}
	}
}

func TestGarbageFor_IsWhatIsMadeInFourSeconds(t *testing.T) {
	for _, test := range []struct {
		allocated uint64
		took      time.Duration
		most      uint64
		want      uint64
	}{
		{0, 0, maxGarbage, 64 << 20},
		{8 << 20, time.Millisecond, maxGarbage, 64 << 20}, // a process that begins
		{64 << 20, time.Minute, maxGarbage, 64 << 20},
		{64 << 20, 4 * time.Second, maxGarbage, 64 << 20},
		{64 << 20, 3 * time.Second, maxGarbage, 128 << 20},
		{128 << 20, 4 * time.Second, maxGarbage, 128 << 20}, // what was given lasts as long as it should
		{256 << 20, 5 * time.Second, maxGarbage, 256 << 20},
		{64 << 20, time.Second, maxGarbage, 256 << 20},
		{1 << 30, time.Second, maxGarbage, 256 << 20},
		{1 << 30, time.Second, 100 << 20, 100 << 20},
		{1 << 30, time.Second, minGarbage, 64 << 20},
	} {
		if got := garbageFor(test.allocated, test.took, test.most); got != test.want {
			t.Errorf("%d bytes in %v, at most %d: %d, want %d", test.allocated, test.took, test.most, got, test.want)
		}
	}
}

func TestMemoryOfProcess_IsKnown(t *testing.T) {
	const machine = 1 << 50
	if got := memoryOfProcess(); got < 64<<20 || got > machine {
		t.Errorf("%d bytes", got)
	}
}

// TestGathering_GathersMoreWhereMuchIsMade: the percentage rises where much garbage came in a second, and falls after it.
func TestGathering_GathersMoreWhereMuchIsMade(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	now := time.Now()
	g := newGathering(4<<30, now)
	g.adjust(now)
	// What it asked for, not what the runtime has: another test's gathering goes on after it.
	after := func(took time.Duration) (percent int, live uint64) {
		runtime.GC()
		now = now.Add(took)
		g.adjust(now)
		return g.percent, g.heap[0].Value.Uint64()
	}
	for range 80 {
		garbage = make([]byte, 1<<20)
	}
	garbage = nil
	if percent, live := after(time.Second); worthIt(percent, percentFor(live, maxGarbage)) {
		t.Errorf("80 MiB in a second: %d %% beside %d live bytes", percent, live)
	}
	if percent, live := after(10 * time.Second); worthIt(percent, percentFor(live, minGarbage)) {
		t.Errorf("nothing in 10 s: %d %% beside %d live bytes", percent, live)
	}
}

// garbage escapes.
var garbage []byte

// TestLetGarbageGather_FollowsWhatIsLive: the percentage falls when much is held, and rises again when it is let go.
func TestLetGarbageGather_FollowsWhatIsLive(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	if !letGarbageGather(0) {
		t.Fatal("it does not begin")
	}
	// What other tests left behind is live too.
	follows := func(percent int, live uint64) bool { return !worthIt(percent, percentFor(live, minGarbage)) }
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
	samples := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: liveBytes}}
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
	if letGarbageGather(0) {
		t.Error("it does not leave GOGC alone")
	}
}
