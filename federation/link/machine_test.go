package link

import (
	"testing"
	"time"
)

func TestWatchdog(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	w := watchdog{patience: 15 * time.Second}
	stalled := func(s int) string {
		worst, bad := w.check(at(s))
		if !bad {
			return ""
		}
		return worst.feed
	}
	expect := func(s int, want string) {
		t.Helper()
		if got := stalled(s); got != want {
			t.Errorf("at %d s: %q stalls, not %q", s, got, want)
		}
	}
	expect(0, "")
	w.report("a", 10, 10, at(0))
	expect(1000, "") // nothing to wait for, for ever
	w.report("a", 11, 10, at(1000))
	expect(1014, "")
	expect(1015, "a")
	if !w.report("a", 12, 11, at(1015)) {
		t.Error("an advance does not count")
	}
	expect(1029, "")
	w.report("b", 5, 1, at(1020))
	if w.report("a", 99, 11, at(1029)) { // a head that moves is no advance
		t.Error("a head alone counts as an advance")
	}
	expect(1030, "a")
	expect(1036, "a") // the worse of both
	w.report("a", 99, 99, at(1036))
	expect(1036, "b")
	if w.report("b", 5, 0, at(1036)) { // back is no advance
		t.Error("a step back counts as an advance")
	}
	expect(1037, "b")
	w.reset()
	expect(2000, "")
}

func TestSpread(t *testing.T) {
	const window, rtt = 2 << 20, 100 * time.Millisecond
	s := spread{window: window}
	now := time.Unix(0, 0)
	for i, step := range []struct {
		backlog bool
		rate    float64
		want    int
	}{
		{false, 1e6, 1},
		{true, 0, 1},    // nothing moves: more connections help nobody
		{true, 15e6, 1}, // the window is the limit
		{true, 1e6, 2},
		{true, 2e6, 3}, // it helped
		{true, 3e6, 4},
		{true, 4e6, 4}, // no more than four
		{true, 4e6, 4},
		{false, 4e6, 1},
		{true, 1e6, 2},
		{true, 1.05e6, 1}, // it did not help
		{true, 1e6, 1},    // and is not tried again for a while
	} {
		now = now.Add(spreadEvery)
		if got := s.step(now, step.backlog, step.rate, rtt); got != step.want {
			t.Errorf("step %d: %d connections, not %d", i, got, step.want)
		}
	}
	if got := s.step(now.Add(spreadHold), true, 1e6, rtt); got != 2 {
		t.Errorf("after the pause: %d connections", got)
	}
}

// TestSpread_Steady: what comes steadily from far away has as many connections as keep a loss from becoming a queue.
func TestSpread_Steady(t *testing.T) {
	s, now := spread{}, time.Unix(0, 0)
	for i, step := range []struct {
		after time.Duration
		rate  float64
		rtt   time.Duration
		want  int
	}{
		{needEvery, 0, 300 * time.Millisecond, farLeast},
		{needEvery, 16e3, 300 * time.Millisecond, farLeast},
		{needEvery, 45e3, 300 * time.Millisecond, 3},
		{needEvery, 10e6, 300 * time.Millisecond, maxConnections},
		{needEvery, 0, 300 * time.Millisecond, maxConnections}, // it may come again
		{spreadHold, 45e3, 300 * time.Millisecond, 3},
		{spreadHold, 45e3, 80 * time.Millisecond, farLeast},
		{spreadHold, 10e6, 20 * time.Millisecond, 1}, // not far
	} {
		now = now.Add(step.after)
		if got := s.steady(now, step.rate, step.rtt); got != step.want {
			t.Errorf("step %d: %d connections, not %d", i, got, step.want)
		}
	}
}
