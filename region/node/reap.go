package node

import (
	"context"
	"slices"
	"time"
)

// reapEvery is how late the cancellation of a caller may be noticed. Deadlines are kept to the tick of the clock.
const reapEvery = 20 * time.Millisecond

// reaper ends the wait of callers that went away or whose time is over. One timer for all of them replaces a timer and
// a select for each, which were a twentieth of the server's time at 256 writers. It belongs to grouper.mu.
type reaper struct {
	reap   func()
	timer  *time.Timer
	at     time.Time // when the timer fires; zero: it is not armed
	groups []flight
}

// flight is the operations of a group on its way. The slot changes its own list; this one stays.
type flight struct {
	sequence uint64
	ops      []*pending
}

// arm makes the reaper look at a time, or earlier.
func (r *reaper) arm(now, at time.Time) {
	if !r.at.IsZero() && !at.Before(r.at) {
		return
	}
	r.at = at
	if wait := max(at.Sub(now), 0); r.timer == nil {
		r.timer = time.AfterFunc(wait, r.reap)
	} else {
		r.timer.Reset(wait)
	}
}

func (r *reaper) follow(sequence uint64, ops []*pending) {
	r.groups = append(r.groups, flight{sequence, slices.Clone(ops)})
}

// forget ends a flight and gives its size.
func (r *reaper) forget(sequence uint64) (size int) {
	r.groups = slices.DeleteFunc(r.groups, func(f flight) bool {
		if f.sequence != sequence {
			return false
		}
		size = len(f.ops)
		return true
	})
	return size
}

// reap looks at everything that waits. What is still queued was not begun; of what is in a group on its way nobody
// knows what will become.
func (g *grouper) reap() {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.reaper.at = time.Time{}
	next := now.Add(reapEvery)
	waiting := false
	look := func(p *pending, state int32, why func(cause error) error) {
		if p.state.Load() != state {
			return
		}
		cause := p.ctx.Err()
		if cause == nil && !now.Before(p.deadline) {
			cause = context.DeadlineExceeded
		}
		switch {
		case cause == nil:
			waiting, next = true, minTime(next, p.deadline)
		case p.state.CompareAndSwap(state, opDone):
			p.done <- answer{err: why(cause)}
		}
	}
	for i := range g.tracks {
		for _, p := range g.tracks[i].queue.waiting() {
			look(p, opQueued, g.undone)
		}
	}
	for _, f := range g.reaper.groups {
		for _, p := range f.ops {
			look(p, opTaken, unknownOutcome)
		}
	}
	if waiting {
		g.reaper.arm(now, next)
	}
}
