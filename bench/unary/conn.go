package unary

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// firstWindow is what HTTP/2 lets each side send before it hears more.
	firstWindow = 65535
	// window is what the server may send on a connection; it is given back by halves.
	window = 1 << 20
	// frameHead and maxFrame are the length of a frame's head, and of the largest frame of both sides: so the largest request.
	frameHead = 9
	maxFrame  = 16 << 10
	// messageHead is the length of what stands before a gRPC message: whether it is compressed, and its length.
	messageHead = 5
)

// call is a call that is on its way, or its end.
type call struct {
	client  int
	started time.Time
	whole   int // bytes of the answer, head included; 0: nothing came yet
	got     int
	status  string // grpc-status
	reason  string // grpc-message
}

// conn is one connection and the calls on it.
type conn struct {
	socket net.Conn
	in     *bufio.Reader
	out    bytes.Buffer  // what leaves with the next flush
	frames *http2.Framer // from in, to out

	heads  [2][]byte // of the first request, and of all others: references to the table that the first one filled
	fields *hpack.Decoder
	decode *call // whose fields are decoded

	calls   map[uint32]*call
	stream  uint32 // of the next call
	credit  int    // bytes of messages that the server takes
	pending int    // bytes of messages that came since the window was given back
}

// open connects. Nothing may take longer than until the deadline.
func open(address, method string, deadline time.Time) (*conn, error) {
	socket, err := net.DialTimeout("tcp", address, time.Until(deadline))
	if err != nil {
		return nil, err
	}
	c := &conn{
		socket: socket, in: bufio.NewReaderSize(socket, 64<<10), heads: requestHeads(address, method),
		calls: map[uint32]*call{}, stream: 1, credit: firstWindow,
	}
	c.frames = http2.NewFramer(&c.out, c.in)
	c.frames.SetReuseFrames()
	c.frames.SetMaxReadFrameSize(maxFrame)
	c.fields = hpack.NewDecoder(4096, c.field)
	c.out.WriteString(http2.ClientPreface)
	return c, errors.Join(socket.SetDeadline(deadline), c.frames.WriteSettings(), c.frames.WriteWindowUpdate(0, window-firstWindow))
}

func requestHeads(address, method string) (heads [2][]byte) {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := range heads {
		block.Reset()
		for _, f := range [][2]string{
			{":method", "POST"},
			{":scheme", "http"},
			{":path", method},
			{":authority", address},
			{"content-type", "application/grpc"},
			{"te", "trailers"},
		} {
			_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // memory takes all
		}
		heads[i] = bytes.Clone(block.Bytes())
	}
	return heads
}

// takes reports whether the server takes another message, however large.
func (c *conn) takes() bool { return c.credit >= maxFrame }

// send begins a call of a client with a framed message.
func (c *conn) send(client int, message []byte) error {
	if len(message) > maxFrame {
		return fmt.Errorf("a request of %d bytes does not fit one frame of %d", len(message), maxFrame)
	}
	head := c.heads[min(c.stream>>1, 1)]
	if err := c.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: c.stream, BlockFragment: head, EndHeaders: true}); err != nil {
		return err
	}
	if err := c.frames.WriteData(c.stream, true, message); err != nil {
		return err
	}
	c.calls[c.stream] = &call{client: client, started: time.Now()}
	c.credit -= len(message)
	c.stream += 2
	return nil
}

// flush writes what is queued, unless a whole frame is in memory: the answer in it may bring another request.
func (c *conn) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	if c.in.Buffered() >= frameHead {
		if head, err := c.in.Peek(frameHead); err == nil && c.in.Buffered() >= frameHead+int(head[0])<<16+int(head[1])<<8+int(head[2]) {
			return nil
		}
	}
	_, err := c.out.WriteTo(c.socket)
	return err
}

// receive handles one frame. It gives the call that ended with it, if one did; an error ends the connection.
func (c *conn) receive() (*call, error) {
	if err := c.flush(); err != nil {
		return nil, err
	}
	next, err := c.frames.ReadFrame()
	if err != nil {
		return nil, err
	}
	switch f := next.(type) {
	case *http2.HeadersFrame:
		return c.head(f)
	case *http2.DataFrame:
		return nil, c.data(f)
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			c.credit += int(f.Increment)
		}
		return nil, nil
	case *http2.PingFrame:
		if f.IsAck() {
			return nil, nil
		}
		return nil, c.frames.WritePing(true, f.Data)
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil, nil
		}
		return nil, c.frames.WriteSettingsAck()
	case *http2.RSTStreamFrame:
		return nil, c.reset(f)
	default:
		return nil, fmt.Errorf("the server sent %v", next)
	}
}

// data counts a part of an answer.
func (c *conn) data(f *http2.DataFrame) error {
	one, body := c.calls[f.StreamID], f.Data()
	switch {
	case one == nil:
		return fmt.Errorf("a message for call %d, which is not open", f.StreamID)
	case f.StreamEnded():
		return errors.New("a call ended without trailers")
	case one.whole == 0 && (len(body) < messageHead || body[0] != 0):
		return errors.New("an answer begins with a compressed message, or with a part of its head")
	case one.whole == 0:
		one.whole = messageHead + int(binary.BigEndian.Uint32(body[1:]))
	}
	one.got += len(body)
	if c.pending += int(f.Length); c.pending < window/2 {
		return nil
	}
	given := c.pending
	c.pending = 0
	return c.frames.WriteWindowUpdate(0, uint32(given))
}

// reset takes the reset of a call that was answered whole: a server that answers before it has seen the end of the request asks
// for no more of it so (RFC 9113, section 8.1), and the answer stays good.
func (c *conn) reset(f *http2.RSTStreamFrame) error {
	if c.calls[f.StreamID] == nil && f.StreamID < c.stream && f.ErrCode == http2.ErrCodeNo {
		return nil
	}
	return fmt.Errorf("the server reset call %d: %v", f.StreamID, f.ErrCode)
}

// head reads the fields of a call: what begins an answer, or the trailers that end it.
func (c *conn) head(f *http2.HeadersFrame) (*call, error) {
	one := c.calls[f.StreamID]
	if one == nil || !f.HeadersEnded() {
		return nil, fmt.Errorf("fields for call %d, which is not open, or in more than one frame", f.StreamID)
	}
	c.decode = one
	if _, err := c.fields.Write(f.HeaderBlockFragment()); err != nil {
		return nil, err
	}
	if err := c.fields.Close(); err != nil {
		return nil, err
	}
	if !f.StreamEnded() {
		return nil, nil
	}
	delete(c.calls, f.StreamID)
	return one, nil
}

func (c *conn) field(f hpack.HeaderField) {
	switch f.Name {
	case "grpc-status":
		c.decode.status = f.Value
	case "grpc-message":
		c.decode.reason = f.Value
	}
}

// failure says what is wrong with the end of a call; nil when it went well.
func (c *call) failure(least int) error {
	switch {
	case c.status != "0":
		return fmt.Errorf("grpc-status %q: %s", c.status, c.reason)
	case c.whole == 0 || c.got != c.whole:
		return fmt.Errorf("an answer of %d bytes where its head says %d", c.got, c.whole)
	case c.got < messageHead+least:
		return fmt.Errorf("an answer of %d bytes, which is too short", c.got)
	}
	return nil
}
