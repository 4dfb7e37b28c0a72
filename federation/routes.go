package federation

import (
	"bytes"
	"context"
	"sync"
	"time"

	"supercluster/region/record"
)

// routes says through which peer each channel comes. Its home goes before everybody; another one serves while there is
// no link to the home.
type routes struct {
	mu    sync.Mutex
	route map[channelName]*route
}

type route struct {
	via      [16]byte  // zero: nobody
	claim    *claim    // of via
	orphaned time.Time // since when nobody serves it
	newest   record.FeedPosition
	proof    []byte // the head that says newest, signed by the home
	have     record.FeedPosition
}

func newRoutes() *routes { return &routes{route: map[channelName]*route{}} }

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

// claim gives the right to pull a channel through a peer, if nobody has it, or if the peer is the home.
func (r *routes) claim(name channelName, via [16]byte, relayAfter time.Duration, now time.Time) (*claim, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	home := via == name.region
	switch {
	case at.via == via:
		return nil, false
	case at.via != [16]byte{} && !home:
		return nil, false
	case at.via == [16]byte{} && !home && now.Sub(at.orphaned) < relayAfter:
		return nil, false
	}
	if at.claim != nil {
		at.claim.revoke()
	}
	c := &claim{r: r, name: name}
	at.via, at.claim = via, c
	return c, true
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
		at.via, at.claim, at.orphaned = [16]byte{}, nil, time.Now()
	}
}

// drop takes every channel from a peer whose link ended.
func (r *routes) drop(via [16]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, at := range r.route {
		if at.via == via {
			at.claim.revoke()
			at.via, at.claim, at.orphaned = [16]byte{}, nil, time.Now()
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
	r.of(name).have = p
}

// positions gives how far a channel is at its home and here.
func (r *routes) positions(name channelName) (newest, have record.FeedPosition) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	return at.newest, at.have
}

// direct reports whether a region itself serves any of its channels.
func (r *routes) direct(region [16]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, at := range r.route {
		if name.region == region && at.via == region {
			return true
		}
	}
	return false
}

// through gives the peer that serves a channel; false: nobody does.
func (r *routes) through(name channelName) (via [16]byte, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.of(name)
	return at.via, at.via != [16]byte{}
}
