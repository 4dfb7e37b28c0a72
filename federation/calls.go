package federation

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Calls between regions. Numbers travel: never reused.
const (
	callOffers  uint8 = 1 // what channels the peer has for this region
	callTenants uint8 = 2 // the tenants of the peer, by name
	callForward uint8 = 3 // a write to what the peer is the home of
	callJoin    uint8 = 4 // the first contact, with an invitation
	callClock   uint8 = 5 // the time of the node that answers, as it counts it
	callReach   uint8 = 6 // which regions the peer reaches
	callKept    uint8 = 7 // which channels that the caller has are kept from it now
	callShown   uint8 = 8 // heads that the peer signed, as others say, and does not offer
	callLeader  uint8 = 9 // where the server that leads the peer is reached
)

const (
	frameCall   uint8 = 1
	frameAnswer uint8 = 2
	// maxCalls bounds the calls of a peer that are worked on at once.
	maxCalls = 16
	// maxForwards bounds the calls that peers forward and that are worked on at once: they never starve local writers.
	maxForwards = 64
	// callTimeout bounds a call whose caller set no end.
	callTimeout = 10 * time.Second
)

// caller makes calls on a stream.
type caller struct {
	stream *link.Stream

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan answer
	clock   int64     // of the peer when it was asked last, 0: it was not
	clocked time.Time // when its answer came
	quiet   time.Time // since when calls wait and none is answered; zero: none waits
	err     error
}

type answer struct {
	body []byte
	err  error
	lost error // the link ended before the peer answered
}

func newCaller(s *link.Stream) *caller { return &caller{stream: s, waiting: map[uint64]chan answer{}} }

// run takes in answers until the stream ends.
func (c *caller) run(ctx context.Context) error {
	for {
		m, err := c.stream.Recv(ctx)
		if err != nil {
			return err
		}
		id, n := binary.Uvarint(m.Body)
		if n <= 0 || m.Type != frameAnswer {
			return fault.New(fault.Invalid, "a peer sent something that is no answer")
		}
		c.mu.Lock()
		w := c.waiting[id]
		c.drop(id)
		c.mu.Unlock()
		if w != nil {
			w <- decodeAnswer(m.Body[n:])
		}
	}
}

// end answers every call that still waits.
func (c *caller) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err = err; err == nil {
		c.err = fault.New(fault.Unavailable, "the link has ended")
	}
	for id, w := range c.waiting {
		w <- answer{lost: fault.Wrap(fault.OutcomeUnknown, c.err, "the link ended before the peer answered")}
		delete(c.waiting, id)
	}
}

// call makes a call and waits for its answer.
func (c *caller) call(ctx context.Context, method uint8, payload []byte) ([]byte, error) {
	a, err := c.exchange(ctx, method, payload)
	if err != nil {
		return nil, err
	}
	return a.body, a.err
}

// exchange is call with what the peer answered, an error perhaps, apart from what happened to the call on the way.
func (c *caller) exchange(ctx context.Context, method uint8, payload []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	w := make(chan answer, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return answer{}, fault.Wrap(fault.Unavailable, c.err, "the link has ended")
	}
	c.next++
	id := c.next
	if len(c.waiting) == 0 {
		c.quiet = time.Now()
	}
	c.waiting[id] = w
	c.mu.Unlock()
	body := append(append(binary.AppendUvarint(nil, id), method), payload...)
	if err := c.stream.Send(ctx, link.Message{Type: frameCall, Body: body}); err != nil {
		c.forget(id)
		return answer{}, err
	}
	select {
	case a := <-w:
		return a, a.lost
	case <-ctx.Done():
		c.forget(id)
		return answer{}, fault.Wrap(fault.OutcomeUnknown, ctx.Err(), "the peer did not answer in time")
	}
}

func (c *caller) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id) // that nobody waits any more is no answer: it stays as quiet as it was
}

// drop notes that an answer came. The caller holds the lock.
func (c *caller) drop(id uint64) {
	delete(c.waiting, id)
	c.quiet = time.Now()
}

// askClock learns the clock of the peer.
func (c *caller) askClock(ctx context.Context) error {
	b, err := c.call(ctx, callClock, nil)
	if fault.Is(err, fault.Unsupported) {
		return nil // an earlier version
	}
	stamp, n := binary.Varint(b)
	if err != nil || n <= 0 {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock, c.clocked = stamp, time.Now()
	return nil
}

// peerTime is what the clock of the peer shows at least now; 0: not known.
func (c *caller) peerTime() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clock == 0 {
		return 0
	}
	return c.clock + int64(time.Since(c.clocked))
}

// silentAfter is how long a peer that is asked may be silent until no more is handed to it. It is asked every other
// second, so that a link that carries nothing is known before its connection ends.
const silentAfter = 3 * time.Second

// silent reports whether the peer is asked and does not answer.
func (c *caller) silent() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting) > 0 && time.Since(c.quiet) > silentAfter
}

// An answer is 0 and the body, or 1, kind u8, revision, the texts of a fault, and the milliseconds to wait.
func encodeAnswer(id uint64, body []byte, err error) []byte {
	b := binary.AppendUvarint(nil, id)
	if err == nil {
		return append(append(b, 0), body...)
	}
	b = append(b, 1, byte(fault.KindOf(err)))
	e, ok := fault.As(err)
	if !ok {
		e = fault.New(fault.Internal, "the region failed; its log says why")
	}
	b = binary.AppendUvarint(b, e.Revision)
	for _, s := range []string{e.Message, e.Field, e.Hint} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return binary.AppendUvarint(b, uint64(max(e.RetryAfter, 0)/time.Millisecond))
}

func decodeAnswer(b []byte) answer {
	if len(b) > 0 && b[0] == 0 {
		return answer{body: b[1:]}
	}
	if len(b) < 3 {
		return answer{err: fault.New(fault.Invalid, "a peer sent an answer that does not parse")}
	}
	e := &fault.Error{Kind: fault.Kind(b[1])}
	rest := b[2:]
	revision, n := binary.Uvarint(rest)
	if n > 0 {
		e.Revision, rest = revision, rest[n:]
	}
	for _, s := range []*string{&e.Message, &e.Field, &e.Hint} {
		size, n := binary.Uvarint(rest)
		if n <= 0 || size > uint64(len(rest)-n) {
			break
		}
		*s, rest = string(rest[n:n+int(size)]), rest[n+int(size):]
	}
	if ms, n := binary.Uvarint(rest); n > 0 {
		e.RetryAfter = time.Duration(min(ms, uint64(time.Hour/time.Millisecond))) * time.Millisecond
	}
	return answer{err: e}
}

// answerCalls answers the calls of a peer on a stream.
func (f *Federation) answerCalls(ctx context.Context, peer link.Peer, s *link.Stream) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxCalls + maxForwards + 1) // more forwards than that are refused, and do not hold up what comes after them
	g.Go(func() error {
		for {
			m, err := s.Recv(ctx)
			if err != nil {
				return err
			}
			id, n := binary.Uvarint(m.Body)
			if m.Type != frameCall || n <= 0 || len(m.Body) == n {
				return fault.New(fault.Invalid, "a peer sent something that is no call")
			}
			method, payload := m.Body[n], m.Body[n+1:]
			g.Go(func() error {
				call, cancel := context.WithTimeout(ctx, callTimeout)
				defer cancel()
				body, err := f.answer(call, peer, method, payload)
				return s.Send(ctx, link.Message{Type: frameAnswer, Body: encodeAnswer(id, body, err)})
			})
		}
	})
	return g.Wait()
}

func (f *Federation) answer(ctx context.Context, peer link.Peer, method uint8, payload []byte) ([]byte, error) {
	switch method {
	case callOffers:
		return f.offers(peer.Region, payload)
	case callClock:
		return binary.AppendVarint(nil, f.ages.stamp()), nil
	case callReach:
		return f.answerReach()
	case callTenants:
		return f.tenants()
	case callKept:
		return f.answerKept(peer.Region, payload)
	case callShown:
		return nil, f.answerShown(ctx, payload)
	case callLeader:
		return []byte(f.leaderAddress()), nil
	case callForward:
		return f.answerForward(ctx, peer.Region, payload)
	default:
		return nil, fault.New(fault.Unsupported, "this version knows no call %d", method).
			WithHint("upgrade this region to the version that the other runs")
	}
}

// offer is a channel that a peer may have.
type offer struct{ document, head []byte }

// A wish comes with a call for offers and says what the caller wants to hear of other regions; without it, everything.
// It is relayWish, then of each region its id, the newest incarnation that the caller knows, and 1 if its channels are
// wanted. What is not wanted is offered all the same if the peer knows a newer incarnation.
const (
	relayWish     uint8 = 1
	relayWishSize       = 16 + 8 + 1
)

func appendWish(dst []byte, region [16]byte, incarnation uint64, wanted bool) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, region[:]...), incarnation)
	if wanted {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// unwanted reads a wish: the regions that need not be offered up to an incarnation.
func unwanted(wish []byte) map[[16]byte]uint64 {
	if len(wish) == 0 || wish[0] != relayWish {
		return nil
	}
	upTo := map[[16]byte]uint64{}
	for rest := wish[1:]; len(rest) >= relayWishSize; rest = rest[relayWishSize:] {
		if rest[24] == 0 {
			upTo[[16]byte(rest[:16])] = binary.BigEndian.Uint64(rest[16:])
		}
	}
	return upTo
}

// offers lists the channels that are here and that a region may have, and what this region knows of its own.
func (f *Federation) offers(to [16]byte, wish []byte) (b []byte, err error) {
	not := unwanted(wish)
	err = f.pinned(func(r state.Reader) error {
		regions, err := state.Regions(r)
		if err != nil {
			return err
		}
		own, err := f.server.Offers(r, to, f.cfg.Now().UnixNano())
		if err != nil {
			return err
		}
		for _, o := range own {
			b = appendOffer(b, offer{o.Document, o.Head})
		}
		for i := range regions {
			if uint32(i+1) == state.AliasSelf || regions[i].Removed {
				continue
			}
			id := regions[i].ID
			upTo, skips := not[id]
			err := state.EachFeedState(r, uint32(i+1), func(channel uint32, s *record.FeedState) error {
				if len(s.Head) == 0 || skips && id != to && s.Position.Incarnation <= upTo {
					return nil
				}
				head := s.Head
				if id == to { // it judges by the newest whether another copy of it lives
					head = f.routes.shown(channelName{id, channel}, s.Position, head)
				}
				doc, err := record.DecodeChannelDocument(s.Document)
				if err == nil && (id == to || doc.Channel.MayHave(to)) {
					b = appendOffer(b, offer{s.Document, head})
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return b, err
}

func appendOffer(dst []byte, o offer) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(o.document))), o.document...)
	return append(binary.AppendUvarint(dst, uint64(len(o.head))), o.head...)
}

func decodeOffers(b []byte) (all []offer, err error) {
	for len(b) > 0 {
		var o offer
		for _, part := range []*[]byte{&o.document, &o.head} {
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return nil, fault.New(fault.Invalid, "a peer sent offers that do not parse")
			}
			*part, b = b[n:n+int(size)], b[n+int(size):]
		}
		all = append(all, o)
	}
	return all, nil
}

// marshal encodes a message the same way each time.
func marshal(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a message does not encode")
	}
	return b, nil
}
