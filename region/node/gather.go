package node

import (
	"sync"
	"time"
)

// A closed loop of many writers falls into parts: while one is in the log the others queue, so each group has a part of what
// it could have, and each costs a write of the log and a batch of the state. So a group of many that follows another one
// closely, with none on its way, waits a moment for the callers that were answered just now; PostgreSQL's commit_siblings
// and commit_delay are the same idea. Few writers, and one that comes alone, never wait. ADR 0010 and ADR 0014 have the figures.
const (
	// minSiblings is the number of recent callers from which on a group waits for them. With fewer the processors idle
	// meanwhile.
	minSiblings = 48
	// gatherTime bounds the wait. It is no shorter because a timer below a millisecond is late by as much.
	gatherTime = 2 * time.Millisecond
)

// gather is what is known of recent callers. It belongs to grouper.mu.
type gather struct {
	size  int        // operations of the last group
	ended time.Time  // when the last group was answered
	turn  *sync.Cond // of the slot that waits for more; nil: none does
	want  int        // queued operations that it waits for
}

// siblings says how many queued operations a group that begins now should wait for: seven in eight of those that were
// queued or in the log when the last group ended, since some callers do not come back, and never more than would go beside
// another group.
func (g *gather) siblings(queued int, now time.Time) int {
	callers := g.size + queued
	if callers < minSiblings || now.Sub(g.ended) > gatherTime {
		return 0
	}
	return min(callers*7/8, besideOps)
}

// awaitSiblings waits, with mu held, until enough is queued for the next group, or gatherTime is over.
func (g *grouper) awaitSiblings(turn *sync.Cond) {
	t := &g.tracks[shared]
	want := g.gather.siblings(t.queue.len(), time.Now())
	if t.busy > 0 || t.queue.len() >= want {
		return
	}
	g.gather.turn, g.gather.want = turn, want
	over := false
	timer := time.AfterFunc(gatherTime, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		over = true
		turn.Signal()
	})
	for t.queue.len() < want && !over && !g.stopping && !g.held {
		turn.Wait()
	}
	timer.Stop()
	g.gather.turn = nil
}
