package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// witness checks what a follower is given: each revision of a shard once and in order, with the values that were
// written.
type witness struct {
	at record.Positions
}

func (w *witness) take(commits []record.Commit, at record.Positions) error {
	for i := range commits {
		c := &commits[i]
		if want := w.at.Of(c.Position.Shard) + 1; c.Position.Revision != want {
			return fmt.Errorf("shard %d: got revision %d, want %d", c.Position.Shard, c.Position.Revision, want)
		}
		w.at = w.at.With(c.Position.Shard, c.Position.Revision)
		for _, e := range c.Events {
			if want := fmt.Sprint(c.Position.Revision); e.Type == record.EventPut && c.Position.Shard == record.ShardData && string(e.Record.Value) != want {
				return fmt.Errorf("revision %d: %s has value %q, want %q", c.Position.Revision, e.Record.Key.Name, e.Record.Value, want)
			}
		}
	}
	if at != w.at {
		return fmt.Errorf("told to be at %+v after commits up to %+v", at, w.at)
	}
	return nil
}

// writeOne writes a record whose value is the revision that the write gets; now and then it is a deletion or a
// commit of the system shard.
func (r *replica) writeOne(i int) {
	switch {
	case i%17 == 16:
		r.must(createTenant(numbered("tenant", i)))
	case i%5 == 4:
		r.must(del(numbered("k", (i-1)%7)))
	default:
		r.must(put(numbered("k", i%7), fmt.Sprint(r.position().Data+1)))
	}
}

// Followers of any speed see every commit once and in order while it is written, from a ring so small that they
// fall back to the transaction log all the time.
func TestFollow_GapFreeUnderConcurrentUpdates(t *testing.T) {
	for _, ring := range []int{4, 1 << 16} {
		t.Run(fmt.Sprintf("ring of %d events", ring), func(t *testing.T) {
			cfg := testConfig(vfs.NewMem())
			cfg.RingEvents = ring
			r := start(t, cfg)
			const writes = 400
			from := r.position()
			var final atomic.Pointer[record.Positions]
			var wg sync.WaitGroup
			for f := range 6 {
				wg.Go(func() {
					w := witness{at: from}
					pace := rand.New(rand.NewPCG(uint64(f), 1))
					err := r.Follow(t.Context(), from, time.Millisecond, func(commits []record.Commit, at record.Positions) error {
						if err := w.take(commits, at); err != nil {
							return err
						}
						if end := final.Load(); end != nil && w.at == *end {
							return errSeenAll
						}
						if f > 0 && pace.IntN(4) == 0 {
							time.Sleep(time.Duration(pace.IntN(f*200)) * time.Microsecond)
						}
						return nil
					})
					if !errors.Is(err, errSeenAll) {
						t.Errorf("follower %d: %v at %+v", f, err, w.at)
					}
				})
			}
			for i := range writes {
				r.writeOne(i)
			}
			end := r.position()
			final.Store(&end)
			wg.Wait()
		})
	}
}

var errSeenAll = errors.New("seen all")

// followTo follows until a position is reached and checks everything on the way.
func (r *replica) followTo(from, to record.Positions) error {
	ctx, cancel := context.WithTimeout(r.tb.Context(), 10*time.Second)
	defer cancel()
	w := witness{at: from}
	if from == to {
		return nil
	}
	err := r.Follow(ctx, from, 0, func(commits []record.Commit, at record.Positions) error {
		if err := w.take(commits, at); err != nil {
			return err
		}
		if w.at.Covers(to) {
			return errSeenAll
		}
		return nil
	})
	if errors.Is(err, errSeenAll) {
		return nil
	}
	return fmt.Errorf("%w at %+v of %+v", err, w.at, to)
}

func TestFollow_FromAnyStart(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.RingEvents = 20
	r := start(t, cfg)
	from := r.position()
	for i := range 60 {
		r.writeOne(i)
	}
	to := r.position()
	for data := from.Data; data <= to.Data; data += 7 {
		for system := from.System; system <= to.System; system++ {
			if err := r.followTo(record.Positions{System: system, Data: data}, to); err != nil {
				t.Error(err)
			}
		}
	}
	r.restart() // the ring is gone, the log is there
	if err := r.followTo(from, to); err != nil {
		t.Error(err)
	}
}

func TestFollow_FromTheBeginning(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	r.must(put("a", fmt.Sprint(r.position().Data+1)))
	var got []record.Position
	err := r.Follow(t.Context(), record.Positions{}, 0, func(commits []record.Commit, at record.Positions) error {
		for i := range commits {
			got = append(got, commits[i].Position)
		}
		if at.Covers(r.position()) {
			return errSeenAll
		}
		return nil
	})
	if !errors.Is(err, errSeenAll) || got[len(got)-1] != (record.Position{Shard: record.ShardData, Revision: 2}) {
		t.Errorf("followed %v (%v)", got, err)
	}
}

// A client may know a revision that this node has not reached: it gets what comes after it, not the rest again.
func TestFollow_FromAheadOfThisNode(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	from := r.position()
	from.Data += 2
	first := make(chan uint64, 1)
	done := make(chan error)
	go func() {
		done <- r.Follow(t.Context(), from, 0, func(commits []record.Commit, _ record.Positions) error {
			first <- commits[0].Position.Revision
			return errSeenAll
		})
	}()
	for range 3 {
		r.must(put("a", fmt.Sprint(r.position().Data+1)))
	}
	if err := <-done; !errors.Is(err, errSeenAll) {
		t.Fatal(err)
	}
	if got := <-first; got != from.Data+1 {
		t.Errorf("the first commit is revision %d, want %d", got, from.Data+1)
	}
}

func TestFollow_FromBelowTheFloor(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	from := r.position()
	for i := range 10 {
		r.writeOne(i)
	}
	floor := from.Data + 5
	r.must(compact(floor))
	for _, purged := range []bool{false, true} {
		if purged {
			r.must(purge(1000))
		}
		err := r.Follow(t.Context(), from, 0, func([]record.Commit, record.Positions) error { return errSeenAll })
		if f, ok := fault.As(err); !ok || f.Kind != fault.Compacted || f.Revision != floor {
			t.Errorf("purged %v: following from below the floor gives %v", purged, err)
		}
		if err := r.followTo(from.With(record.ShardData, floor-1), r.position()); err != nil {
			t.Errorf("purged %v: from the floor: %v", purged, err)
		}
		r.restart()
		if err := r.followTo(from.With(record.ShardData, floor-1), r.position()); err != nil {
			t.Errorf("purged %v: from the floor, out of the log: %v", purged, err)
		}
	}
}

// A follower that is overtaken by compaction while it is slow is told so.
func TestFollow_OvertakenByCompaction(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.RingEvents = 2
	r := start(t, cfg)
	from := r.position()
	r.must(put("a", fmt.Sprint(from.Data+1)))
	calls := 0
	err := r.Follow(t.Context(), from, 0, func([]record.Commit, record.Positions) error {
		if calls++; calls == 1 {
			for i := range 10 {
				r.writeOne(i)
			}
			r.must(compact(r.position().Data))
			r.must(purge(1000))
		}
		return nil
	})
	if !fault.Is(err, fault.Compacted) || calls != 1 {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

// While one follower sleeps in its callback, updates and other followers go on, and nothing is kept for it.
func TestFollow_ASlowOneCostsNobodyAnything(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.RingEvents = 16
	r := start(t, cfg)
	from := r.position()
	release, asleep := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		w := witness{at: from}
		done <- r.Follow(t.Context(), from, 0, func(commits []record.Commit, at record.Positions) error {
			if w.at == from {
				close(asleep)
				<-release
			}
			if err := w.take(commits, at); err != nil {
				return err
			}
			if w.at.Covers(r.position()) {
				return errSeenAll
			}
			return nil
		})
	}()
	r.writeOne(0)
	<-asleep
	for i := 1; i < 200; i++ {
		r.writeOne(i)
	}
	if err := r.followTo(from, r.position()); err != nil {
		t.Error(err)
	}
	if r.ring.events > 16 {
		t.Errorf("the ring holds %d events", r.ring.events)
	}
	close(release)
	if err := <-done; !errors.Is(err, errSeenAll) {
		t.Error(err)
	}
}

func TestFollow_ProgressWhileIdle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		ring := newRing(100, 1<<20)
		s := &Store{ring: ring}
		ring.reset(record.Positions{System: 1, Data: 1})
		v := &view{Published: Published{Positions: record.Positions{System: 1, Data: 1}}}
		v.summarize.Do(func() {})
		v.refs.Store(1)
		s.view.Store(v)
		ctx, cancel := context.WithCancel(t.Context())
		var calls []string
		begin := time.Now()
		done := make(chan error)
		go func() {
			done <- s.Follow(ctx, record.Positions{System: 1, Data: 1}, time.Second, func(commits []record.Commit, at record.Positions) error {
				calls = append(calls, fmt.Sprint(time.Since(begin), len(commits), at.Data))
				return nil
			})
		}()
		time.Sleep(1500 * time.Millisecond)
		ring.add(madeBatch(record.Positions{System: 1, Data: 1}, 0, 2))
		time.Sleep(2200 * time.Millisecond)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("an ended context gives %v", err)
		}
		want := "[1s 0 1 1.5s 2 3 2.5s 0 3 3.5s 0 3]"
		if got := fmt.Sprint(calls); got != want {
			t.Errorf("calls (time, commits, position)\n got %s\nwant %s", got, want)
		}
	})
}

func TestFollow_EndsWithTheStore(t *testing.T) {
	r := start(t, testConfig(vfs.NewMem()))
	done := make(chan error)
	from := r.position()
	go func() {
		done <- r.Follow(t.Context(), from, 0, func([]record.Commit, record.Positions) error { return nil })
	}()
	r.writeOne(0)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !fault.Is(err, fault.Unavailable) {
		t.Errorf("Follow on a closed store gives %v", err)
	}
}
