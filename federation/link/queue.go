package link

import (
	"context"
	"sync"

	"supercluster/internal/fault"
)

// chunkSize is the least size of a chunk of the queue: small messages share one.
const chunkSize = 32 << 10

// writeStep is what is written at once: room is given back in such steps.
const writeStep = 128 << 10

// sendQueue holds the frames of a stream that wait to be written, in chunks. Senders put, one writer takes.
type sendQueue struct {
	limit int
	turn  chan struct{} // the right to put: holds one token
	work  chan struct{} // wakes the writer

	mu     sync.Mutex
	chunks [][]byte
	queued int           // bytes put and not written yet
	spare  []byte        // an empty chunk
	room   chan struct{} // closed when there may be room again
	closed bool
	err    error // why nothing is taken any more
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
		queued := q.queued
		if queued == 0 || queued+n <= q.limit {
			last := q.chunk(n)
			*last = add(*last)
			q.queued += n
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

// waits reports whether something was not written yet.
func (q *sendQueue) waits() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.queued > 0
}

// drained waits until everything was written.
func (q *sendQueue) drained(ctx context.Context) error {
	for {
		q.mu.Lock()
		queued, room, err := q.queued, q.room, q.err
		q.mu.Unlock()
		if err != nil || queued == 0 {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "%d bytes wait to be sent", queued)
		}
	}
}

// chunk gives the last chunk, with room for n bytes. The lock is held.
func (q *sendQueue) chunk(n int) *[]byte {
	if last := len(q.chunks) - 1; last >= 0 && cap(q.chunks[last])-len(q.chunks[last]) >= n {
		return &q.chunks[last]
	}
	c := q.spare
	q.spare = nil
	if cap(c) < n {
		c = make([]byte, 0, max(n, chunkSize))
	}
	q.chunks = append(q.chunks, c[:0])
	return &q.chunks[len(q.chunks)-1]
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

// take gives the writer the first chunk. None and true says that the queue was closed and is empty.
func (q *sendQueue) take() (chunk []byte, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.chunks) == 0 {
		return nil, q.closed
	}
	chunk = q.chunks[0]
	q.chunks[0] = nil
	if q.chunks = q.chunks[1:]; len(q.chunks) == 0 {
		q.chunks = nil
	}
	return chunk, false
}

// recycle takes back a chunk that was written. A large one is not kept.
func (q *sendQueue) recycle(chunk []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if cap(chunk) == chunkSize {
		q.spare = chunk
	}
}

// wrote gives room back.
func (q *sendQueue) wrote(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queued -= n
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
	q.chunks = nil
	q.free()
	q.wake()
}
