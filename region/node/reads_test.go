package node

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

func newReadBench(t *testing.T, log *fakeLog) (*reads, *atomic.Bool) {
	t.Helper()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	leader := &atomic.Bool{}
	leader.Store(true)
	r := newReads(leader.Load, m)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.run(ctx, log)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return r, leader
}

// One ReadIndex serves all who arrived before it began; who arrives later waits for the next one.
func TestReads_ShareButNeverJoinWhatBegan(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := newFakeLog(nil)
		log.hold = make(chan struct{})
		r, _ := newReadBench(t, log)
		var readers sync.WaitGroup
		read := func() {
			readers.Go(func() {
				if err := r.linearize(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		read()
		synctest.Wait()
		for range 100 {
			read()
		}
		synctest.Wait()
		if log.reads != 1 {
			t.Errorf("%d in flight", log.reads)
		}
		close(log.hold)
		readers.Wait()
		if log.reads != 2 {
			t.Errorf("101 readers took %d", log.reads)
		}
		if age, ok := r.age(); !ok || age > time.Second {
			t.Errorf("age %v, %v", age, ok)
		}
	})
}

func TestReads_LostAndDroppedGoAgain(t *testing.T) {
	tests := []struct {
		name string
		read func(nth int) fate
		max  time.Duration
	}{
		{"lost", func(n int) fate { return fate{lost: n == 1} }, readRetry},
		{"dropped", func(n int) fate { return fate{dropped: n < 3} }, 2 * leaderPause},
		{"refused", func(n int) fate {
			switch n {
			case 1:
				return fate{refuse: errFakeNotReady}
			case 2:
				return fate{refuse: errFakeBusy}
			}
			return fate{}
		}, leaderPause + busyPause},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				log := newFakeLog(nil)
				log.read = tt.read
				r, _ := newReadBench(t, log)
				began := time.Now()
				if err := r.linearize(context.Background()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took > tt.max {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// The age counts from when the ReadIndex began that got an answer, not from one that was lost or from the answer.
func TestReads_AgeCountsFromTheBeginning(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := newFakeLog(nil)
		log.read = func(n int) fate { return fate{lost: n == 1, after: 100 * time.Millisecond} }
		r, _ := newReadBench(t, log)
		if _, ok := r.age(); ok {
			t.Error("an age before the first read")
		}
		if err := r.linearize(context.Background()); err != nil {
			t.Fatal(err)
		}
		if age, ok := r.age(); !ok || age != 100*time.Millisecond {
			t.Errorf("age %v", age)
		}
	})
}

func TestReads_DeadlinesTellWhatIsKnown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		log := newFakeLog(nil)
		log.read = func(int) fate { return fate{dropped: true} }
		r, leader := newReadBench(t, log)
		leader.Store(false)
		ctx, cancel := within(time.Second)
		defer cancel()
		if err := r.linearize(ctx); !fault.Is(err, fault.Unavailable) {
			t.Errorf("without a leader: %v", err)
		}
		leader.Store(true)
		ctx, cancel = within(time.Second)
		defer cancel()
		if err := r.linearize(ctx); !fault.Is(err, fault.Deadline) {
			t.Errorf("with a leader: %v", err)
		}
		began := time.Now()
		if err := r.linearize(context.Background()); !fault.Is(err, fault.Deadline) || time.Since(began) > patience+time.Second {
			t.Errorf("without a deadline, after %v: %v", time.Since(began), err)
		}
	})
}
