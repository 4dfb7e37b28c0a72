package federation

import (
	"bytes"
	"context"
	"sync"
	"time"

	"supercluster/region/record"
)

// routes says through which peer each channel comes. Its home goes before everybody; another one serves while there is
// no link to the home, or while nothing comes of it through the link.
type routes struct {
	mu     sync.Mutex
	route  map[channelName]*route
	wanted chan struct{} // closed when a channel falls quiet: others may have it
}

type route struct {
	via      [16]byte  // zero: nobody
	claim    *claim    // of via
	orphaned time.Time // since when nobody serves it
	quiet    bool      // via is asked and does not answer
	held     time.Time // until when the home does not take it back: it fell quiet a moment ago
	moved    time.Time // when something of it was applied last
	brought  bool      // something of it was applied since via serves it
	newest   record.FeedPosition
	proof    []byte // the head that says newest, signed by the home
	have     record.FeedPosition
	contrary []byte // a head, signed by the home, that says something else than what came of the channel
	against  uint64 // the incarnation of contrary
}

// holdTimes is how many times Tuning.RelayAfter a relay keeps what it took from a home that fell quiet, and how long one
// may bring nothing new until another that has newer takes over. A link that comes and goes moves channels no faster. The home
// itself waits less for a relay that brings nothing: when the server dies that several regions are connected to, each of
// them takes the others for relays, and none has anything.
const holdTimes = 2

func newRoutes() *routes {
	return &routes{route: map[channelName]*route{}, wanted: make(chan struct{})}
}

func (r *routes) of(name channelName) *route {
	at := r.route[name]
	if at == nil {
		at = &route{orphaned: time.Now()}
		r.route[name] = at
	}
	return at
}

// claim is the right to pull a channel.
type claim struct {
	r    *routes
	name channelName

	mu     sync.Mutex
	cancel context.CancelFunc
	gone   bool
}

// claim gives the right to pull a channel through a peer that offers it up to a position: if nobody has it, if the peer is
// the home, or if who has it brings nothing.
func (r *routes) claim(name channelName, via [16]byte, offered record.FeedPosition, relayAfter time.Duration, now time.Time) (*claim, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	if at.via == via || !at.free(name, via, offered, relayAfter, now) {
		return nil, false
	}
	if at.quiet && at.via == name.region {
		at.held = now.Add(holdTimes * relayAfter)
	}
	if at.claim != nil {
		at.claim.revoke()
	}
	c := &claim{r: r, name: name}
	at.via, at.claim, at.quiet, at.moved, at.brought = via, c, false, now, false
	return c, true
}

// free reports whether another peer than who serves a channel may take it.
func (at *route) free(name channelName, via [16]byte, offered record.FeedPosition, relayAfter time.Duration, now time.Time) bool {
	switch {
	case via == name.region && offered.After(at.have) && now.Sub(at.moved) >= at.patience(relayAfter):
		return true
	case via == name.region:
		return at.via == [16]byte{} || at.quiet || !now.Before(at.held)
	case at.via == [16]byte{}:
		return now.Sub(at.orphaned) >= relayAfter
	case at.quiet:
		return !at.have.After(offered)
	case at.via == name.region:
		return false
	default:
		return offered.After(at.have) && now.Sub(at.moved) >= holdTimes*relayAfter
	}
}

// patience is how long a home that has more waits for who serves its channel and brings nothing: half as long for who brought
// nothing yet. It is not without any: that the home says what it has does not mean that it sends it, and it fell quiet a moment ago.
func (at *route) patience(relayAfter time.Duration) time.Duration {
	if !at.brought {
		return relayAfter / 2
	}
	return relayAfter
}

// falls notes that who serves a channel is asked and does not answer, or answers again.
func (c *claim) falls(quiet bool) {
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	at := c.r.of(c.name)
	if at.claim != c || at.quiet == quiet {
		return
	}
	if at.quiet = quiet; quiet {
		close(c.r.wanted)
		c.r.wanted = make(chan struct{})
	}
}

// wants gives a channel that is closed when others are to be asked what they have.
func (r *routes) wants() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wanted
}

// context gives a context that ends when another peer takes over.
func (c *claim) context(parent context.Context) context.Context {
	ctx, cancel := context.WithCancel(parent)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	if c.gone {
		cancel()
	}
	return ctx
}

func (c *claim) revoke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.cancel != nil {
		c.cancel()
	}
}

// release gives the right back.
func (c *claim) release() {
	c.revoke()
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if at := c.r.of(c.name); at.claim == c { // a later one, even through the same peer, stays
		at.vacate()
	}
}

// vacate says that nobody serves the channel.
func (at *route) vacate() {
	at.via, at.claim, at.quiet, at.orphaned = [16]byte{}, nil, false, time.Now()
}

// drop takes every channel from a peer whose link ended.
func (r *routes) drop(via [16]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.route {
		if at.via == via {
			at.claim.revoke()
			at.vacate()
		}
	}
}

// connected notes that there is a new connection to a region: what a relay took from it when the one before fell quiet is
// free for it at once.
func (r *routes) connected(region [16]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, at := range r.route {
		if name.region == region {
			at.held = time.Time{}
		}
	}
}

// head notes how far a channel is at its home, by a head that it signed.
func (r *routes) head(name channelName, p record.FeedPosition, signed []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.of(name); p.After(at.newest) {
		at.newest, at.proof = p, bytes.Clone(signed)
	}
}

// contradicts notes a head, signed by the home, that says something else than what came of the channel.
func (r *routes) contradicts(name channelName, p record.FeedPosition, signed []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	at.contrary, at.against = bytes.Clone(signed), p.Incarnation
}

// unknownTo gives the heads of a channel that its home, which offers it up to a position, seems not to know.
func (r *routes) unknownTo(name channelName, offered record.FeedPosition) (heads [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.route[name]
	if at == nil {
		return nil
	}
	if at.newest.After(offered) {
		heads = append(heads, at.proof)
	}
	if at.contrary != nil && at.against >= offered.Incarnation {
		heads = append(heads, at.contrary)
	}
	return heads
}

// shown gives the newest head of a channel that anybody showed, or the one that is here.
func (r *routes) shown(name channelName, here record.FeedPosition, head []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.route[name]; at != nil && at.newest.After(here) {
		return at.proof
	}
	return head
}

// incarnation gives the newest incarnation of a region that anybody showed.
func (r *routes) incarnation(region [16]byte) (newest uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, at := range r.route {
		if name.region == region {
			newest = max(newest, at.newest.Incarnation)
		}
	}
	return newest
}

func (r *routes) applied(name channelName, p record.FeedPosition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	if at.have != p {
		at.have, at.moved, at.brought = p, time.Now(), true
	}
}

// moves notes that a part of a snapshot was applied, which moves no position.
func (r *routes) moves(name channelName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	at.moved, at.brought = time.Now(), true
}

// positions gives how far a channel is at its home and here.
func (r *routes) positions(name channelName) (newest, have record.FeedPosition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	return at.newest, at.have
}

// direct reports whether a region itself serves any of its channels, and answers for all of those.
func (r *routes) direct(region [16]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	direct := false
	for name, at := range r.route {
		if name.region == region && at.via == region {
			if at.quiet {
				return false
			}
			direct = true
		}
	}
	return direct
}

// through gives the peer that serves a channel; false: nobody does.
func (r *routes) through(name channelName) (via [16]byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	return at.via, at.via != [16]byte{}
}
