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
	depth   int
	beside  int // queued operations that a group beside another one needs
	slog    *slog.Logger
	metrics *metrics
	// hasLeader says whether a leader is known.
	hasLeader func() bool

	mu       sync.Mutex
	turns    []*sync.Cond // one for each slot: there may be a group for it, or everything ends
	queue    fifo
	sequence uint64
	stopping bool
	held     bool // no new group until there is another leader, or the hold is over
	gather   gather
	reaper   reaper
	busy     int      // slots with a group
	open     []uint64 // sequences of the groups on their way

	wakes []chan struct{} // one for each slot: the leader changed
	drawn sync.Cond       // a slot became free
}

func newGrouper(replica, boot uint64, depth int, log *slog.Logger, m *metrics, hasLeader func() bool) *grouper {
	if depth == 0 {
		depth = defaultDepth
	}
	g := &grouper{replica: replica, boot: boot, depth: depth, beside: besideOps, slog: log, metrics: m, hasLeader: hasLeader}
	g.drawn.L = &g.mu
	g.reaper.reap = g.reap
	for range depth {
		g.wakes = append(g.wakes, make(chan struct{}, 1))
		g.turns = append(g.turns, sync.NewCond(&g.mu))
	}
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
	case g.queue.len() >= maxQueuedOps || g.queue.bytes+p.size > maxQueued:
		g.metrics.busy()
		return fault.New(fault.Busy, "%d writes wait already; nothing was done", g.queue.len()).WithRetryAfter(100 * time.Millisecond)
	}
	g.queue.push(p)
	g.reaper.arm(now, minTime(p.deadline, now.Add(reapEvery)))
	g.nudge()
	return nil
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
	for i := range g.depth {
		s := &slot{g: g, turn: g.turns[i], wake: g.wakes[i]}
		slots.Go(func() { s.run(ctx) })
	}
	slots.Wait()
	g.refuse()
}

// refuse lets no operation in and answers those that wait.
func (g *grouper) refuse() {
	g.mu.Lock()
	g.stopping = true
	waiting := g.queue.takeAll()
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
	for g.busy > 0 && ctx.Err() == nil {
		g.drawn.Wait()
	}
}

// wake tells every slot that the leader changed.
func (g *grouper) wake() {
	if g.hasLeader() {
		g.release()
	}
	for _, c := range g.wakes {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// least is how many operations a group that begins now needs.
func (g *grouper) least() int {
	if g.busy == 0 {
		return 1
	}
	return g.beside
}

// mayBegin reports whether a slot may make a group of the queue, or gather more for it.
func (g *grouper) mayBegin() bool {
	return g.queue.len() >= g.least() && !g.held && g.gather.turn == nil && !g.windowFull()
}

// nudge wakes the slot that can do something about the queue, if there is one. Few writers wake the first slot alone.
func (g *grouper) nudge() {
	switch n := g.queue.len(); {
	case g.gather.turn != nil:
		if n >= g.gather.want {
			g.gather.turn.Signal()
		}
	case n < g.least():
	case g.busy == 0:
		g.turns[0].Signal()
	default:
		g.nudgeAll() // those with a group do not listen
	}
}

func (g *grouper) nudgeAll() {
	for _, turn := range g.turns {
		turn.Signal()
	}
}

// take waits for operations and makes a group of them; nil when everything ends.
func (g *grouper) take(turn *sync.Cond, ops []*pending) ([]*pending, uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		for !g.mayBegin() && !g.stopping {
			turn.Wait()
		}
		if g.stopping {
			return nil, 0
		}
		g.awaitSiblings(turn)
		if g.held || g.stopping {
			continue // it came meanwhile
		}
		ops = g.queue.take(ops[:0])
		if len(ops) > 0 {
			break
		}
	}
	g.busy++
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
func (g *grouper) free(sequence uint64, back []*pending) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.busy--
	g.gather.ended, g.gather.size = time.Now(), g.reaper.forget(sequence)
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
	g.queue.pushFront(kept)
	g.nudge()
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
