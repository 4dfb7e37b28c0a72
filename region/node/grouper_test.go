package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// bench is a grouper on a fake log.
type workbench struct {
	g      *grouper
	log    *fakeLog
	leader atomic.Bool
	stop   func()
}

func newWorkbench(t *testing.T, depth int, plan func(nth int, e *record.Entry) fate) *workbench {
	t.Helper()
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &workbench{log: newFakeLog(plan)}
	b.leader.Store(true)
	b.g = newGrouper(1, 1, depth, slog.New(slog.DiscardHandler), m, b.leader.Load)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.g.run(ctx, b.log)
	}()
	b.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(b.stop)
	return b
}

func (b *workbench) elect(yes bool) {
	b.leader.Store(yes)
	b.g.wake()
}

func put(id string) record.Op {
	return record.Op{Type: record.OpTxn, Tenant: 1, RequestID: id, Txn: &record.Txn{
		Shard: record.ShardData,
		Then: []record.TxnOp{{Type: record.TxnPut, Value: []byte(id), Key: record.Key{
			Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindConfig, Name: id,
		}}},
	}}
}

func within(d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), d)
}

func TestGrouper_CollectsWhileAGroupIsOnItsWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		b.log.hold = make(chan struct{})
		var callers sync.WaitGroup
		call := func(id string) {
			callers.Go(func() {
				if _, err := b.g.propose(context.Background(), put(id)); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			})
			synctest.Wait()
		}
		call("first")
		for i := range 10 {
			call(fmt.Sprint(i))
		}
		close(b.log.hold)
		callers.Wait()
		b.stop()
		groups := b.log.entries()
		if len(groups) != 2 || len(groups[0].Ops) != 1 || len(groups[1].Ops) != 10 {
			t.Fatalf("%d groups", len(groups))
		}
		for i, op := range groups[1].Ops {
			if op.RequestID != fmt.Sprint(i) {
				t.Errorf("operation %d of the group is %s", i, op.RequestID)
			}
		}
		if groups[0].Sequence != 1 || groups[1].Sequence != 2 || groups[1].Replica != 1 || groups[1].Boot != 1 {
			t.Errorf("groups are named %d and %d", groups[0].Sequence, groups[1].Sequence)
		}
	})
}

func TestGrouper_GroupsAreBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		b.log.hold = make(chan struct{})
		var callers sync.WaitGroup
		send := func(n, size int) {
			for range n {
				op := put("x")
				op.RequestID = ""
				op.Txn.Then[0].Value = make([]byte, size)
				callers.Go(func() { _, _ = b.g.propose(context.Background(), op) })
			}
			synctest.Wait()
		}
		send(1, 1)
		send(maxGroupOps+1, 1)
		send(5, 100<<10)
		close(b.log.hold)
		callers.Wait()
		b.stop()
		for _, e := range b.log.entries() {
			if len(e.Ops) > maxGroupOps {
				t.Errorf("a group of %d operations", len(e.Ops))
			}
			if e.Size() > maxGroupBytes {
				t.Errorf("a group of %d bytes", e.Size())
			}
		}
	})
}

func TestGrouper_LostGroupGoesAgainUnderItsName(t *testing.T) {
	tests := []struct {
		name string
		plan func(nth int, e *record.Entry) fate
		// changes: the leader changes 100 ms after the write began
		changes bool
		max     time.Duration
		dup     bool
	}{
		{"the leader died with the message", func(n int, _ *record.Entry) fate { return fate{lost: n == 1} }, true, 110 * time.Millisecond, false},
		{"the message was lost, the leader lives", func(n int, _ *record.Entry) fate { return fate{lost: n == 1} }, false, firstRetry + 10*time.Millisecond, false},
		{"only the answer was lost", func(n int, _ *record.Entry) fate { return fate{mute: n == 1} }, false, firstRetry + 10*time.Millisecond, true},
		{"the first was only slow", func(n int, _ *record.Entry) fate {
			if n == 1 {
				return fate{after: 120 * time.Millisecond}
			}
			return fate{after: time.Second}
		}, true, 125 * time.Millisecond, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				b := newWorkbench(t, 2, tt.plan)
				if tt.changes {
					time.AfterFunc(80*time.Millisecond, func() { b.elect(false) })
					time.AfterFunc(100*time.Millisecond, func() { b.elect(true) })
				}
				ctx, cancel := within(5 * time.Second)
				defer cancel()
				began := time.Now()
				r, err := b.g.propose(ctx, put("a"))
				if err != nil || r.Duplicate != tt.dup {
					t.Fatalf("%+v, %v", r, err)
				}
				if took := time.Since(began); took > tt.max {
					t.Errorf("took %v", took)
				}
				time.Sleep(10 * time.Second) // whatever is still on its way arrives
				if n := b.log.times("a"); n != 1 {
					t.Errorf("it ran %d times", n)
				}
				for _, e := range b.log.entries() {
					if e.Sequence != 1 {
						t.Errorf("it went as group %d", e.Sequence)
					}
				}
			})
		})
	}
}

func TestGrouper_DroppedOperationsQueueAgain(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, func(n int, _ *record.Entry) fate {
			switch {
			case n <= 2:
				return fate{dropped: true}
			case n == 3:
				return fate{refuse: errFakeNotReady}
			case n == 4:
				return fate{refuse: errFakeBusy}
			}
			return fate{}
		})
		ctx, cancel := within(5 * time.Second)
		defer cancel()
		if _, err := b.g.propose(ctx, put("a")); err != nil {
			t.Fatal(err)
		}
		b.stop()
		if got := b.log.entries(); len(got) != 1 || got[0].Sequence != 5 {
			t.Errorf("%+v", got)
		}
	})
}

func TestGrouper_DeadlinesTellWhatIsKnown(t *testing.T) {
	tests := []struct {
		name   string
		plan   func(nth int, e *record.Entry) fate
		leader bool
		cancel bool
		want   fault.Kind
	}{
		{"no leader, never proposed", func(int, *record.Entry) fate { return fate{refuse: errFakeNotReady} }, false, false, fault.Unavailable},
		{"no leader, always dropped", func(int, *record.Entry) fate { return fate{dropped: true} }, false, false, fault.Unavailable},
		{"the log is full", func(int, *record.Entry) fate { return fate{refuse: errFakeBusy} }, true, false, fault.Deadline},
		{"proposed, not answered", func(int, *record.Entry) fate { return fate{lost: true} }, true, false, fault.OutcomeUnknown},
		{"proposed, then the leader went", func(int, *record.Entry) fate { return fate{lost: true} }, false, false, fault.OutcomeUnknown},
		{"lost once, then dropped", func(n int, _ *record.Entry) fate { return fate{lost: n == 1, dropped: n > 1} }, true, false, fault.OutcomeUnknown},
		{"the caller went away in time", func(int, *record.Entry) fate { return fate{dropped: true} }, false, true, fault.Canceled},
		{"the caller went away too late", func(int, *record.Entry) fate { return fate{lost: true} }, true, true, fault.OutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				b := newWorkbench(t, 2, tt.plan)
				b.elect(tt.leader)
				ctx, cancel := within(2013 * time.Millisecond)
				defer cancel()
				if tt.cancel {
					// Away from the moments at which a dropped operation is proposed again.
					time.AfterFunc(1234567*time.Microsecond, cancel)
				}
				_, err := b.g.propose(ctx, put("a"))
				if !fault.Is(err, tt.want) {
					t.Errorf("%v: %v, want %v", fault.KindOf(err), err, tt.want)
				}
			})
		})
	}
}

func TestGrouper_AnOperationWithoutADeadlineEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 2, func(int, *record.Entry) fate { return fate{lost: true} })
		began := time.Now()
		if _, err := b.g.propose(context.Background(), put("a")); !fault.Is(err, fault.OutcomeUnknown) {
			t.Error(err)
		}
		if took := time.Since(began); took > patience+time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestGrouper_WhatCanNotBeEncodedHurtsNobodyElse(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		b.log.hold = make(chan struct{})
		bad := record.Op{Type: record.OpTxn, Tenant: 1, RequestID: strings.Repeat("r", record.MaxRequestID+1), Txn: put("b").Txn}
		huge := put("huge")
		huge.Txn.Then[0].Value = make([]byte, record.MaxEntryBytes)
		if _, err := b.g.propose(context.Background(), huge); !fault.Is(err, fault.TooLarge) {
			t.Errorf("too large: %v", err)
		}
		var callers sync.WaitGroup
		errs := make([]error, 4)
		for i, op := range []record.Op{put("first"), put("a"), bad, put("c")} {
			callers.Go(func() { _, errs[i] = b.g.propose(context.Background(), op) })
			synctest.Wait()
		}
		close(b.log.hold)
		callers.Wait()
		for i, err := range errs {
			if (err != nil) != (i == 2) {
				t.Errorf("operation %d: %v", i, err)
			}
		}
	})
}

func TestGrouper_QueueIsBounded(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, nil)
		b.log.hold = make(chan struct{})
		var callers sync.WaitGroup
		var busy atomic.Int64
		for range maxQueuedOps + 100 {
			callers.Go(func() {
				if _, err := b.g.propose(context.Background(), record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: 1, Revision: 1}}); fault.Is(err, fault.Busy) {
					busy.Add(1)
				}
			})
			if busy.Load() == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		if n := busy.Load(); n < 90 || n > 100 {
			t.Errorf("%d were refused", n)
		}
		close(b.log.hold)
		callers.Wait()
	})
}

func TestGrouper_StopAnswersEverybody(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		b := newWorkbench(t, 1, func(int, *record.Entry) fate { return fate{lost: true} })
		errs := make(chan error, 2)
		for _, id := range []string{"on its way", "queued"} {
			go func() {
				_, err := b.g.propose(context.Background(), put(id))
				errs <- err
			}()
			synctest.Wait()
		}
		drained, cancel := within(time.Second)
		defer cancel()
		b.g.drain(drained)
		if err := <-errs; !fault.Is(err, fault.Unavailable) {
			t.Errorf("queued: %v", err)
		}
		b.stop()
		if err := <-errs; !fault.Is(err, fault.OutcomeUnknown) {
			t.Errorf("on its way: %v", err)
		}
		if _, err := b.g.propose(context.Background(), put("later")); !fault.Is(err, fault.Unavailable) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// Whatever is lost, dropped, delayed and muted, with leaders that come and go: nothing runs twice, what was
// acknowledged ran, what was answered with "nothing was done" never ran.
func TestGrouper_ExactlyOnceUnderFaults(t *testing.T) {
	for seed := range uint64(40) {
		bubble.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			var mu sync.Mutex
			draw := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return r.IntN(n)
			}
			b := newWorkbench(t, 1+int(seed%4), func(int, *record.Entry) fate {
				f := fate{after: time.Duration(draw(300)) * time.Millisecond}
				switch draw(8) {
				case 0:
					f.lost = true
				case 1:
					f.dropped = true
				case 2:
					f.mute = true
				case 3:
					f.refuse = errFakeBusy
				case 4:
					f.refuse = errFakeNotReady
				}
				return f
			})
			b.g.mu.Lock()
			b.g.enough = 2 // so that few callers have several groups on their way
			b.g.mu.Unlock()
			ctx, cancel := context.WithCancel(context.Background())
			go func() {
				for ctx.Err() == nil {
					time.Sleep(time.Duration(50+draw(500)) * time.Millisecond)
					b.elect(draw(3) > 0)
				}
			}()
			var callers sync.WaitGroup
			var outcomes sync.Map
			for c := range 12 {
				callers.Go(func() {
					for i := range 10 {
						id := fmt.Sprintf("%d/%d", c, i)
						ctx, cancel := within(time.Duration(50+draw(4000)) * time.Millisecond)
						_, err := b.g.propose(ctx, put(id))
						cancel()
						outcomes.Store(id, errors.Join(err))
					}
				})
			}
			callers.Wait()
			cancel()
			time.Sleep(time.Minute)
			b.stop()
			outcomes.Range(func(id, outcome any) bool {
				n := b.log.times(id.(string))
				err, _ := outcome.(error)
				switch {
				case n > 1:
					t.Errorf("seed %d: %v ran %d times", seed, id, n)
				case err == nil && n != 1:
					t.Errorf("seed %d: %v was acknowledged and ran %d times", seed, id, n)
				case err != nil && !fault.Is(err, fault.OutcomeUnknown) && n != 0:
					t.Errorf("seed %d: %v was answered %v and ran", seed, id, err)
				}
				return true
			})
		})
	}
}

func TestGrouper_HoldEndsWithTheNextLeaderOrItsTime(t *testing.T) {
	for _, elected := range []bool{true, false} {
		bubble.Test(t, func(t *testing.T) {
			b := newWorkbench(t, 2, func(int, *record.Entry) fate { return fate{after: 30 * time.Millisecond} })
			var callers sync.WaitGroup
			call := func(id string) (took *time.Duration) {
				took = new(time.Duration)
				began := time.Now()
				callers.Go(func() {
					if _, err := b.g.propose(context.Background(), put(id)); err != nil {
						t.Error(err)
					}
					*took = time.Since(began)
				})
				synctest.Wait()
				return took
			}
			call("on its way")
			began := time.Now()
			b.g.hold(context.Background(), holdTime)
			if waited := time.Since(began); waited != 30*time.Millisecond {
				t.Errorf("hold waited %v for what was on its way", waited)
			}
			took := call("held")
			want := holdTime // from the call to hold, which took 30 ms itself
			if elected {
				time.Sleep(50 * time.Millisecond)
				b.elect(true)
				want = 80 * time.Millisecond
			}
			callers.Wait()
			if *took != want {
				t.Errorf("elected %v: the held write took %v, want %v", elected, *took, want)
			}
		})
	}
}

// A group that is still on its way keeps its place in the state's window: no group goes that would take it.
func TestGrouper_NeverLeavesTheWindow(t *testing.T) {
	g := &grouper{}
	tests := []struct {
		open     []uint64
		sequence uint64
		want     bool
	}{
		{nil, 5_000, false},
		{[]uint64{7}, 7, false},
		{[]uint64{7, 1_029}, 7 + record.WindowSize - 2, false},
		{[]uint64{1_029, 7}, 7 + record.WindowSize - 1, true},
	}
	for _, tt := range tests {
		g.open, g.sequence = tt.open, tt.sequence
		if got := g.windowFull(); got != tt.want {
			t.Errorf("windowFull with %v open after %d = %v, want %v", tt.open, tt.sequence, got, tt.want)
		}
		for i := range g.tracks {
			track := &g.tracks[i]
			track.queue.push(&pending{})
			if got := g.mayBegin(track); got == tt.want {
				t.Errorf("a group may begin on track %d with %v open after %d: %v", i, tt.open, tt.sequence, got)
			}
			track.queue.takeAll()
		}
	}
}
