package node

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

func TestGather_Siblings(t *testing.T) {
	now := time.Unix(1_000, 0)
	tests := []struct {
		name         string
		size, queued int
		ago          time.Duration // the last group ended
		want         int
	}{
		{"one alone", 0, 1, time.Hour, 0},
		{"few", 8, 8, 0, 0},
		{"just too few", 24, 23, 0, 0},
		{"many", 40, 60, 0, 87},
		{"all of them in the last group", 64, 1, gatherTime, 56},
		{"one long after many", 256, 1, gatherTime + 1, 0},
		{"more than go beside another group", 128, 128, 0, besideOps},
	}
	for _, tt := range tests {
		g := gather{size: tt.size, ended: now.Add(-tt.ago)}
		if got := g.siblings(tt.queued, now); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// writers run closed loops: each writes, thinks and writes again.
func writers(t *testing.T, b *workbench, n, writes int, think time.Duration) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			for range writes {
				if _, err := b.g.propose(context.Background(), put("a")); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(think)
			}
		})
	}
	all.Wait()
}

func TestGrouper_ManyWritersShareGroups(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, func(int, *record.Entry) fate { return fate{after: 3 * time.Millisecond} })
		const n, writes = 100, 20
		writers(t, b, n, writes, 500*time.Microsecond)
		b.stop()
		// In two halves that take turns it would be 40 groups.
		if got := len(b.log.entries()); got > writes*3/2 {
			t.Errorf("%d groups for %d rounds of %d writers", got, writes, n)
		}
	})
}

func TestGrouper_ManyGoBesideAGroupOnItsWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 2, nil)
		b.log.hold = make(chan struct{})
		var callers sync.WaitGroup
		send := func(n int) {
			for range n {
				callers.Go(func() {
					if _, err := b.g.propose(context.Background(), put("a")); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
		}
		onTheirWay := func() int {
			b.g.mu.Lock()
			defer b.g.mu.Unlock()
			return b.g.tracks[shared].busy
		}
		for _, step := range []struct{ more, groups int }{
			{1, 1},
			{besideOps - 1, 1}, // too few to go beside it
			{1, 2},
			{2 * besideOps, 2}, // and two are enough
		} {
			if send(step.more); onTheirWay() != step.groups {
				t.Errorf("after %d more: %d groups on their way, want %d", step.more, onTheirWay(), step.groups)
			}
		}
		close(b.log.hold)
		callers.Wait()
		b.stop()
		sizes := []int{}
		for _, e := range b.log.entries() {
			sizes = append(sizes, len(e.Ops))
		}
		slices.Sort(sizes) // the log took the first two at once
		if want := []int{1, besideOps, 2 * besideOps}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v", sizes, want)
		}
	})
}

func TestGrouper_FewWritersAndOneAloneNeverWait(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const after = 3 * time.Millisecond
		b := newWorkbench(t, 1, func(int, *record.Entry) fate { return fate{after: after} })
		began := time.Now()
		writers(t, b, 1, 10, 0)
		if took := time.Since(began); took != 10*after {
			t.Errorf("one writer took %v for 10 writes of %v", took, after)
		}
		writers(t, b, 100, 2, 0)
		time.Sleep(10 * gatherTime)
		began = time.Now()
		writers(t, b, 1, 1, 0)
		if took := time.Since(began); took != after {
			t.Errorf("one writer after many took %v, not %v", took, after)
		}
	})
}

func TestGrouper_GatheringEndsWithItsTimeAndWithTheRun(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, func(int, *record.Entry) fate { return fate{after: time.Millisecond} })
		writers(t, b, 100, 1, 0)
		began := time.Now()
		writers(t, b, 1, 1, 0) // 99 siblings never come back
		if took := time.Since(began); took != gatherTime+time.Millisecond {
			t.Errorf("took %v", took)
		}
		writers(t, b, 100, 1, 0)
		ended := make(chan error)
		go func() {
			_, err := b.g.propose(context.Background(), put("a"))
			ended <- err
		}()
		time.Sleep(gatherTime / 2)
		b.stop()
		if err := <-ended; fault.KindOf(err) != fault.Unavailable {
			t.Errorf("at the end of the run: %v: %v", fault.KindOf(err), err)
		}
	})
}

func TestReap_CancelledCallersAreAnsweredSoon(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, func(int, *record.Entry) fate { return fate{lost: true} })
		ctx, cancel := context.WithCancel(t.Context())
		kinds := make(chan fault.Kind, 2)
		write := func() {
			_, err := b.g.propose(ctx, put("a"))
			kinds <- fault.KindOf(err)
		}
		go write() // in a group that gets no answer
		time.Sleep(time.Millisecond)
		go write() // queued behind it
		time.Sleep(time.Millisecond)
		cancel()
		began := time.Now()
		got := map[fault.Kind]bool{<-kinds: true, <-kinds: true}
		if !got[fault.OutcomeUnknown] || !got[fault.Canceled] {
			t.Errorf("answered as %v", got)
		}
		if took := time.Since(began); took > reapEvery {
			t.Errorf("after %v", took)
		}
	})
}

func TestReap_RestsWhenNothingWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		writers(t, b, 10, 3, time.Millisecond)
		time.Sleep(2 * reapEvery)
		b.g.mu.Lock()
		defer b.g.mu.Unlock()
		if !b.g.reaper.at.IsZero() || len(b.g.reaper.groups) != 0 {
			t.Errorf("it looks again at %v at %d groups", b.g.reaper.at, len(b.g.reaper.groups))
		}
	})
}
