package federation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// maxExporters bounds the channels that one stream serves.
const maxExporters = 1024

// channelName names a channel of a region.
type channelName struct {
	region  [16]byte
	channel uint32
}

// String names the channel for the watchdog.
func (c channelName) String() string { return fmt.Sprintf("%x/%d", c.region, c.channel) }

func (c channelName) compare(d channelName) int {
	if n := slices.Compare(c.region[:], d.region[:]); n != 0 {
		return n
	}
	return cmp.Compare(c.channel, d.channel)
}

// becomePeer is how long a region may be trusted and not yet, or no longer, known: a handshake can end while trust is being
// withdrawn, when the connections of the region were closed already.
const becomePeer = time.Second

// accept serves a connection that a peer opened.
func (f *Federation) accept(ctx context.Context, c *link.Conn) error {
	f.mu.Lock()
	if u := f.uplinks[c.Peer().Region]; u != nil {
		u.link.Retry() // it can be reached, and trusts this region: no need to wait longer
	}
	f.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if pause(ctx, becomePeer) && f.book.find(c.Peer().Region) == nil {
			return fault.New(fault.Denied, "the region is no peer any more")
		}
		return nil
	})
	g.Go(func() error {
		for {
			s, err := c.Accept(ctx)
			if err != nil {
				return ended(ctx, err)
			}
			g.Go(func() error {
				defer s.Close()
				serve := f.export
				if s.Class() == link.ClassCalls {
					serve = f.answerCalls
				}
				err := serve(ctx, c.Peer(), s)
				if errors.Is(err, io.EOF) || link.GivenUp(err) {
					return nil // the peer needs this stream no more; the others go on
				}
				return ended(ctx, err)
			})
		}
	})
	return g.Wait()
}

// ended takes the end of a context for no error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// outlet serves channels to a peer on one stream.
type outlet struct {
	f      *Federation
	peer   [16]byte
	stream *link.Stream
	wake   chan struct{}

	out      chan outgoing // to whichever lane is free
	sequence uint64        // of the next one; of the sender alone
	busy     time.Time     // when records were sent last; of the sender alone
	done     <-chan struct{}
	cancel   context.CancelFunc

	mu        sync.Mutex
	failed    error
	exporters map[channelName]*feed.Exporter
	replies   []*feed.Message
	lanes     []*link.Stream
}

// exportOn serves channels on a stream, until it ends.
func (f *Federation) exportOn(ctx context.Context, peer [16]byte, s *link.Stream, name [laneName]byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := &outlet{
		f: f, peer: peer, stream: s, wake: make(chan struct{}, 1), exporters: map[channelName]*feed.Exporter{},
		out: make(chan outgoing), done: ctx.Done(), cancel: cancel,
	}
	defer o.close()
	f.lanes.add(name, o)
	defer f.lanes.remove(name)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return o.receive(ctx) })
	g.Go(func() error { return o.send(ctx) })
	g.Go(func() error { return o.carry(ctx, s, nil) })
	return g.Wait()
}

func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, e := range o.exporters {
		e.Close()
		o.f.tails.unpull(name)
	}
}

// drop gives a channel up. The caller holds the lock.
func (o *outlet) drop(name channelName) {
	if e := o.exporters[name]; e != nil {
		e.Close()
		delete(o.exporters, name)
		o.f.tails.unpull(name)
	}
}

func (o *outlet) receive(ctx context.Context) error {
	for {
		raw, err := o.stream.Recv(ctx)
		if err != nil {
			return err
		}
		m, err := feed.Decode(raw.Body)
		if err != nil {
			return err
		}
		if err := o.take(ctx, &m); err != nil {
			return err
		}
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// take takes in what the peer asks for.
func (o *outlet) take(ctx context.Context, m *feed.Message) error {
	name := channelName{m.Region, m.Channel}
	switch m.Type {
	case feed.TypePull:
		return o.open(ctx, name, m.Pull)
	case feed.TypeProbe:
		if !o.f.current(ctx) {
			return nil // unanswered, so what the peer has grows old; it looks for another server
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.exporters[name]
	switch {
	case e == nil: // it was refused meanwhile
	case m.Type == feed.TypeCredit:
		e.Credit(m.Credit)
	case m.Type == feed.TypeProbe:
		e.Probe(m.Stamp)
	case m.Type == feed.TypeStop:
		o.drop(name)
	default:
		return fault.New(fault.Invalid, "a receiver sent a message of type %d", m.Type)
	}
	return nil
}

// current makes sure that what this node shows from now on is not behind its region: a follower that is cut off has old
// rows, and does not know how old.
func (f *Federation) current(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Tuning.ProbeEvery)
	defer cancel()
	_, err := f.cfg.Store.Linearize(ctx)
	return err == nil
}

// open begins to serve a channel, and looks at what the peer shows of this region.
func (o *outlet) open(ctx context.Context, name channelName, p *feed.Pull) error {
	if name.region == o.f.cfg.Identity.RegionID {
		o.f.judge(ctx, p.Head)
	}
	current := o.f.current(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.drop(name)
	if len(o.exporters) >= maxExporters {
		return fault.New(fault.Busy, "%d channels are pulled on one stream", len(o.exporters))
	}
	return o.f.pinned(func(r state.Reader) error {
		e, refusal, err := o.f.server.Open(r, o.peer, p, o.f.snapshot)
		if err != nil {
			return err
		}
		if refusal != nil {
			o.replies = append(o.replies, refusal)
			return nil
		}
		if !current { // until a probe is taken in, nothing that is sent is known to be new
			e.Probe(p.Stamp - int64(neverHeard))
		}
		o.exporters[name] = e
		o.f.tails.pull(name)
		o.replies = append(o.replies, &feed.Message{Type: feed.TypeOpened, Region: name.region, Channel: name.channel, Stamp: p.Stamp})
		return nil
	})
}

// snapshot pins the rows for as long as a snapshot of a channel is being sent.
func (f *Federation) snapshot() (state.Reader, func()) {
	r, release, err := f.cfg.Store.Pin()
	if err != nil {
		return closedRows{err}, func() {}
	}
	return r, release
}

// send says what there is to say, whenever a channel or the peer's wishes changed.
func (o *outlet) send(ctx context.Context) error {
	for {
		changed := o.f.tails.changed()
		if err := o.sendAll(ctx); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-o.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendAll sends until nobody has anything to say. A message of each channel at a time: none waits for a long one.
func (o *outlet) sendAll(ctx context.Context) error {
	for more := true; more; {
		messages, err := o.next()
		if err != nil {
			return err
		}
		more = len(messages) > 0
		for _, m := range messages {
			if err := o.hand(ctx, m); err != nil {
				return err
			}
			o.f.metrics.sent(m)
		}
	}
	return nil
}

// next gives the next message of each channel.
func (o *outlet) next() ([]*feed.Message, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	messages := o.replies
	o.replies = nil
	if len(o.exporters) == 0 {
		return messages, nil
	}
	names := make([]channelName, 0, len(o.exporters))
	for n := range o.exporters {
		names = append(names, n)
	}
	slices.SortFunc(names, channelName.compare)
	now := o.f.cfg.Now().UnixNano()
	rest := names[:0]
	for _, n := range names {
		m, ok := o.exporters[n].NextFrom(o.f.tails.of(n))
		if !ok {
			rest = append(rest, n)
		} else if m != nil {
			messages = append(messages, m)
		}
	}
	if len(rest) == 0 {
		return messages, nil
	}
	ages := make([]int64, len(rest)) // before the rows are taken, which may be newer than that, never older
	for i, n := range rest {
		ages[i] = int64(o.f.ageOf(n))
	}
	err := o.f.pinned(func(r state.Reader) error {
		for i, n := range rest {
			m, err := o.exporters[n].Next(r, now, ages[i], o.f.snapshot)
			if err != nil {
				return err
			}
			if m == nil {
				continue
			}
			if m.Type == feed.TypeRefuse {
				o.drop(n)
			}
			messages = append(messages, m)
		}
		return nil
	})
	return messages, err
}

// judge looks at a head that this region is said to have signed, and fences the region if it must.
func (f *Federation) judge(ctx context.Context, head []byte) {
	if len(head) == 0 {
		return
	}
	var op *record.Op
	look := func(r state.Reader) (err error) {
		op, err = f.guard.Judge(r, head)
		return err
	}
	if err := f.pinned(look); err != nil || op == nil {
		return
	}
	f.prove(head)
	// This node may be behind its own region: judge again when it is not.
	if _, err := f.cfg.Store.Linearize(ctx); err != nil {
		return
	}
	if err := f.pinned(look); err != nil || op == nil {
		return
	}
	if _, err := f.propose(ctx, *op); err != nil {
		f.log.Debug("a fence was not needed, or could not be set", "error", err)
		return
	}
	f.metrics.fenced(op.SetFence.Fence)
	f.log.Error("this region fenced itself", "fence", op.SetFence.Fence, "reason", op.SetFence.Reason)
}

// prove keeps the newest head that this region signed and does not have.
func (f *Federation) prove(encoded []byte) {
	head, err := record.DecodeFeedHead(encoded)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.proof == nil || head.Position.After(f.proof.Position) {
		f.proof = &head
	}
}

// closedRows are rows of a store that is closed.
type closedRows struct{ err error }

func (c closedRows) Get([]byte) ([]byte, bool, error)                 { return nil, false, c.err }
func (c closedRows) First(_, _ []byte) (_, _ []byte, _ bool, _ error) { return nil, nil, false, c.err }
func (c closedRows) Scan(_, _ []byte, _ bool) (state.Iterator, error) { return nil, c.err }
