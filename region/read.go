package region

import (
	"context"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Linearize waits until reads on this node show every write acknowledged before the call.
func (r *Region) Linearize(ctx context.Context) (record.Positions, error) {
	p := r.parts.Load()
	if p == nil {
		return record.Positions{}, errStarting
	}
	if err := p.node.Linearize(ctx); err != nil {
		return record.Positions{}, err
	}
	published, ok := p.store.Published()
	if !ok {
		return record.Positions{}, errStarting
	}
	return published.Positions, nil
}

// reach makes the store show what a level asks for.
func (r *Region) reach(ctx context.Context, level record.Level) (*parts, error) {
	p := r.parts.Load()
	if p == nil {
		return nil, errStarting
	}
	switch level {
	case record.LevelLocal:
		r.asked.Store(time.Now().UnixNano())
		return p, nil
	case record.LevelLinearizable:
		return p, p.node.Linearize(ctx)
	default:
		return nil, fault.New(fault.Unsupported, "read level %d is not known to this version", level)
	}
}

// freshness begins a read and describes it when it is over, by the positions that it showed. A linearizable one has no age.
// The age is that before the read, and the time since: an answer of the region that comes meanwhile says nothing of what was
// read.
func (p *parts) freshness(level record.Level) func(at record.Positions) record.Freshness {
	if level != record.LevelLocal {
		return func(at record.Positions) record.Freshness { return record.Freshness{Positions: at} }
	}
	began, age := time.Now(), p.age()
	return func(at record.Positions) record.Freshness {
		return record.Freshness{Positions: at, AgeNanos: int64(age + time.Since(began))}
	}
}

func (p *parts) age() time.Duration {
	age, ok := p.node.Age()
	if !ok {
		return neverFresh
	}
	return age
}

// neverFresh is the age of a node that has not yet known once that it is not behind.
const neverFresh = 24 * 365 * time.Hour

// Get reads one record at a revision, 0 for the newest.
func (r *Region) Get(ctx context.Context, k record.Key, revision uint64, level record.Level) (record.Record, bool, record.Freshness, error) {
	p, err := r.reach(ctx, level)
	if err != nil {
		return record.Record{}, false, record.Freshness{}, err
	}
	fresh := p.freshness(level)
	rec, found, at, err := p.store.Get(k, revision)
	return rec, found, fresh(at), err
}

// Range reads records in key order at a revision, 0 for the newest.
func (r *Region) Range(ctx context.Context, rng record.Range, revision uint64, level record.Level) (record.RangeResult, record.Freshness, error) {
	p, err := r.reach(ctx, level)
	if err != nil {
		return record.RangeResult{}, record.Freshness{}, err
	}
	fresh := p.freshness(level)
	result, at, err := p.store.Range(rng, revision)
	return result, fresh(at), err
}

// History reads the kept versions of one record, newest first, tombstones included; limit 0 is all.
func (r *Region) History(ctx context.Context, k record.Key, limit int) ([]record.Record, record.Freshness, error) {
	p, err := r.reach(ctx, record.LevelLinearizable)
	if err != nil {
		return nil, record.Freshness{}, err
	}
	fresh := p.freshness(record.LevelLinearizable)
	versions, at, err := p.store.History(k, limit)
	return versions, fresh(at), err
}

// Load gives every live record of some kinds at one moment, in key order, and says which moment.
func (r *Region) Load(ctx context.Context, fn func(record.Record) error, kinds ...record.Kind) (record.Positions, error) {
	p := r.parts.Load()
	if p == nil {
		return record.Positions{}, errStarting
	}
	return p.store.Load(ctx, kinds, fn)
}

// Follow calls fn with the commits after from, in order and without gaps, until ctx ends (nil), fn fails (its
// error) or history is gone (Compacted, with the oldest revision). With idle > 0 fn is also called without commits
// after each such period. at says up to where everything was given. Commits are shared: they must not be changed.
func (r *Region) Follow(ctx context.Context, from record.Positions, idle time.Duration, fn func(commits []record.Commit, at record.Positions) error) error {
	p := r.parts.Load()
	if p == nil {
		return errStarting
	}
	return p.store.Follow(ctx, from, idle, fn)
}

// Freshness says how new local reads are now.
func (r *Region) Freshness() record.Freshness {
	p := r.parts.Load()
	if p == nil {
		return record.Freshness{AgeNanos: int64(neverFresh)}
	}
	r.asked.Store(time.Now().UnixNano())
	fresh := p.freshness(record.LevelLocal)
	published, _ := p.store.Published()
	return fresh(published.Positions)
}
