package node

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/internal/fault"
)

// readRetry is how long one ReadIndex is waited for before another one is sent: its message may be lost.
const readRetry = 250 * time.Millisecond

// reads makes the local state cover every write acknowledged before a read arrived, with one ReadIndex in flight for
// all readers: who arrives meanwhile joins the next one, never the one that began before.
type reads struct {
	hasLeader func() bool
	woken     chan struct{} // the leader changed
	metrics   *metrics

	// fresh is when the newest ReadIndex that completed was started.
	fresh atomic.Pointer[time.Time]

	mu    sync.Mutex
	next  *readBatch
	begin chan struct{} // there is a next batch
	ended bool
}

// readBatch is the readers that share one ReadIndex.
type readBatch struct {
	done     chan struct{}
	err      error
	deadline time.Time // of the most patient reader
}

func newReads(hasLeader func() bool, m *metrics) *reads {
	return &reads{hasLeader: hasLeader, metrics: m, woken: make(chan struct{}, 1), begin: make(chan struct{}, 1)}
}

// linearize waits until the local state covers every write acknowledged before the call.
func (r *reads) linearize(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return r.late(err)
	}
	if staleReads {
		return nil
	}
	deadline := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok {
		deadline = minTime(d, time.Now().Add(maxPatience))
	}
	batch, err := r.join(deadline)
	if err != nil {
		return err
	}
	select {
	case <-batch.done:
		return batch.err
	case <-ctx.Done():
		return r.late(ctx.Err())
	}
}

func (r *reads) join(deadline time.Time) (*readBatch, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, errStopping
	}
	if r.next == nil {
		r.next = &readBatch{done: make(chan struct{})}
		select {
		case r.begin <- struct{}{}:
		default:
		}
	}
	if deadline.After(r.next.deadline) {
		r.next.deadline = deadline
	}
	return r.next, nil
}

func (r *reads) late(cause error) error {
	if fault.KindOf(cause) == fault.Deadline && !r.hasLeader() {
		return errNoLeader
	}
	return fault.Wrap(fault.KindOf(cause), cause, "the read's index was not known in its time")
}

func (r *reads) wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// run serves batches until ctx ends.
func (r *reads) run(ctx context.Context, log groupLog) {
	for {
		select {
		case <-ctx.Done():
		case <-r.begin:
		}
		r.mu.Lock()
		batch := r.next
		r.next = nil
		r.ended = ctx.Err() != nil
		r.mu.Unlock()
		if batch != nil {
			batch.err = r.serve(ctx, log, batch)
			close(batch.done)
		}
		if ctx.Err() != nil && r.close() {
			return
		}
	}
}

// close reports whether nobody waits any more and nobody can.
func (r *reads) close() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	return r.next == nil
}

// serve gets one batch its index, again when it is dropped, lost or answered by nobody.
func (r *reads) serve(ctx context.Context, log groupLog, batch *readBatch) error {
	for ctx.Err() == nil {
		left := time.Until(batch.deadline)
		if left <= 0 {
			return r.late(context.DeadlineExceeded)
		}
		started := time.Now()
		a, err := log.readIndex(max(left, minTimeout))
		if err != nil {
			switch judge(err) {
			case refusedStopped:
				return errStopping
			case refusedForGood:
				return fault.Wrap(fault.Internal, err, "the log refused a read")
			case refusedBusy:
				r.pause(ctx, busyPause)
			default:
				r.pause(ctx, leaderPause)
			}
			continue
		}
		if r.await(ctx, a, batch.deadline) {
			r.fresh.Store(&started)
			r.metrics.read(time.Since(started))
			return nil
		}
	}
	return errStopping
}

// await waits for one ReadIndex; false when another one should be sent. A ReadIndex that is given up is Dragonboat's
// to time out.
func (r *reads) await(ctx context.Context, a attempt, deadline time.Time) bool {
	timer := time.NewTimer(min(readRetry, time.Until(deadline)))
	defer timer.Stop()
	stop := context.AfterFunc(ctx, r.wake)
	defer stop()
	reply, ok := a.await(r.woken, timer.C)
	switch {
	case ok && reply.kind == replyDone:
		return true
	case ok && !r.hasLeader():
		r.pause(ctx, leaderPause)
	case ok:
		r.pause(ctx, busyPause) // the leader has not committed an entry of its term yet
	}
	return false
}

func (r *reads) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-r.woken:
	case <-timer.C:
	}
}

// age says how long ago this node last knew that it was not behind; false when it never knew.
func (r *reads) age() (time.Duration, bool) {
	at := r.fresh.Load()
	if at == nil {
		return 0, false
	}
	return time.Since(*at), true
}
