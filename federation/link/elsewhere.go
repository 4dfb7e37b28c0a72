package link

import (
	"context"
	"slices"
	"time"

	"supercluster/internal/fault"
)

// elsewhereEvery is how often a link looks whether another server of its peer would serve it better, and how long it lets be after
// the other servers of the peer did not answer either.
const elsewhereEvery = time.Second

// preferAgain is how long a server that is preferred and was not reached is not tried again.
const preferAgain = 30 * time.Second

// elsewhere looks for another server of the peer while the one in use answers nothing, or another one is preferred. When that one
// answers, it is the next connection, and the one in use ends.
func (l *Link) elsewhere(ctx context.Context, c *Conn, address string) {
	tick := time.NewTicker(elsewhereEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var next *Conn
		var at string
		var why error
		if l.quiet() {
			next, at = l.instead(ctx, address)
			why = fault.New(fault.Unavailable, "the server answers nothing any more, and another one of its region does")
		} else if at = l.better(address); at != "" {
			next = l.reach(ctx, at)
			why = fault.New(fault.Unavailable, "another server of its region leads")
		}
		if next == nil {
			continue
		}
		l.mu.Lock()
		l.next, l.nextAt = next, at
		l.mu.Unlock()
		c.Close(why)
		return
	}
}

func (l *Link) quiet() bool { return l.cfg.Quiet != nil && l.cfg.Quiet() }

// instead tries the other servers, while the one in use answers nothing: a server that died without a word is known by its
// silence only after Limits.Idle, and by then another one may long have taken its place. A line that carries nothing ends no
// connection: nobody answers over it.
func (l *Link) instead(ctx context.Context, address string) (next *Conn, at string) {
	for _, other := range l.cfg.Addresses() {
		if other == address {
			continue
		}
		next, _, err := l.attempt(ctx, other)
		if err != nil {
			continue
		}
		if !l.quiet() { // both answer: the line was bad for a while
			next.Close(nil)
			return nil, ""
		}
		return next, other
	}
	return nil, ""
}

// Prefer says which address of the peer serves the link best; empty: any. The link moves there when it can, but not while it has a
// backlog, which a move would hold up.
func (l *Link) Prefer(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if address != l.preferred {
		l.preferred, l.preferAt = address, time.Time{}
	}
}

// better gives the address to move to from the one in use; empty: stay.
func (l *Link) better(address string) string {
	l.mu.Lock()
	to, due := l.preferred, !time.Now().Before(l.preferAt)
	stay := to == "" || to == address || l.backlog || !due
	l.mu.Unlock()
	if stay || !slices.Contains(l.cfg.Addresses(), to) {
		return ""
	}
	return to
}

// reach tries the preferred server; nil: it is not reached, or not preferred any more.
func (l *Link) reach(ctx context.Context, address string) *Conn {
	next, _, err := l.attempt(ctx, address)
	l.mu.Lock()
	l.preferAt = time.Now().Add(preferAgain)
	preferred := l.preferred == address
	l.mu.Unlock()
	switch {
	case err != nil:
		l.log.Debug("the server that leads a region was not reached", "address", address, "error", err)
		return nil
	case !preferred:
		next.Close(nil)
		return nil
	}
	return next
}

// found takes the connection that elsewhere made.
func (l *Link) found() (c *Conn, address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, address = l.next, l.nextAt
	l.next, l.nextAt = nil, ""
	return c, address
}

// replaced reports whether there is one.
func (l *Link) replaced() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next != nil
}
