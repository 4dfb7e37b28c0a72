package drive

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

const (
	liveFor  = 5 * time.Minute // one run, at the most
	startFor = time.Minute     // its regions
	lookFor  = 2 * time.Second // longer than the time for healing: one look at the digests
)

// Run is one plan under way.
type Run struct {
	Plan *schedule.Plan
	Log  *history.Log

	tier     *Tier
	sites    []*Site // of the regions of the plan, in their order
	watchers []*watcher
	stuck    atomic.Bool // something did not come back after a fault
}

// live starts a world and leads it through the plan; an error means that the run proves nothing.
func (r *Run) live(ctx context.Context, w World) error {
	ctx, cancel := context.WithTimeout(ctx, liveFor)
	defer cancel()
	starting, stop := context.WithTimeout(ctx, startFor)
	defer stop()
	if err := w.Start(starting); err != nil {
		return fmt.Errorf("the regions did not start: %w", err)
	}
	for i, region := range w.Regions() {
		r.sites = append(r.sites, &Site{Region: region, run: r, name: r.Plan.Regions[i].Name})
	}
	if err := r.watch(ctx); err != nil {
		return err
	}
	return r.phases(ctx, w)
}

// phases are warm, faults, heal and final.
func (r *Run) phases(ctx context.Context, w World) error {
	watching, endWatches := context.WithCancel(ctx)
	writing, endWrites := context.WithCancel(ctx)
	var writers, readers sync.WaitGroup
	defer readers.Wait()
	defer endWatches()
	defer writers.Wait()
	defer endWrites()
	for _, one := range r.watchers {
		readers.Go(func() { one.run(watching) })
	}
	writers.Go(func() { r.clients(writing) })
	if !Pause(ctx, r.Plan.Phases.Warm.Duration()) {
		return ctx.Err()
	}
	r.Log.Mark(history.MarkFaults)
	r.nemeses(ctx, w)
	r.Log.Mark(history.MarkHeal)
	if !Pause(ctx, r.tier.Pace.Calm) {
		return ctx.Err()
	}
	endWrites()
	writers.Wait()
	r.Log.Mark(history.MarkQuiet)
	if r.stuck.Load() {
		return nil // the checkers tell
	}
	return r.final(ctx, w)
}

// nemeses runs those of the plan, and ends when all have ended and the time for them is over.
func (r *Run) nemeses(ctx context.Context, w World) {
	ctx, cancel := context.WithTimeout(ctx, r.Plan.Phases.Faults.Duration()+r.tier.Overtime)
	defer cancel()
	began := time.Now()
	var all sync.WaitGroup
	for i := range r.Plan.Nemeses {
		one := func() {
			if Pause(ctx, time.Until(began.Add(r.Plan.Nemeses[i].Start.Duration()))) {
				r.strike(ctx, w, i)
			}
		}
		if r.tier.Turns {
			one()
			continue
		}
		all.Go(one)
	}
	all.Wait()
	Pause(ctx, time.Until(began.Add(r.Plan.Phases.Faults.Duration())))
}

// strike does one nemesis and writes down what was seen of it.
func (r *Run) strike(ctx context.Context, w World, i int) {
	n := &r.Plan.Nemeses[i]
	r.Log.Add(history.Line{Type: history.Faulted, Fault: &history.Fault{Number: i, Kind: n.Kind}})
	e := w.Strike(ctx, n)
	if e.Stuck != "" {
		r.stuck.Store(true)
	}
	r.Log.Add(history.Line{Type: history.Faulted, Fault: &history.Fault{
		Number: i, Kind: n.Kind, Ended: true, Effect: e.Seen, Evidence: e.Evidence, Stuck: e.Stuck,
	}})
}

// final waits until regions are equal and watches have seen everything, or the time for it is over: judging is the
// checkers' part. Then it reads what every region has.
func (r *Run) final(ctx context.Context, w World) error {
	if err := Wait(ctx, r.Plan.Phases.Heal.Duration()+lookFor, "equal digests", w.Digests); ctx.Err() != nil {
		return err
	}
	for _, s := range r.sites {
		at, err := s.read(ctx)
		if err != nil {
			return fmt.Errorf("the last read of %s: %w", s.name, err)
		}
		_ = s.Shown(ctx, at)
	}
	return ctx.Err()
}

// read writes down all that clients wrote and a region has: nobody writes.
func (s *Site) read(ctx context.Context) (uint64, error) {
	var out *history.State
	err := Wait(ctx, s.run.Plan.Phases.Final.Duration(), "a read", func(ctx context.Context) string {
		var err error
		if out, err = s.State(ctx); err != nil {
			return err.Error()
		}
		return ""
	})
	if err != nil {
		return 0, err
	}
	s.run.Log.Add(history.Line{Type: history.Stated, Region: s.name, State: out})
	return out.Revision, nil
}
