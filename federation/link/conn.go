package link

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// Conn is one QUIC connection to a server of another region.
type Conn struct {
	end    *Endpoint
	raw    *quic.Conn
	peer   Peer
	terms  terms
	dialed bool
	extra  bool
	leave  context.CancelFunc // of an extra connection: its user is to end
	// joining: the first contact with a region, whose certificate nobody verified.
	joining bool
	copies  bool // the peer takes datagrams

	streams chan *Stream // opened by the peer, their class known
	group   sync.WaitGroup

	mu       sync.Mutex
	reason   error // why this end closed the connection
	finished bool  // no more goroutines
	kept     map[quic.StreamID]*Stream

	payloadIn, payloadOut atomic.Uint64
}

// Stats are figures of a connection, or of all connections of a link.
type Stats struct {
	RTT                   time.Duration // smoothed; of several connections the smallest
	WireIn, WireOut       uint64        // bytes, packets with their headers
	PayloadIn, PayloadOut uint64        // bytes of messages, before compression
	PacketsOut, Lost      uint64        // packets sent, and those of them declared lost
	Connections           int
}

// Peer says who is at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// Dialed reports whether this end opened the connection.
func (c *Conn) Dialed() bool { return c.dialed }

// Extra reports whether the connection is one more beside the first of a link, for streams of bulk classes only.
func (c *Conn) Extra() bool { return c.extra }

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.raw.Context().Done() }

// Err says why the connection has ended; nil while it lives.
func (c *Conn) Err() error {
	if c.raw.Context().Err() == nil {
		return nil
	}
	return c.why(context.Cause(c.raw.Context()))
}

// Stats gives the figures of the connection.
func (c *Conn) Stats() Stats {
	s := c.raw.ConnectionStats()
	return Stats{
		RTT: s.SmoothedRTT, WireIn: s.BytesReceived, WireOut: s.BytesSent,
		PayloadIn: c.payloadIn.Load(), PayloadOut: c.payloadOut.Load(),
		PacketsOut: s.PacketsSent, Lost: s.PacketsLost, Connections: 1,
	}
}

// Open opens a stream of a class. The peer learns of it at once.
func (c *Conn) Open(ctx context.Context, class Class) (*Stream, error) {
	if !class.valid() {
		return nil, fault.New(fault.Invalid, "%s is no class of streams", class)
	}
	raw, err := c.raw.OpenStreamSync(ctx)
	if err != nil {
		return nil, c.why(err)
	}
	s := newStream(c, raw, class)
	if _, err := raw.Write([]byte{byte(class)}); err != nil { // one byte is buffered: it never waits
		s.Reset()
		return nil, c.why(err)
	}
	return s, nil
}

// Accept waits for a stream that the peer opened. Streams that nobody accepts count against the peer's limit.
func (c *Conn) Accept(ctx context.Context) (*Stream, error) {
	select {
	case s := <-c.streams:
		return s, nil
	case <-c.Done():
		return nil, c.Err()
	case <-ctx.Done():
		return nil, fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "the peer opened no stream")
	}
}

// Close ends the connection; the peer is told the reason, which may be nil.
func (c *Conn) Close(reason error) {
	c.mu.Lock()
	if c.reason == nil && c.raw.Context().Err() == nil {
		c.reason = reason
	}
	c.mu.Unlock()
	code, text := closeCode(reason)
	_ = c.raw.CloseWithError(code, text)
}

// why explains an error of the connection or of one of its streams.
func (c *Conn) why(err error) error {
	c.mu.Lock()
	reason := c.reason
	c.mu.Unlock()
	var application *quic.ApplicationError
	if reason != nil && errors.As(err, &application) && !application.Remote {
		return asFault(reason)
	}
	if cause := context.Cause(c.raw.Context()); cause != nil && errors.Is(err, context.Canceled) {
		return asFault(cause)
	}
	return asFault(err)
}

// spawn runs f as a part of the connection; it must end when the connection does. After that f runs at once: it fails
// at its first step.
func (c *Conn) spawn(f func()) {
	c.mu.Lock()
	if !c.finished {
		c.group.Go(f)
		f = func() {}
	}
	c.mu.Unlock()
	f()
}

// wait returns when the connection and all its goroutines have ended.
func (c *Conn) wait() {
	<-c.Done()
	c.mu.Lock()
	c.finished = true
	c.mu.Unlock()
	c.group.Wait()
}

// listen takes the streams of the peer until the connection ends.
func (c *Conn) listen() {
	for {
		raw, err := c.raw.AcceptStream(c.raw.Context())
		if err != nil {
			return
		}
		c.spawn(func() { c.greet(raw) })
	}
}

// greet reads the class of a stream. Each stream has its own goroutine for that: one whose first packet was lost
// must not hold up the next. MaxStreams bounds them.
func (c *Conn) greet(raw *quic.Stream) {
	_ = raw.SetReadDeadline(time.Now().Add(c.end.cfg.Limits.Idle))
	var first [1]byte
	if _, err := io.ReadFull(raw, first[:]); err != nil {
		raw.CancelRead(codeReset)
		raw.CancelWrite(codeReset)
		return
	}
	_ = raw.SetReadDeadline(time.Time{})
	class := Class(first[0])
	if !class.valid() { // of a newer peer, perhaps: the connection is as good as before
		raw.CancelRead(codeReset)
		raw.CancelWrite(codeReset)
		return
	}
	select {
	case c.streams <- newStream(c, raw, class):
	case <-c.Done():
	}
}

// keep makes a stream known to the copies that come for it.
func (c *Conn) keep(s *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil {
		c.kept = map[quic.StreamID]*Stream{}
	}
	c.kept[s.raw.StreamID()] = s
}

func (c *Conn) forget(s *Stream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.kept, s.raw.StreamID())
}

// stream finds a stream that was not closed here; nil: there is none.
func (c *Conn) stream(id uint64) *Stream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[quic.StreamID(id)]
}

func (c *Conn) sent(class Class, payload, frames int) {
	c.payloadOut.Add(uint64(payload))
	c.end.metrics.count(class, outward, payload, frames)
}

func (c *Conn) received(class Class, payload, frames int) {
	c.payloadIn.Add(uint64(payload))
	c.end.metrics.count(class, inward, payload, frames)
}
