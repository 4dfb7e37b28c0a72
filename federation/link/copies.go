package link

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go/quicvarint"

	"supercluster/internal/fault"
)

// A packet that is lost comes again a round trip later, at best, and everything behind it on its stream waits for it. A
// message that may come twice and in any order goes again in a datagram (RFC 9221), which waits for nothing, best over
// another connection, with a window of its own. An hour of 100 messages a second over a path of 150 ms one way, in virtual
// time (TestLag_Copies), in ms; p50 is 150 but with two connections and 1 % (160):
//
//	                        once              twice
//	loss   connections   p99  p99.9   max   p99  p99.9   max
//	0.1 %            2   388    488   510   205    225   455
//	                 4   400    490   530   205    225   488
//	1 %              2   488    770  1045   435    590  1095
//	                 4   490    748   955   225    448   955
//
// Copies need room: that is why spread gives such a load four connections. The lines of 0.1 % were measured before copies
// gave way to messages that wait.
//
// A datagram is the id of a stream, as a varint, and frames as on the stream, each a whole message.
const (
	// maxDatagram fits into every packet of QUIC, whatever the path.
	maxDatagram = 1150
	// maxCopied is how long a message may be that could become short enough by compression.
	maxCopied = 2 * maxDatagram
	// copyRate bounds the copies of a stream, in bytes a second: beyond it bytes are what is short.
	copyRate = 256 << 10
	// copyFrom is the least round trip that is worth a copy.
	copyFrom = 20 * time.Millisecond
	// maxCopyAfter bounds how long a copy waits, and so the memory of a stream for them: 26 KiB.
	maxCopyAfter = 100 * time.Millisecond
	// copiesAhead is how many copies wait for the receiver at most.
	copiesAhead = 64
)

// copyTurn gives how long copies are gathered, far less than what a loss takes and long enough that several share a packet,
// and how many bytes of them. Where they share a connection with what they are copies of, it is one datagram: more would
// take its place in a window that losses have made small. Some of a turn are of no use, for what is lost is missed by all
// that comes later: of one with more, none go.
func copyTurn(rtt time.Duration, beside bool) (time.Duration, int) {
	if rtt < copyFrom {
		return 0, 0
	}
	after := min(rtt/4, maxCopyAfter)
	if !beside {
		return after, maxDatagram
	}
	return after, int(copyRate * after.Seconds())
}

// copies are the messages of a stream that go again.
type copies struct {
	turn chan time.Duration // one begins, and is due after so long; only when the one before was taken

	mu        sync.Mutex
	datagrams [][]byte // of this turn
	messages  int      // in them
	room      int      // for bytes in this turn; negative: it has too many
}

// SendCopy sends soon a copy of a message that was sent on this stream or, beside, on another one of the same receiver. It
// comes before or after what is sent around it, if it comes: what there is no room for is dropped. The body is not kept.
func (s *Stream) SendCopy(m Message, beside bool) {
	if !s.conn.copies || len(m.Body) > maxCopied {
		return
	}
	body, packed := s.conn.end.codec.pack(m.Body)
	id, n := uint64(s.raw.StreamID()), headerSize+len(body)
	if n > maxDatagram-quicvarint.Len(id) {
		return
	}
	c := &s.copies
	c.mu.Lock()
	defer c.mu.Unlock()
	after, first := time.Duration(0), len(c.datagrams) == 0
	if first {
		if after, c.room = copyTurn(s.conn.raw.ConnectionStats().SmoothedRTT, beside); after == 0 {
			return
		}
	}
	if c.room -= n; c.room < 0 {
		return
	}
	c.messages++
	if first || len(c.datagrams[len(c.datagrams)-1])+n > maxDatagram {
		c.datagrams = append(c.datagrams, quicvarint.Append(make([]byte, 0, maxDatagram), id))
	}
	d := &c.datagrams[len(c.datagrams)-1]
	*d = appendMessage(*d, m.Type, body, len(m.Body), packed, maxDatagram)
	if first {
		s.repeating.Do(func() { s.conn.spawn(s.repeat) })
		c.turn <- after
	}
}

// repeat sends the copies of each turn, until the stream or the connection ends. While messages wait to be sent the window is
// short, and copies would keep it from them: those of that turn do not go.
func (s *Stream) repeat() {
	for s.copies.wait(s.done, s.conn.raw.Context().Done()) {
		datagrams, messages := s.copies.take()
		if s.queue.waits() {
			continue
		}
		s.conn.end.metrics.copied(s.class, outward, messages)
		for _, d := range datagrams {
			if err := s.conn.raw.SendDatagram(d); err != nil {
				return // the connection ends; or the path does not carry what every path does, and messages come once
			}
		}
	}
}

// wait returns when the copies of a turn are due; false says that an end came first.
func (c *copies) wait(stream, conn <-chan struct{}) bool {
	var due <-chan time.Time
	for {
		select {
		case after := <-c.turn:
			due = time.After(after)
		case <-due:
			return true
		case <-stream:
			return false
		case <-conn:
			return false
		}
	}
}

// take ends a turn.
func (c *copies) take() (datagrams [][]byte, messages int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	datagrams, messages = c.datagrams, c.messages
	c.datagrams, c.messages = nil, 0
	if c.room < 0 {
		return nil, 0
	}
	return datagrams, messages
}

// takeCopies hands the copies that come to their streams, until the connection ends.
func (c *Conn) takeCopies() {
	for {
		d, err := c.raw.ReceiveDatagram(c.raw.Context())
		if err != nil {
			return
		}
		if err := c.takeCopy(d); err != nil {
			c.Close(err)
			return
		}
	}
}

// takeCopy takes in one datagram. What nobody waits for, or has room for, is dropped: the stream brings it.
func (c *Conn) takeCopy(datagram []byte) error {
	id, n, err := quicvarint.Parse(datagram)
	if err != nil {
		return fault.Wrap(fault.Corrupt, err, "a datagram names no stream")
	}
	s := c.stream(id)
	if s == nil {
		return nil
	}
	frames := frameReader{
		r: bytes.NewReader(datagram[n:]), limit: bounds{frame: maxDatagram, message: maxCopied}, unpack: c.end.codec.unpack,
	}
	for {
		m, err := frames.next()
		switch {
		case err == io.EOF:
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fault.Wrap(fault.Corrupt, err, "a datagram ends inside a message")
		case err != nil:
			return err
		}
		m.Copy = true
		c.end.metrics.copied(s.class, inward, 1)
		select {
		case s.copied <- m:
		default:
			return nil
		}
	}
}
