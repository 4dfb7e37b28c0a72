package federation

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/fault"
)

// What a server sends on a stream of channels is numbered, so that it can take several connections at once while a
// backlog meets loss: each has a stream, a lane, and the receiver puts what comes in order again.

// frameLane is the type of the first message on a stream of channels: its body is 0 for the stream itself or 1 for one
// more lane of it, and the name of the stream. Body 2 ends a lane: the server sends what it has taken, and no more.
const frameLane uint8 = 250

const (
	laneName = 16
	// numbered is the length of the number before a message.
	numbered = 8
	// maxAhead and maxAheadBytes bound the messages that wait for one before them.
	maxAhead      = 4096
	maxAheadBytes = 64 << 20
	// twiceFor is how long after the last records messages go twice.
	twiceFor = time.Second
	// gapWithin is how long a message may be missing while later ones are here: its lane was lost.
	gapWithin = 3 * time.Second
)

// lanes finds the outlet that a further lane belongs to.
type lanes struct {
	mu      sync.Mutex
	outlets map[[laneName]byte]*outlet
}

func newLanes() *lanes { return &lanes{outlets: map[[laneName]byte]*outlet{}} }

func (l *lanes) add(name [laneName]byte, o *outlet) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outlets[name] = o
}

func (l *lanes) remove(name [laneName]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.outlets, name)
}

func (l *lanes) find(name [laneName]byte, peer [16]byte) *outlet {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.outlets[name]; o != nil && o.peer == peer {
		return o
	}
	return nil
}

// hello opens a stream of channels, or one more lane of it.
func hello(ctx context.Context, s *link.Stream, more bool, name [laneName]byte) error {
	body := append([]byte{0}, name[:]...)
	if more {
		body[0] = 1
	}
	return s.Send(ctx, link.Message{Type: frameLane, Body: body})
}

func newLaneName() (name [laneName]byte) {
	_, _ = rand.Read(name[:]) // never fails
	return name
}

// export serves what a peer pulls on a stream, until it ends.
func (f *Federation) export(ctx context.Context, peer link.Peer, s *link.Stream) error {
	m, err := s.Recv(ctx)
	if err != nil {
		return err
	}
	if m.Type != frameLane || len(m.Body) != 1+laneName {
		return fault.New(fault.Invalid, "a stream of channels does not begin with its name")
	}
	name := [laneName]byte(m.Body[1:])
	if m.Body[0] == 0 {
		return f.exportOn(ctx, peer.Region, s, name)
	}
	o := f.lanes.find(name, peer.Region)
	if o == nil {
		return nil // the stream has ended meanwhile
	}
	leave := make(chan struct{})
	go func() {
		defer close(leave)
		_, _ = s.Recv(ctx) // the receiver needs the lane no more, or it is gone
	}()
	return o.carry(ctx, s, leave)
}

// carry sends on one lane what is next, until it or the outlet ends. What it could not send is lost: then the outlet ends
// too, and the receiver pulls again.
func (o *outlet) carry(ctx context.Context, s *link.Stream, leave <-chan struct{}) error {
	o.join(s)
	defer o.part(s)
	for {
		select {
		case <-leave:
			return nil
		case m := <-o.out:
			if err := o.carryOne(ctx, s, m); err != nil {
				o.fail(err)
				return err
			}
		case <-o.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// carryOne sends a message, and a copy of it on another lane. It returns when the lane is free again: one that is held up by
// losses takes no more.
func (o *outlet) carryOne(ctx context.Context, s *link.Stream, m outgoing) error {
	if err := s.Send(ctx, m.Message); err != nil {
		return err
	}
	if m.twice {
		other := o.beside(s)
		other.SendCopy(m.Message, other != s)
	}
	return s.Drained(ctx)
}

func (o *outlet) join(s *link.Stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lanes = append(o.lanes, s)
}

func (o *outlet) part(s *link.Stream) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lanes = slices.DeleteFunc(o.lanes, func(l *link.Stream) bool { return l == s })
}

// beside gives the lane after this one, or this one if it is alone.
func (o *outlet) beside(s *link.Stream) *link.Stream {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.lanes, s)
	return o.lanes[(i+1)%len(o.lanes)]
}

// fail ends the outlet.
func (o *outlet) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
		o.cancel()
	}
}

// outgoing is a message with its number before it, as it travels.
type outgoing struct {
	link.Message
	twice bool // a copy is to follow
}

// hand gives a message to whichever lane is free first. Records go twice, and what comes among them, for all that comes
// later waits for what is lost. What is said when nothing happens goes once.
func (o *outlet) hand(ctx context.Context, m *feed.Message) error {
	now := o.f.cfg.Now()
	if m.Batch != nil && len(m.Batch.Records) > 0 {
		o.busy = now
	}
	body := binary.BigEndian.AppendUint64(nil, o.sequence)
	o.sequence++
	out := outgoing{
		Message: link.Message{Type: uint8(m.Type), Body: feed.Append(body, m)},
		twice:   !o.f.cfg.SendOnce && now.Sub(o.busy) < twiceFor,
	}
	select {
	case o.out <- out:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sequencer puts the messages of several lanes in order.
type sequencer struct {
	mu    sync.Mutex
	next  uint64
	ahead map[uint64]link.Message
	bytes int       // of those ahead
	saved func()    // told of a copy that came before the original; may be nil
	since time.Time // when the oldest gap began; zero: there is none
}

// take gives the messages that are due after one more came.
func (q *sequencer) take(m link.Message, now time.Time, deliver func(link.Message) error) error {
	if len(m.Body) < numbered {
		return fault.New(fault.Invalid, "a message on a stream of channels has no number")
	}
	n := binary.BigEndian.Uint64(m.Body)
	m.Body = m.Body[numbered:]
	q.mu.Lock()
	defer q.mu.Unlock()
	if _, twice := q.ahead[n]; twice || n < q.next {
		return nil // a copy, or what a copy has brought
	}
	if m.Copy && q.saved != nil {
		q.saved()
	}
	if n != q.next {
		if len(q.ahead) >= maxAhead || q.bytes+len(m.Body) > maxAheadBytes {
			return fault.New(fault.Invalid, "message %d came while %d was due", n, q.next)
		}
		if q.ahead == nil {
			q.ahead = map[uint64]link.Message{}
		}
		if q.since.IsZero() {
			q.since = now
		}
		q.ahead[n], q.bytes = m, q.bytes+len(m.Body)
		return nil
	}
	for ok := true; ok; {
		q.next++
		if err := deliver(m); err != nil {
			return err
		}
		if m, ok = q.ahead[q.next]; ok {
			delete(q.ahead, q.next)
			q.bytes -= len(m.Body)
		}
	}
	q.since = time.Time{}
	if len(q.ahead) > 0 {
		q.since = now
	}
	return nil
}

// stuck reports whether a message is missing for so long that its lane must have been lost.
func (q *sequencer) stuck(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.since.IsZero() && now.Sub(q.since) > gapWithin
}

// extra uses one more connection of a link: a lane of each stream that carries bulk.
func (u *uplink) extra(ctx context.Context, conn *link.Conn) error {
	u.mu.Lock()
	c := u.current
	u.mu.Unlock()
	if c == nil {
		return nil
	}
	var open sync.WaitGroup
	var streams []*link.Stream
	for _, in := range c.bulk() {
		s, err := conn.Open(ctx, in.class)
		if err != nil {
			return err
		}
		if err := hello(ctx, s, true, in.name); err != nil {
			return err
		}
		open.Go(func() {
			defer s.Close()
			if err := in.receive(c.ctx, s); c.ctx.Err() == nil && conn.Err() == nil && !errors.Is(err, io.EOF) {
				u.f.log.Debug("a lane ended", "class", in.class, "error", err) // what it took along is missed, and comes again
			}
		})
		streams = append(streams, s)
	}
	select {
	case <-c.ctx.Done():
	case <-ctx.Done():
		for _, s := range streams {
			_ = s.Send(c.ctx, link.Message{Type: frameLane, Body: []byte{2}}) // it ends when what is on its way has come
		}
	}
	open.Wait()
	return nil
}

// bulk lists the streams that may have a backlog.
func (c *connection) bulk() []*inlet {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*inlet
	for class, in := range c.inlets {
		if class != link.ClassControl {
			all = append(all, in)
		}
	}
	return all
}
