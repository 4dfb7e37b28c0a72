package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Bounds of grouping. A group is what queued while the group before it was on its way. A second one goes beside it only
// when it is large by itself: with fewer writers it would only make groups smaller (ADR 0014).
const (
	defaultDepth  = 2
	besideOps     = 96
	maxGroupOps   = 512
	maxGroupBytes = 256 << 10
	maxQueuedOps  = 16 << 10
	maxQueued     = 64 << 20

	// patience is how long an operation without a deadline is tried; maxPatience bounds those with one.
	patience    = 10 * time.Second
	maxPatience = time.Minute

	// firstRetry is when a group that has no answer is proposed again although the leader did not change: its
	// message may be lost. It doubles up to lastRetry.
	firstRetry = 500 * time.Millisecond
	lastRetry  = 4 * time.Second
	// maxAttempts bounds the proposals of one group that are on their way at a time.
	maxAttempts = 8
	// busyPause is the wait after the log said that it has too much queued.
	busyPause = 5 * time.Millisecond
	// leaderPause bounds the wait for a leader before trying again.
	leaderPause = 50 * time.Millisecond
)

// The states of a pending operation.
const (
	opQueued int32 = iota // nothing was done with it
	opTaken               // it is part of a group that may be in the log
	opDone                // it is answered, or given up
)

// pending is an operation that a caller waits for.
type pending struct {
	op       record.Op
	size     int
	ctx      context.Context // of the caller; only reap asks it
	deadline time.Time
	state    atomic.Int32
	done     chan answer
}

// answer ends the wait of the caller, unless it was ended before.
func (p *pending) answer(a answer) {
	if p.state.Swap(opDone) != opDone {
		p.done <- a
	}
}

type answer struct {
	result record.Result
	err    error
}

// grouper puts operations into the log: in groups, again when they were lost, and each once.
type grouper struct {
	log     groupLog
	replica uint64
	boot    uint64
	enough  int // queued operations that a group beside another one needs
	slog    *slog.Logger
	metrics *metrics
	// hasLeader says whether a leader is known.
	hasLeader func() bool

	mu       sync.Mutex
	tracks   [tracks]track
	slots    []*slot // never changed
	sequence uint64
	stopping bool
	held     bool // no new group until there is another leader, or the hold is over
	gather   gather
	reaper   reaper
	open     []uint64 // sequences of the groups on their way

	drawn sync.Cond // a slot became free
}

func newGrouper(replica, boot uint64, depth int, log *slog.Logger, m *metrics, hasLeader func() bool) *grouper {
	if depth == 0 {
		depth = defaultDepth
	}
	g := &grouper{replica: replica, boot: boot, enough: besideOps, slog: log, metrics: m, hasLeader: hasLeader}
	g.drawn.L = &g.mu
	g.reaper.reap = g.reap
	g.makeTracks(depth)
	return g
}

// propose queues one operation and waits for its result.
func (g *grouper) propose(ctx context.Context, op record.Op) (record.Result, error) {
	if err := ctx.Err(); err != nil {
		return record.Result{}, g.undone(err)
	}
	p := &pending{op: op, size: opSize(&op), ctx: ctx, done: make(chan answer, 1)}
	if limit := record.MaxBytes([]record.Op{op}); p.size > limit {
		return record.Result{}, fault.New(fault.TooLarge, "an operation of %d bytes is over the limit of %d", p.size, limit)
	}
	now := time.Now()
	p.deadline = now.Add(patience)
	if deadline, bounded := ctx.Deadline(); bounded {
		p.deadline = minTime(deadline, now.Add(maxPatience))
	}
	if err := g.enqueue(p, now); err != nil {
		return record.Result{}, err
	}
	// No select: reap watches over the caller's context and the deadline, for all callers at once.
	a := <-p.done
	return a.result, a.err
}

// undone says why an operation was not proposed in its time.
func (g *grouper) undone(cause error) error {
	switch {
	case errors.Is(cause, context.Canceled):
		return fault.Wrap(fault.Canceled, cause, "the write was not proposed: its caller went away")
	case !g.hasLeader():
		return errNoLeader
	default:
		return fault.Wrap(fault.Deadline, cause, "the write was not proposed in its time; nothing was done")
	}
}

func unknownOutcome(cause error) error {
	return fault.Wrap(fault.OutcomeUnknown, cause, "the write was proposed, but not answered in its time").
		WithHint("retry with the same request id")
}

func (g *grouper) enqueue(p *pending, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.stopping:
		return errStopping
	case g.queued() >= maxQueuedOps || g.queuedBytes()+p.size > maxQueued:
		g.metrics.busy()
		return fault.New(fault.Busy, "%d writes wait already; nothing was done", g.queued()).WithRetryAfter(100 * time.Millisecond)
	}
	g.trackOf(p).queue.push(p)
	g.reaper.arm(now, minTime(p.deadline, now.Add(reapEvery)))
	g.nudge()
	return nil
}

func (g *grouper) queued() int { return g.tracks[shared].queue.len() + g.tracks[beside].queue.len() }

func (g *grouper) queuedBytes() int {
	return g.tracks[shared].queue.bytes + g.tracks[beside].queue.bytes
}

// run puts groups into the log until ctx ends; what then waits is refused, what is on its way becomes unknown.
func (g *grouper) run(ctx context.Context, log groupLog) {
	g.log = log
	stop := context.AfterFunc(ctx, func() {
		g.refuse()
		g.wake()
	})
	defer stop()
	var slots sync.WaitGroup
	for _, s := range g.slots {
		slots.Go(func() { s.run(ctx) })
	}
	slots.Wait()
	g.refuse()
}

// refuse lets no operation in and answers those that wait.
func (g *grouper) refuse() {
	g.mu.Lock()
	g.stopping = true
	waiting := append(g.tracks[shared].queue.takeAll(), g.tracks[beside].queue.takeAll()...)
	g.nudgeAll()
	g.mu.Unlock()
	for _, p := range waiting {
		p.answer(answer{err: errStopping})
	}
}

// drain refuses new operations and waits until those on their way are answered, or ctx ends.
func (g *grouper) drain(ctx context.Context) {
	g.refuse()
	g.settle(ctx)
}

// hold begins no new group until the leader changes, at most for a while, and waits until those on their way are
// answered, or ctx ends. Operations queue meanwhile.
func (g *grouper) hold(ctx context.Context, most time.Duration) {
	g.mu.Lock()
	g.held = true
	g.mu.Unlock()
	time.AfterFunc(most, g.release)
	g.settle(ctx)
}

func (g *grouper) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		g.held = false
		g.nudgeAll()
	}
}

// settle waits until no group is on its way, or ctx ends.
func (g *grouper) settle(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.drawn.Broadcast()
	})
	defer stop()
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.open) > 0 && ctx.Err() == nil {
		g.drawn.Wait()
	}
}

// wake tells every slot that the leader changed.
func (g *grouper) wake() {
	if g.hasLeader() {
		g.release()
	}
	for _, s := range g.slots {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// take waits for operations and makes a group of them; nil when everything ends.
func (g *grouper) take(t *track, turn *sync.Cond, ops []*pending) ([]*pending, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		for !g.mayBegin(t) && !g.stopping {
			turn.Wait()
		}
		if g.stopping {
			return nil, 0
		}
		if t == &g.tracks[shared] {
			g.awaitSiblings(turn)
		}
		if g.held || g.stopping {
			continue // it came meanwhile
		}
		ops = t.queue.take(ops[:0])
		if len(ops) > 0 {
			break
		}
	}
	t.busy++
	g.sequence++
	g.open = append(g.open, g.sequence)
	g.reaper.follow(g.sequence, ops)
	g.nudge() // what did not fit
	return ops, g.sequence
}

// windowFull reports whether another group would push the oldest open one out of the proposer window in the state: if
// that one has to be proposed again, it could no longer be known whether it was applied.
func (g *grouper) windowFull() bool {
	return len(g.open) > 0 && g.sequence+1-slices.Min(g.open) >= record.WindowSize
}

// free ends a group. Operations given back are queued again, first.
func (g *grouper) free(t *track, sequence uint64, back []*pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t.busy--
	if size := g.reaper.forget(sequence); t == &g.tracks[shared] {
		g.gather.ended, g.gather.size = time.Now(), size
	}
	g.open = slices.DeleteFunc(g.open, func(open uint64) bool { return open == sequence })
	g.nudge()
	g.drawn.Broadcast()
	kept := back[:0:0]
	for _, p := range back {
		if p.state.CompareAndSwap(opTaken, opQueued) {
			kept = append(kept, p)
		}
	}
	if len(kept) == 0 {
		return
	}
	if g.stopping {
		for _, p := range kept {
			p.answer(answer{err: errStopping})
		}
		return
	}
	t.queue.pushFront(kept)
	g.nudge()
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
