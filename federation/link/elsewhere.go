package link

import (
	"context"
	"slices"
	"time"

	"supercluster/internal/fault"
)

// elsewhereEvery is how often a link looks whether its peer answers, and how long it lets be after the other servers of the peer
// did not answer either.
const elsewhereEvery = time.Second

// elsewhere looks for another server of the peer while the one in use answers nothing: a server that died without a word is known
// by its silence only after Limits.Idle, and by then another one may long have taken its place. When another one answers, it is
// the next connection, and the one in use ends. A line that carries nothing ends none: nobody answers over it.
func (l *Link) elsewhere(ctx context.Context, c *Conn, address string) {
	tick := time.NewTicker(elsewhereEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !l.cfg.Quiet() {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(l.cfg.Addresses()), func(a string) bool { return a == address })
		for _, other := range others {
			next, _, err := l.attempt(ctx, other)
			if err != nil {
				continue
			}
			if !l.cfg.Quiet() { // both answer: the line was bad for a while
				next.Close(nil)
				break
			}
			l.mu.Lock()
			l.next, l.nextAt = next, other
			l.mu.Unlock()
			c.Close(fault.New(fault.Unavailable, "the server answers nothing any more, and another one of its region does"))
			return
		}
	}
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
