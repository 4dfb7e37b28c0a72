package node

import "time"

// A closed loop of many writers falls into halves: while one half is in the log the other queues, so each group has
// half of what it could have, and each costs a write of the log and a batch of the state. So a group of many that
// follows another one closely waits a moment for the callers that were answered just now; PostgreSQL's commit_siblings
// and commit_delay are the same idea. Few writers, and one that comes alone, never wait. ADR 0010 has the figures.
const (
	// minSiblings is the number of recent callers from which on a group waits for them. With fewer the processors idle
	// meanwhile.
	minSiblings = 48
	// gatherTime bounds the wait. It is no shorter because a timer below a millisecond is late by as much.
	gatherTime = 2 * time.Millisecond
)

// gather is what is known of recent callers. It belongs to grouper.mu.
type gather struct {
	size  int       // operations of the last group
	ended time.Time // when the last group was answered
	want  int       // queued operations that are waited for; 0: nobody waits
}

// siblings says how many queued operations a group that begins now should wait for: seven in eight of those that were
// queued or in the log when the last group ended, since some callers do not come back.
func (g *gather) siblings(queued int, now time.Time) int {
	callers := g.size + queued
	if callers < minSiblings || now.Sub(g.ended) > gatherTime {
		return 0
	}
	return min(callers*7/8, maxGroupOps)
}

// awaitSiblings waits, with mu held, until enough is queued for the next group, or gatherTime is over.
func (g *grouper) awaitSiblings() {
	want := g.gather.siblings(g.queue.len(), time.Now())
	if g.queue.len() >= want {
		return
	}
	g.gather.want = want
	over := false
	timer := time.AfterFunc(gatherTime, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		over = true
		g.work.Broadcast()
	})
	for g.queue.len() < want && !over && !g.stopping && !g.held {
		g.work.Wait()
	}
	timer.Stop()
	g.gather.want = 0
}
