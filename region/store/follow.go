package store

import (
	"context"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Follow calls fn with the commits after from until ctx ends (nil), fn fails (its error), history is gone
// (Compacted, with the oldest revision) or the store closes (Unavailable). With idle > 0 fn is also called without
// commits after each such period. at says up to where everything was given. Commits are shared and immutable.
//
// Commits of one shard come in order. Those of two shards come in the order they were made, too, except while a
// follower catches up from the transaction log: then the system shard comes first.
func (s *Store) Follow(ctx context.Context, from record.Positions, idle time.Duration, fn func(commits []record.Commit, at record.Positions) error) error {
	f := follower{s: s, at: from, limit: firstLogRead}
	if err := f.checkStart(); err != nil {
		return err
	}
	timer := newIdleTimer(idle)
	defer timer.stop()
	for ctx.Err() == nil {
		changed := s.ring.changed.wait()
		commits, err := f.next()
		switch {
		case err != nil:
			return err
		case len(commits) > 0:
			if err := fn(commits, f.at); err != nil {
				return err
			}
			timer.restart()
			continue
		case f.behind:
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-timer.elapsed():
			if err := fn(nil, f.at); err != nil {
				return err
			}
			timer.restart()
		}
	}
	return nil
}

// A follower that catches up reads this many commits at first, then what seems to make logReadBytes.
const (
	firstLogRead = 32
	maxLogRead   = 1024
	logReadBytes = 4 << 20
)

// follower is a cursor over everything that was committed.
type follower struct {
	s      *Store
	at     record.Positions
	batch  uint64 // of the ring, to read next; 0 = to be found
	behind bool   // there may be more at once
	limit  int    // of the next read of the transaction log
}

// checkStart refuses a start below what is kept, also when the ring happens to have it: what a caller may ask for
// does not depend on how long this process runs.
func (f *follower) checkStart() error {
	v, err := f.s.acquire()
	if err != nil {
		return err
	}
	defer v.release()
	summary, err := v.summed()
	if err != nil {
		return err
	}
	for _, shard := range []uint32{record.ShardSystem, record.ShardData} {
		if floor := summary.Compacted.Of(shard); f.at.Of(shard)+1 < floor {
			return fault.New(fault.Compacted, "events of shard %d from revision %d on are no longer kept; the oldest is %d",
				shard, f.at.Of(shard)+1, floor).WithRevision(floor).WithHint("read the records again and follow from there")
		}
	}
	return nil
}

// next gives the commits after the follower's position and moves it on. None means that there is nothing new.
func (f *follower) next() ([]record.Commit, error) {
	v, err := f.s.acquire()
	if err != nil {
		return nil, err
	}
	defer v.release()
	before := f.at
	commits, at, batch, covered := f.s.ring.read(f.at, f.batch)
	if covered {
		f.at, f.batch, f.behind = at, batch, at != before
		return commits, nil
	}
	f.s.metrics.fallbacks.Add(context.Background(), 1)
	f.batch = 0
	if dropsBehind {
		f.at, f.behind = v.Positions, true
		return nil, nil
	}
	return f.fromLog(v)
}

// fromLog reads from the transaction log: all of the system shard up to the view first, because the data shard's
// records refer to it.
func (f *follower) fromLog(v *view) ([]record.Commit, error) {
	for _, shard := range []uint32{record.ShardSystem, record.ShardData} {
		from, to := f.at.Of(shard), v.Positions.Of(shard)
		if from >= to {
			continue
		}
		var commits []record.Commit
		err := v.read(func(r *reader) (err error) {
			commits, err = state.Commits(r, shard, from, f.limit)
			return err
		})
		if err != nil {
			return nil, err
		}
		f.behind = true
		if len(commits) == 0 { // a fresh shard is at revision 1, which no transaction made
			f.at = f.at.With(shard, to)
			return nil, nil
		}
		f.at = f.at.With(shard, commits[len(commits)-1].Position.Revision)
		f.adapt(commits)
		return commits, nil
	}
	// Up to the view, which is published before the ring has its commits.
	f.behind = false
	return nil, nil
}

// adapt chooses the size of the next read by that of the last one.
func (f *follower) adapt(commits []record.Commit) {
	bytes := 1
	for i := range commits {
		for j := range commits[i].Events {
			bytes += eventOverhead + len(commits[i].Events[j].Record.Value)
		}
	}
	f.limit = min(max(len(commits)*logReadBytes/bytes, 1), maxLogRead)
}

// idleTimer fires after each idle period; with none it never does.
type idleTimer struct {
	idle  time.Duration
	timer *time.Timer
}

func newIdleTimer(idle time.Duration) *idleTimer {
	t := &idleTimer{idle: idle}
	if idle > 0 {
		t.timer = time.NewTimer(idle)
	}
	return t
}

func (t *idleTimer) elapsed() <-chan time.Time {
	if t.timer == nil {
		return nil
	}
	return t.timer.C
}

func (t *idleTimer) restart() {
	if t.timer != nil {
		t.timer.Reset(t.idle)
	}
}

func (t *idleTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}
