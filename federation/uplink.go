package federation

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// uplink takes channels over from one peer while this node leads: those of the peer itself, and of others that have no
// link of their own.
type uplink struct {
	f    *Federation
	peer *peer
	link *link.Link

	mu      sync.Mutex
	calls   *caller // of the connection that is up
	conn    *link.Conn
	current *connection
	behind  map[channelName]bool      // channels with a backlog
	late    map[channelName]time.Time // when answers about a channel were late last
}

// runUplink keeps the link to a peer until ctx ends.
func (f *Federation) runUplink(ctx context.Context, p *peer) error {
	u := &uplink{f: f, peer: p, behind: map[channelName]bool{}, late: map[channelName]time.Time{}}
	l, err := f.endpoint.NewLink(link.LinkConfig{
		Region: p.id,
		Addresses: func() []string {
			if now := f.book.find(p.id); now != nil {
				return now.doc.GetAddresses()
			}
			return nil
		},
		Handler: u.handle, Extra: u.extra,
	})
	if err != nil {
		return err
	}
	u.link = l
	f.mu.Lock()
	f.uplinks[p.id] = u
	f.mu.Unlock()
	var eager sync.WaitGroup
	defer eager.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	eager.Go(func() { f.beEager(ctx, l) })
	defer func() {
		f.mu.Lock()
		delete(f.uplinks, p.id)
		f.mu.Unlock()
		f.routes.drop(p.id)
	}()
	return l.Run(ctx)
}

// A link that is refused is tried slowly, since people must repair that. But of two regions that join, the one that invited
// knows the other first, and is refused until it is known there too, which may be seen by another node than the one that
// holds the link. So for a while after what is known of regions changed, refusals are not taken as final.
const (
	eagerFor   = 10 * time.Second
	eagerEvery = 250 * time.Millisecond
)

func (f *Federation) beEager(ctx context.Context, l *link.Link) {
	for {
		_, changed := f.book.list()
		for began := time.Now(); time.Since(began) < eagerFor && pause(ctx, eagerEvery); {
			if l.Status().State == link.Refused {
				l.Retry()
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// connection is one connection of an uplink.
type connection struct {
	u     *uplink
	conn  *link.Conn
	group *errgroup.Group
	ctx   context.Context

	judged map[channelName]offer // the last offer of each channel whose signatures are good

	mu     sync.Mutex
	inlets map[link.Class]*inlet
}

// handle uses a connection until it ends.
func (u *uplink) handle(ctx context.Context, conn *link.Conn) error {
	defer u.f.routes.drop(u.peer.id)
	stream, err := conn.Open(ctx, link.ClassCalls)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	c := &connection{u: u, conn: conn, group: g, ctx: ctx, inlets: map[link.Class]*inlet{}, judged: map[channelName]offer{}}
	calls := newCaller(stream)
	g.Go(func() error { return calls.run(ctx) })
	u.up(calls, c)
	defer u.up(nil, nil)
	g.Go(func() error { return c.follow(ctx, calls) })
	err = g.Wait()
	calls.end(err)
	return err
}

func (u *uplink) up(calls *caller, c *connection) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.calls, u.current, u.conn = calls, c, nil
	if c != nil {
		u.conn = c.conn
	}
}

// ended reports whether the connection is gone.
func (u *uplink) ended() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.conn == nil || u.conn.Err() != nil
}

// call asks the peer; it fails at once when no connection is up.
func (u *uplink) call(ctx context.Context, method uint8, payload []byte) ([]byte, error) {
	u.mu.Lock()
	c := u.calls
	u.mu.Unlock()
	if c == nil {
		return nil, fault.New(fault.Unavailable, "no link to region %s is up", u.f.book.name(u.peer.id)).
			WithHint("`supercluster federation links` says why")
	}
	return c.call(ctx, method, payload)
}

// forward hands a call to the peer. A peer that cannot be asked, or whose answer is lost, is named in the error; what the
// peer answers is passed on as it is.
func (u *uplink) forward(ctx context.Context, payload []byte) ([]byte, error) {
	name := u.f.book.name(u.peer.id)
	u.mu.Lock()
	c := u.calls
	u.mu.Unlock()
	if c == nil || c.silent() {
		return nil, unreachable(name, nil)
	}
	sent, err := marshal(&pb.ForwardedCall{Sent: c.peerTime()}) // what follows a message adds to it
	if err != nil {
		return nil, err
	}
	a, err := c.exchange(ctx, callForward, append(payload[:len(payload):len(payload)], sent...))
	switch {
	case err == nil:
		return a.body, a.err
	case fault.Is(err, fault.OutcomeUnknown):
		return nil, fault.Wrap(fault.OutcomeUnknown, err, "the link to region %q ended before it answered: it may have done what was asked", name).
			WithHint("retry with the same request id, or read to find out")
	case fault.Is(err, fault.TooLarge):
		return nil, err
	default:
		return nil, unreachable(name, err)
	}
}

// unreachable says that a region cannot be asked.
func unreachable(name string, cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "region %q, the home of what is asked for, cannot be reached from here; nothing was done", name).
		WithHint("reading what is here of it goes on, with its age; `supercluster federation links` says why")
}

// follow asks the peer again and again what it offers, and pulls what is to come from it.
func (c *connection) follow(ctx context.Context, calls *caller) error {
	f := c.u.f
	for {
		if err := calls.askClock(ctx); err != nil {
			return err
		}
		answer, err := calls.call(ctx, callOffers, c.wish())
		if err != nil {
			return err
		}
		offers, err := decodeOffers(answer)
		if err != nil {
			return err
		}
		for i := range offers {
			c.expect(&offers[i])
		}
		for i := range offers {
			if err := c.consider(ctx, &offers[i]); err != nil {
				return err
			}
		}
		c.withheld(offers)
		if err := c.askKept(ctx, calls, offers); err != nil {
			return err
		}
		if err := f.untilOffers(ctx); err != nil {
			return err
		}
	}
}

// untilOffers waits until peers are to be asked again what they offer: sooner when a channel falls quiet.
func (f *Federation) untilOffers(ctx context.Context) error {
	t := time.NewTimer(f.cfg.Tuning.OfferEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.routes.wants():
	case <-ctx.Done():
	}
	return ctx.Err()
}

// withheld takes the channels out of the age of the peer that it does not offer any more: what it keeps to itself does not
// make the rest old. A region that offers nothing is fenced, or not ready.
func (c *connection) withheld(offers []offer) {
	offered := map[uint32]bool{}
	for i := range offers {
		if head, err := record.DecodeFeedHead(offers[i].head); err == nil && head.Region == c.u.peer.id {
			offered[head.Channel] = true
		}
	}
	if len(offered) > 0 {
		c.u.f.ages.forget(func(n channelName) bool { return n.region == c.u.peer.id && !offered[n.channel] })
	}
}

// wish asks for the channels of regions that do not serve them themselves, and for what is newer than anybody showed.
func (c *connection) wish() []byte {
	wish := []byte{relayWish}
	peers, _ := c.u.f.book.list()
	for _, p := range peers {
		if p.id != c.u.peer.id {
			r := c.u.f.routes
			wish = appendWish(wish, p.id, r.incarnation(p.id), !r.direct(p.id))
		}
	}
	return wish
}

// expect counts a channel that a peer really has into the age of its region, before any of them is pulled.
func (c *connection) expect(o *offer) {
	head, err := record.DecodeFeedHead(o.head)
	if err != nil || head.Region == c.u.f.cfg.Identity.RegionID || c.u.f.book.find(head.Region) == nil {
		return
	}
	name := channelName{head.Region, head.Channel}
	if doc, err := record.DecodeChannelDocument(o.document); err == nil && c.genuine(name, o, &head, &doc) {
		c.u.f.ages.expect(name)
	}
}

// consider looks at one channel that the peer has: it may show that this region is fenced, or be one to pull from here.
func (c *connection) consider(ctx context.Context, o *offer) error {
	f := c.u.f
	head, err := record.DecodeFeedHead(o.head)
	if err != nil {
		return err
	}
	if head.Region == f.cfg.Identity.RegionID {
		f.judge(ctx, o.head)
		return nil
	}
	home := f.book.find(head.Region)
	doc, err := record.DecodeChannelDocument(o.document)
	name := channelName{head.Region, head.Channel}
	if home == nil || err != nil || !c.genuine(name, o, &head, &doc) {
		return nil // not of a peer, or not by it
	}
	f.routes.head(name, head.Position, o.head)
	c.u.watch(name)
	claim, ok := f.routes.claim(name, c.u.peer.id, head.Position, f.cfg.Tuning.RelayAfter, time.Now())
	if !ok {
		return nil
	}
	in, err := c.inlet(classOf(doc.Channel.Class))
	if err != nil {
		return err
	}
	p := newPuller(f, c.u, in, name, claim)
	in.add(name, p)
	c.group.Go(func() error {
		defer claim.release()
		defer in.remove(name, p)
		return p.run(claim.context(c.ctx))
	})
	return nil
}

// genuine judges the signatures of an offer; one that was judged before is not judged again.
func (c *connection) genuine(name channelName, o *offer, head *record.FeedHead, doc *record.ChannelDocument) bool {
	last := c.judged[name]
	verify := c.u.f.book.verify
	if !bytes.Equal(last.document, o.document) {
		if doc.Region != name.region || doc.Channel.ID != name.channel || !verify(doc.Region, doc.Signed(), doc.Signature) {
			return false
		}
		last.document = bytes.Clone(o.document)
	}
	if !bytes.Equal(last.head, o.head) {
		if !verify(head.Region, head.Signed(), head.Signature) {
			return false
		}
		last.head = bytes.Clone(o.head)
	}
	c.judged[name] = last
	return true
}

// classOf gives the class of streams for a class of channels; of one that a later version has, that of config.
func classOf(c record.Class) link.Class {
	if c >= record.ClassControl && c <= record.ClassSummaries {
		return link.Class(c)
	}
	return link.ClassConfig
}

// inlet is one stream on which channels come in.
type inlet struct {
	class  link.Class
	name   [laneName]byte
	stream *link.Stream
	order  sequencer

	mu      sync.Mutex
	pullers map[channelName]*puller
}

// inlet gives the stream of a class, and opens it the first time.
func (c *connection) inlet(class link.Class) (*inlet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.inlets[class]; in != nil {
		return in, nil
	}
	s, err := c.conn.Open(c.ctx, class)
	if err != nil {
		return nil, err
	}
	in := &inlet{class: class, name: newLaneName(), stream: s, pullers: map[channelName]*puller{}}
	if err := hello(c.ctx, s, false, in.name); err != nil {
		s.Reset()
		return nil, err
	}
	c.inlets[class] = in
	c.group.Go(func() error {
		defer s.Close()
		return in.receive(c.ctx, s)
	})
	c.group.Go(func() error { return in.watch(c.ctx) })
	return in, nil
}

func (in *inlet) add(name channelName, p *puller) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pullers[name] = p
}

// remove takes a puller out, unless a later one of the channel is there.
func (in *inlet) remove(name channelName, p *puller) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pullers[name] == p {
		delete(in.pullers, name)
	}
}

// receive takes in what comes on one lane.
func (in *inlet) receive(ctx context.Context, lane *link.Stream) error {
	for {
		raw, err := lane.Recv(ctx)
		if err != nil {
			return err
		}
		if err := in.order.take(raw, time.Now(), in.deliver); err != nil {
			return err
		}
	}
}

// deliver hands a message to whom it is for.
func (in *inlet) deliver(raw link.Message) error {
	m, err := feed.Decode(raw.Body)
	if err != nil {
		return err
	}
	in.mu.Lock()
	p := in.pullers[channelName{m.Region, m.Channel}]
	in.mu.Unlock()
	if p == nil {
		return nil // it has just been given up
	}
	return p.offer(&m, len(raw.Body))
}

// watch ends the connection when a message is missing that no lane will bring.
func (in *inlet) watch(ctx context.Context) error {
	for pause(ctx, gapWithin/3) {
		if in.order.stuck(time.Now()) {
			return fault.New(fault.Unavailable, "a lane of the %s stream was lost with what it carried", in.class)
		}
	}
	return nil
}

func (in *inlet) send(ctx context.Context, m *feed.Message) error {
	return in.stream.Send(ctx, link.Message{Type: uint8(m.Type), Body: feed.Append(nil, m)})
}

// puller takes one channel over.
type puller struct {
	f     *Federation
	u     *uplink
	in    *inlet
	name  channelName
	claim *claim

	chunks uint64 // of snapshots that were applied
	// Of the pull that is under way: its stamp, and whether the peer took it up.
	asked  int64
	opened bool
	answer int64 // the newest stamp that was answered

	mu     sync.Mutex
	queue  []*feed.Message
	bytes  int
	due    time.Time // since when the peer is asked and nothing of the channel came; zero: it is not
	arrive chan struct{}
}

func newPuller(f *Federation, u *uplink, in *inlet, name channelName, c *claim) *puller {
	return &puller{f: f, u: u, in: in, name: name, claim: c, arrive: make(chan struct{}, 1)}
}

// offer queues a message. A peer that sends more than it was given credit for is not to be trusted with memory.
func (p *puller) offer(m *feed.Message, size int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bytes+size > int(p.f.cfg.Tuning.Credit)+feed.MaxMessageBytes+1<<20 {
		return fault.New(fault.Denied, "region %s sends more than it was given credit for", p.f.book.name(p.u.peer.id))
	}
	p.queue, p.bytes, p.due = append(p.queue, m), p.bytes+size, time.Time{}
	select {
	case p.arrive <- struct{}{}:
	default:
	}
	return nil
}

func (p *puller) takeAll() []*feed.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.queue
	p.queue, p.bytes = nil, 0
	return all
}

var errFenced = fault.New(fault.Unavailable, "the region is fenced")

// Waits between pulls of a channel that went wrong.
const (
	firstPullWait = 50 * time.Millisecond
	lastPullWait  = 5 * time.Second
)

// run pulls until ctx ends. What goes wrong is made up for by the next pull: it begins at what was applied.
func (p *puller) run(ctx context.Context) error {
	wait := firstPullWait
	for ctx.Err() == nil {
		began := time.Now()
		err := p.pull(ctx)
		if ctx.Err() != nil {
			break
		}
		if kind := fault.KindOf(err); kind == fault.Corrupt || p.u.ended() {
			return err
		}
		if errors.Is(err, errFenced) {
			break // it offers the channel again when it is not; meanwhile another may have what is newer
		}
		p.f.metrics.repulled(err)
		p.f.log.Debug("a channel is pulled anew", "region", p.f.book.name(p.name.region), "channel", p.name.channel,
			"via", p.f.book.name(p.u.peer.id), "reason", err)
		if time.Since(began) > lastPullWait {
			wait = firstPullWait
		}
		if !pause(ctx, wait) {
			break
		}
		wait = min(2*wait, lastPullWait)
	}
	if via, ok := p.f.routes.through(p.name); ok && via != p.u.peer.id {
		p.waits() // another peer serves the channel: this link has nothing of it to wait for
		p.u.backlog(p.name, false)
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = p.in.send(stop, &feed.Message{Type: feed.TypeStop, Region: p.name.region, Channel: p.name.channel}) // the end of the stream says it too
	return nil
}

// pull takes the channel over from where it stands, until something goes wrong.
func (p *puller) pull(ctx context.Context) error {
	p.takeAll()
	p.opened = false
	importer := &feed.Importer{Self: p.f.cfg.Identity.RegionID, Region: p.name.region, Channel: p.name.channel, Keys: p.f.book.verify}
	var ask *feed.Message
	if err := p.f.pinned(func(r state.Reader) (err error) {
		ask, err = importer.Pull(r, p.f.ages.stamp(), p.f.cfg.Tuning.Credit)
		return err
	}); err != nil {
		return err
	}
	if ask == nil {
		return fault.New(fault.NotFound, "the region is not known any more")
	}
	p.f.routes.applied(p.name, ask.Pull.Cursor)
	p.asked = ask.Pull.Stamp
	if err := p.ask(ctx, ask); err != nil {
		return err
	}
	probe := time.NewTicker(p.f.cfg.Tuning.ProbeEvery)
	defer probe.Stop()
	for {
		select {
		case <-p.arrive:
			p.claim.falls(false)
			if err := p.apply(ctx, importer, p.takeAll()); err != nil {
				return err
			}
		case <-probe.C:
			if p.silent(time.Now()) {
				p.claim.falls(true)
			}
			m := &feed.Message{Type: feed.TypeProbe, Region: p.name.region, Channel: p.name.channel, Stamp: p.f.ages.stamp()}
			if err := p.ask(ctx, m); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ask sends what the peer is to answer.
func (p *puller) ask(ctx context.Context, m *feed.Message) error {
	p.mu.Lock()
	if p.due.IsZero() || m.Type == feed.TypePull {
		p.due = time.Now()
	}
	p.mu.Unlock()
	return p.in.send(ctx, m)
}

// quietProbes is after how many probes that nothing answered a peer counts as quiet: then who else has the channel may
// serve it, long before the connection is known to be dead. While something is being applied nothing is asked.
const quietProbes = 2

// silent reports whether the peer is asked and does not answer.
func (p *puller) silent(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) == 0 && !p.due.IsZero() && now.Sub(p.due) >= quietProbes*p.f.cfg.Tuning.ProbeEvery
}

// answers leaves out what still comes of the pull before: only what follows the word that this one was taken up is its
// answer. A refusal needs no such word.
func (p *puller) answers(messages []*feed.Message) []*feed.Message {
	kept := messages[:0]
	for _, m := range messages {
		switch {
		case m.Type == feed.TypeOpened:
			p.opened = m.Stamp == p.asked
		case p.opened || m.Refuse != nil:
			kept = append(kept, m)
		}
	}
	return kept
}

// apply takes messages over, in order. Batches that came together go as one operation.
func (p *puller) apply(ctx context.Context, importer *feed.Importer, messages []*feed.Message) error {
	messages = p.answers(messages)
	for i := 0; i < len(messages); {
		n := mergeable(messages[i:])
		m := merge(messages[i : i+n])
		if m.Refuse != nil {
			p.waits() // the peer is there, and says why nothing comes
			p.f.judge(ctx, m.Refuse.Head)
		}
		op, err := importer.Take(m)
		if m.Refuse != nil && m.Refuse.Reason == feed.RefusedFenced {
			return errFenced
		}
		if err != nil {
			return err
		}
		if op != nil {
			if err := p.propose(ctx, op, m); err != nil {
				return err
			}
		}
		size := uint32(0)
		for _, each := range messages[i : i+n] {
			size += uint32(each.Size())
		}
		credit := &feed.Message{Type: feed.TypeCredit, Region: p.name.region, Channel: p.name.channel, Credit: size}
		if err := p.in.send(ctx, credit); err != nil {
			return err
		}
		i += n
	}
	return nil
}

// bulkBytes is from which size on an operation is part of catching up: then half of the time belongs to local writers, and
// most of it while tables are written. With 100,000 records to catch up with, their p99 was 75 ms without the pauses and
// 20 ms with them, and the end 1.5 s later.
const (
	bulkBytes = feed.MaxBatchBytes / 2
	busyYield = 3
	maxYield  = 50 * time.Millisecond
)

// yield is how long bulk work leaves the store to others after an operation that took so long.
func yield(took time.Duration, busy bool) time.Duration {
	if busy {
		took *= busyYield
	}
	return min(took, maxYield)
}

// propose has an operation applied, and notes how fresh the channel is then. An idle head is written only if it says
// something new about revisions: otherwise what it says is noted in memory.
func (p *puller) propose(ctx context.Context, op *record.Op, m *feed.Message) error {
	if acknowledgesEarly {
		p.applied(op, m)
	}
	idle := op.Import != nil && len(op.Import.Records) == 0 && len(op.Import.Document) == 0
	if !idle || p.f.ages.worthWriting(p.name, op.Import.Head) {
		began := time.Now()
		if _, err := p.f.propose(ctx, *op); err != nil {
			return err
		}
		if op.FeedBytes() > bulkBytes {
			pause(ctx, yield(time.Since(began), p.f.cfg.Store.Busy()))
		}
		p.f.metrics.imported(op)
	}
	p.applied(op, m)
	return nil
}

// applied notes where the channel stands and how fresh it is after an operation. What was only received counts for nothing.
func (p *puller) applied(op *record.Op, m *feed.Message) {
	switch {
	case op.Import != nil:
		if head, err := record.DecodeFeedHead(op.Import.Head); err == nil {
			p.f.routes.head(p.name, head.Position, op.Import.Head)
			p.f.routes.applied(p.name, head.Position)
			p.f.ages.cover(p.name, coveredHead{head.Position.Incarnation, head.Position.Sequence, head.Revision})
		}
		if m.Batch.Stamp != 0 {
			p.answered(m.Batch.Stamp)
			p.f.ages.note(p.name, m.Batch.Stamp, time.Duration(m.Batch.AgeNanos))
		}
		p.u.watch(p.name)
	case op.Replace != nil:
		last := len(op.Replace.To) == 0
		if head, err := record.DecodeFeedHead(op.Replace.Target); err == nil && last {
			p.f.routes.applied(p.name, head.Position)
		}
		p.chunked(last)
	}
}

// watch tells the watchdog how far a channel is that comes through this peer, also when nothing of it comes: its home said
// how far it is.
func (u *uplink) watch(name channelName) {
	if via, _ := u.f.routes.through(name); via != u.peer.id {
		return
	}
	head, applied := u.f.routes.positions(name)
	u.backlog(name, head.Incarnation > applied.Incarnation || head.Sequence > applied.Sequence+backlogRecords || u.slow(name))
	behind := head.Sequence
	if head.Incarnation > applied.Incarnation {
		behind = max(behind, applied.Sequence+1) // a new incarnation may begin before where this one is
	} else if head.Incarnation < applied.Incarnation {
		behind = applied.Sequence
	}
	u.link.Progress(name.String(), behind, applied.Sequence)
}

// waits tells the watchdog that there is nothing to wait for in a channel: what is to come is none of its records.
func (p *puller) waits() {
	_, applied := p.f.routes.positions(p.name)
	p.u.link.Progress(p.name.String(), applied.Sequence, applied.Sequence)
}

// chunked tells the watchdog that a chunk of a snapshot was applied. The position of the channel moves with the last one.
func (p *puller) chunked(last bool) {
	p.waits()
	p.f.routes.moves(p.name)
	p.chunks++
	more := p.chunks + 1
	if last {
		more = p.chunks
	}
	p.u.link.Progress(p.name.String()+"/snapshot", more, p.chunks)
}

// backlogRecords is from how many records on a channel counts as far behind.
const backlogRecords = 1000

// slowFactor and slowMargin say when answers take too long for the path: the sender has more to send than the connection
// carries, although the receiver cannot see its queue. slowHold is how long that counts.
const (
	slowFactor = 2
	slowMargin = 100 * time.Millisecond
	slowHold   = 15 * time.Second
)

// answered notes how long an answer took that was asked for with a stamp. The first that carries the stamp tells.
func (p *puller) answered(stamp int64) {
	if stamp == p.answer || stamp <= p.asked {
		return
	}
	p.answer = stamp
	if took := time.Duration(p.f.ages.stamp() - stamp); took > slowFactor*p.u.link.Status().Stats.RTT+slowMargin {
		p.u.mu.Lock()
		p.u.late[p.name] = time.Now()
		p.u.mu.Unlock()
	}
}

// slow reports whether answers about a channel came late a while ago.
func (u *uplink) slow(name channelName) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.late[name]
	return ok && time.Since(at) < slowHold
}

// backlog tells the link whether any channel is far behind.
func (u *uplink) backlog(name channelName, much bool) {
	u.mu.Lock()
	if much {
		u.behind[name] = true
	} else {
		delete(u.behind, name)
	}
	some := len(u.behind) > 0
	u.mu.Unlock()
	u.link.Backlog(some)
}
