package link

import (
	"context"
	"sync"

	"supercluster/internal/fault"
)

// keepBuffer is the largest buffer that a stream keeps when nothing is queued; it has two.
const keepBuffer = 64 << 10

// writeStep is what is written at once: room is given back in such steps.
const writeStep = 128 << 10

// sendQueue holds the frames of a stream that wait to be written, in one buffer. Senders put, one writer takes.
type sendQueue struct {
	limit int
	turn  chan struct{} // the right to put: holds one token
	work  chan struct{} // wakes the writer

	mu      sync.Mutex
	pending []byte
	writing int           // bytes taken and not written yet
	room    chan struct{} // closed when there may be room again
	closed  bool
	err     error // why nothing is taken any more
}

func newSendQueue(limit int) *sendQueue {
	return &sendQueue{limit: limit, turn: make(chan struct{}, 1), work: make(chan struct{}, 1), room: make(chan struct{})}
}

// begin waits for the turn of a sender. Order of calls is order of messages.
func (q *sendQueue) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fault.Wrap(fault.KindOf(err), err, "the message was not sent")
	}
	select {
	case q.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "the message was not sent: others wait to send before it")
	}
}

func (q *sendQueue) end() { <-q.turn }

// put queues the n bytes that add appends, once there is room. More than the limit goes only into an empty queue.
func (q *sendQueue) put(ctx context.Context, n int, add func([]byte) []byte) error {
	for {
		q.mu.Lock()
		if err := q.state(); err != nil {
			q.mu.Unlock()
			return err
		}
		queued := len(q.pending) + q.writing
		if queued == 0 || queued+n <= q.limit {
			q.pending = add(q.pending)
			q.mu.Unlock()
			q.wake()
			return nil
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "the message was not sent: %d bytes wait before it", queued)
		}
	}
}

func (q *sendQueue) state() error {
	switch {
	case q.err != nil:
		return q.err
	case q.closed:
		return fault.New(fault.Unavailable, "the stream is closed")
	default:
		return nil
	}
}

func (q *sendQueue) wake() {
	select {
	case q.work <- struct{}{}:
	default:
	}
}

// take gives the writer everything that is queued, and itself a buffer for what comes next. Nothing and true says
// that the queue was closed and is empty.
func (q *sendQueue) take(spare []byte) (frames []byte, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames = q.pending
	if cap(spare) > keepBuffer {
		spare = nil
	}
	q.pending = spare[:0]
	q.writing += len(frames)
	return frames, len(frames) == 0 && q.closed
}

// wrote gives room back.
func (q *sendQueue) wrote(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing -= n
	q.free()
}

func (q *sendQueue) free() {
	close(q.room)
	q.room = make(chan struct{})
}

// close lets nothing more in; what is queued is still written.
func (q *sendQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.free()
	q.wake()
}

// fail drops what is queued, and every sender that waits.
func (q *sendQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.closed = true
	q.pending = nil
	q.free()
	q.wake()
}
