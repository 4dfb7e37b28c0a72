package federation

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/link"
	"supercluster/internal/fault"
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
		Handler: u.handle, Extra: u.extra, Quiet: u.quiet,
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
		if f.uplinks[p.id] == u { // the peer may have been removed and be known again
			delete(f.uplinks, p.id)
		}
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

// handle uses a connection until it ends.
func (u *uplink) handle(ctx context.Context, conn *link.Conn) error {
	defer u.f.routes.drop(u.peer.id)
	u.f.routes.connected(u.peer.id)
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

// quiet reports whether the peer is asked and does not answer.
func (u *uplink) quiet() bool {
	u.mu.Lock()
	c := u.calls
	u.mu.Unlock()
	return c != nil && c.silent()
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

// backlogRecords is from how many records on a channel counts as far behind.
const backlogRecords = 1000

// slowFactor and slowMargin say when answers take too long for the path: the sender has more to send than the connection
// carries, although the receiver cannot see its queue. slowHold is how long that counts.
const (
	slowFactor = 2
	slowMargin = 100 * time.Millisecond
	slowHold   = 15 * time.Second
)

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
