package link

import (
	"bufio"
	"context"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// codeReset is the error code of streams that were given up.
const codeReset quic.StreamErrorCode = 1

// Stream carries messages of one class, in order, both ways. Send and Recv may be called at once, and each by many.
type Stream struct {
	conn  *Conn
	raw   *quic.Stream
	class Class
	queue *sendQueue

	reading, writing, repeating sync.Once // start the goroutines, when they are first needed

	copies  copies       // to send
	copied  chan Message // copies that came
	arrived chan Message
	done    chan struct{} // closed when this end closed the stream
	shut    sync.Once

	ended chan struct{} // closed when nothing more arrives; err is valid then
	err   error
}

func newStream(c *Conn, raw *quic.Stream, class Class) *Stream {
	raw.SetPriority(urgencies[class], true)
	s := &Stream{
		conn: c, raw: raw, class: class, queue: newSendQueue(c.end.cfg.Limits.QueueBytes),
		copies: copies{turn: make(chan time.Duration, 1)}, copied: make(chan Message, copiesAhead),
		arrived: make(chan Message), done: make(chan struct{}), ended: make(chan struct{}),
	}
	c.keep(s)
	return s
}

// Class says what the stream is for.
func (s *Stream) Class() Class { return s.class }

// Send queues a message; it is written as soon as QUIC takes it. Send returns when the message is in the queue, which
// says nothing about its arrival. When the context ends first, nothing of it is sent. The body is not kept.
func (s *Stream) Send(ctx context.Context, m Message) error {
	limit := s.conn.terms.send
	if len(m.Body) > int(limit.message) {
		return fault.New(fault.TooLarge, "message of %d bytes is over the limit of %d of the peer", len(m.Body), limit.message)
	}
	if err := s.queue.begin(ctx); err != nil {
		return err
	}
	defer s.queue.end()
	body, packed := s.conn.end.codec.pack(m.Body)
	frames := parts(len(body), limit.frame)
	err := s.queue.put(ctx, len(body)+frames*headerSize, func(b []byte) []byte {
		return appendMessage(b, m.Type, body, len(m.Body), packed, limit.frame)
	})
	if err != nil {
		return err
	}
	s.conn.sent(s.class, len(m.Body), frames)
	s.writing.Do(func() { s.conn.spawn(s.write) })
	return nil
}

// Drained waits until QUIC has taken all that was sent: the next message waits for none before it.
func (s *Stream) Drained(ctx context.Context) error { return s.queue.drained(ctx) }

// write writes what is queued, until the stream or the connection ends.
func (s *Stream) write() {
	for {
		chunk, done := s.queue.take()
		if done {
			_ = s.raw.Close()
			return
		}
		if len(chunk) == 0 {
			select {
			case <-s.queue.work:
			case <-s.raw.Context().Done(): // reset by this end or the peer, or the connection ended
				s.queue.fail(s.conn.why(context.Cause(s.raw.Context())))
				s.raw.CancelWrite(codeReset) // a stream that only the peer gave up stays open, and counts against the limit of who opened it
				return
			}
			continue
		}
		for rest := chunk; len(rest) > 0; {
			step := rest[:min(len(rest), writeStep)]
			if _, err := s.raw.Write(step); err != nil {
				s.queue.fail(s.conn.why(err))
				return
			}
			s.queue.wrote(len(step))
			rest = rest[len(step):]
		}
		s.queue.recycle(chunk)
	}
}

// Recv gives the next message; its body is the caller's. After the peer closed the stream and everything was received
// the error wraps io.EOF. A context that ends loses no message. Messages are in order; copies, which say so, are not.
func (s *Stream) Recv(ctx context.Context) (Message, error) {
	s.reading.Do(func() { s.conn.spawn(s.read) })
	select {
	case m := <-s.arrived:
		return m, nil
	case m := <-s.copied:
		return m, nil
	case <-s.ended:
		return Message{}, s.err
	case <-ctx.Done():
		return Message{}, fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "no message arrived")
	}
}

// read decodes messages one ahead of Recv. A peer that breaks the protocol loses the connection.
func (s *Stream) read() {
	defer close(s.ended)
	frames := frameReader{
		r: bufio.NewReaderSize(s.raw, 8<<10), limit: s.conn.end.bounds(), unpack: s.conn.end.codec.unpack,
	}
	for {
		before := frames.frames
		m, err := frames.next()
		if err != nil {
			s.err = s.broken(err)
			return
		}
		s.conn.received(s.class, len(m.Body), frames.frames-before)
		select {
		case s.arrived <- m:
		case <-s.done:
			s.err = fault.New(fault.Unavailable, "the stream is closed")
			return
		case <-s.conn.raw.Context().Done():
			s.err = s.conn.why(context.Cause(s.conn.raw.Context()))
			return
		}
	}
}

// broken says what the end of a stream means.
func (s *Stream) broken(err error) error {
	if f, ok := fault.As(err); ok { // of our own decoder
		s.conn.Close(f)
		return f
	}
	if err == io.EOF {
		return asFault(err)
	}
	return s.conn.why(err)
}

// Close ends the stream: nothing more is received, and what was queued is still sent, for which a peer that does not
// receive can take as long as the connection lives; Reset does not wait.
func (s *Stream) Close() {
	s.end(func() {
		s.queue.close()
		s.writing.Do(func() { _ = s.raw.Close() })
	})
}

// Reset gives the stream up: what was not sent yet is dropped.
func (s *Stream) Reset() {
	s.end(func() {})
	s.queue.fail(fault.New(fault.Unavailable, "the stream was given up"))
	s.raw.CancelWrite(codeReset)
}

func (s *Stream) end(writer func()) {
	s.shut.Do(func() {
		close(s.done)
		s.conn.forget(s)
		s.raw.CancelRead(codeReset)
		writer()
		s.reading.Do(func() {
			s.err = fault.New(fault.Unavailable, "the stream is closed")
			close(s.ended)
		})
	})
}
