package live

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"supercluster/region/record"
	"supercluster/registry"
)

// Source is the store, as package region gives it.
type Source interface {
	// Load visits the live records of some kinds at one consistent snapshot and gives its position.
	Load(ctx context.Context, fn func(record.Record) error, kinds ...record.Kind) (record.Positions, error)
	// Follow calls fn with the commits after a position, in order and gap-free, until ctx ends (nil), fn fails or
	// history is gone (a Compacted fault).
	Follow(ctx context.Context, from record.Positions, idle time.Duration,
		fn func(commits []record.Commit, at record.Positions) error) error
}

// Config is what a Runner needs.
type Config struct {
	Source Source
	Region string
	Log    *slog.Logger // nil: none
	Meter  metric.Meter // nil: none
	Tracer trace.Tracer // nil: none
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = metricnoop.Meter{}
	}
	if c.Tracer == nil {
		c.Tracer = tracenoop.Tracer{}
	}
	return c
}

// Runner keeps a view up to date.
type Runner struct {
	cfg   Config
	view  atomic.Pointer[registry.View]
	ready chan struct{}

	mu        sync.Mutex
	published bool
	moved     chan struct{} // closed when the next view is published
	followers map[*follower]struct{}
}

// New makes a Runner; it starts nothing.
func New(cfg Config) *Runner {
	r := &Runner{
		cfg: cfg.withDefaults(), ready: make(chan struct{}), moved: make(chan struct{}), followers: map[*follower]struct{}{},
	}
	r.view.Store(registry.Empty(cfg.Region))
	return r
}

// View is the newest view; an empty one before Ready.
func (r *Runner) View() *registry.View { return r.view.Load() }

// Ready is closed once the first view is published.
func (r *Runner) Ready() <-chan struct{} { return r.ready }

// Wait returns once the view covers a position. It fails only with ctx.
func (r *Runner) Wait(ctx context.Context, at record.Positions) error {
	for {
		if r.covers(at) {
			return nil
		}
		r.mu.Lock()
		moved := r.moved
		r.mu.Unlock()
		if r.covers(at) { // it may have come between the look and the channel
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// covers also asks for a first view: position 0 of a region that has not loaded yet is not "nothing there".
func (r *Runner) covers(at record.Positions) bool {
	select {
	case <-r.ready:
		return r.view.Load().At().Covers(at)
	default:
		return false
	}
}

// publish makes a view the current one and tells everybody what changed.
func (r *Runner) publish(v *registry.View, c registry.Changes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.view.Store(v)
	close(r.moved)
	r.moved = make(chan struct{})
	if !r.published {
		r.published = true
		close(r.ready)
	}
	if c.IsEmpty() {
		return
	}
	for f := range r.followers {
		f.add(c)
	}
}

// follower is one consumer of changes. Its fields are guarded by the Runner's mutex.
type follower struct {
	pending registry.Changes
	wake    chan struct{} // holds one token while something is pending
}

func (f *follower) add(c registry.Changes) {
	f.pending.Merge(c)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Follow calls fn with the view and what changed since the call before, first with everything once there is a
// view, until ctx ends (nil) or fn fails (its error). While fn runs, changes gather and merge: a slow consumer
// costs nobody else anything and is never more than one call behind.
func (r *Runner) Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error {
	select {
	case <-r.ready:
	case <-ctx.Done():
		return nil
	}
	f := &follower{wake: make(chan struct{}, 1)}
	f.add(registry.Changes{All: true})
	r.mu.Lock()
	r.followers[f] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.followers, f)
		r.mu.Unlock()
	}()
	for {
		select {
		case <-f.wake:
		case <-ctx.Done():
			return nil
		}
		v, c := r.take(f)
		if c.IsEmpty() {
			continue // the call before took it along, between the wake-up and its look
		}
		if err := fn(v, c); err != nil {
			return err
		}
	}
}

// take gives the view and all that changed up to it.
func (r *Runner) take(f *follower) (*registry.View, registry.Changes) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := f.pending
	f.pending = registry.Changes{}
	return r.view.Load(), c
}
