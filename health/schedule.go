package health

import (
	"container/heap"
	"io"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/registry"
)

// job is one active check of this node. Only the loop touches it.
type job struct {
	key     registry.CheckKey
	created uint64 // revision
	to      target
	state   check.State
	// due is when it is probed next, as time since the Runner was made; index is its place in the heap, -1 while
	// it is in flight.
	due   time.Duration
	index int
	// started is when the probe in flight began, and stale tells that its result does not count any more.
	started time.Duration
	stale   bool
	dropped bool
	// spread makes the second probe come early, so that checks which were first probed together part.
	spread bool
	link   io.Closer
	// written is the health that the view shows, wrote the revision of our last write.
	written pb.Health
	wrote   uint64
}

// agenda orders the jobs by when they are due. It is a heap.
type agenda []*job

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].due < a[j].due }
func (a agenda) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].index, a[j].index = i, j
}

// Push and Pop serve package heap.
func (a *agenda) Push(x any) {
	j := x.(*job)
	j.index = len(*a)
	*a = append(*a, j)
}

func (a *agenda) Pop() any {
	last := len(*a) - 1
	j := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	j.index = -1
	return j
}

func (a *agenda) add(j *job, due time.Duration) {
	j.due = due
	heap.Push(a, j)
}

// move changes when a job is due, unless it is in flight.
func (a *agenda) move(j *job, due time.Duration) {
	if j.index < 0 {
		return
	}
	j.due = due
	heap.Fix(a, j.index)
}

func (a *agenda) remove(j *job) {
	if j.index >= 0 {
		heap.Remove(a, j.index)
	}
}

// next takes the first job if it is due.
func (a *agenda) next(now time.Duration) (*job, bool) {
	if len(*a) == 0 || (*a)[0].due > now {
		return nil, false
	}
	return heap.Pop(a).(*job), true
}

// after gives the time of the probe that follows one due at some time: a whole number of intervals later, never in
// the past. What was missed is not made up for. jitter is a random number in [0, 1).
func (j *job) after(now time.Duration, jitter float64) time.Duration {
	every := j.to.every
	if j.spread {
		j.spread = false
		return now + every/2 + time.Duration(jitter*float64(every/2))
	}
	next := j.due + every
	if next <= now {
		next += (now - next + every) / every * every
	}
	return next
}
