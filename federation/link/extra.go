package link

import (
	"context"
	"slices"
	"sync"
	"time"
)

// widen opens and closes extra connections as spread wants, until ctx ends.
func (l *Link) widen(ctx context.Context, address string) {
	var users sync.WaitGroup
	defer users.Wait()
	defer l.narrow(0)
	s := spread{window: l.end.cfg.Limits.StreamWindow}
	looked := l.look()
	stepped, bulk := looked, 1
	tick := time.NewTicker(needEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.forgetEnded()
		now := l.look()
		took := now.at.Sub(looked.at)
		if took < needEvery/2 {
			continue // dialing took the time of the last one
		}
		need := s.steady(now.at, grown(now.WireIn, looked.WireIn)/took.Seconds(), now.RTT)
		looked = now
		if took := now.at.Sub(stepped.at); took > spreadEvery-needEvery/2 {
			moved := max(grown(now.WireIn, stepped.WireIn), grown(now.WireOut, stepped.WireOut))
			stepped = now
			bulk = s.step(now.at, l.behind(), moved/took.Seconds(), now.RTT)
		}
		want := max(need, bulk)
		l.narrow(want - 1)
		l.grow(ctx, address, want-now.Connections, &users)
	}
}

// look is what a link had moved at some time.
type look struct {
	Stats
	at time.Time
}

func (l *Link) look() look { return look{l.Status().Stats, time.Now()} }

// behind reports whether much is to be fetched.
func (l *Link) behind() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.backlog
}

// grown is what a counter gained; it is smaller than before when a connection ended.
func grown(now, before uint64) float64 { return float64(now - min(now, before)) }

// grow adds n connections at once, each with its user. What fails is tried again at the next step.
func (l *Link) grow(ctx context.Context, address string, n int, users *sync.WaitGroup) {
	dialing, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	defer cancel()
	var dials sync.WaitGroup
	for range n {
		dials.Go(func() { l.add(ctx, dialing, address, users) })
	}
	dials.Wait()
}

// add dials one more connection, for whom uses it until ctx ends.
func (l *Link) add(ctx, dialing context.Context, address string, users *sync.WaitGroup) {
	c, err := l.end.dial(dialing, l.cfg.Region, address, true)
	if err != nil {
		l.log.Debug("no extra connection to a region", "error", err)
		return
	}
	using, leave := context.WithCancel(ctx)
	c.leave = leave
	l.mu.Lock()
	l.extras = append(l.extras, c)
	l.mu.Unlock()
	users.Go(func() {
		defer leave()
		stop := context.AfterFunc(c.raw.Context(), leave)
		defer stop()
		c.Close(l.cfg.Extra(using, c))
	})
}

// leaveWithin is how long the user of an extra connection may take to end what is on its way.
const leaveWithin = 3 * time.Second

// narrow ends all but n extra connections, the newest first: their users are told, and close them when nothing is on its
// way any more.
func (l *Link) narrow(n int) {
	l.mu.Lock()
	var surplus []*Conn
	if len(l.extras) > n {
		surplus = slices.Clone(l.extras[n:])
		l.extras = l.extras[:n]
	}
	l.mu.Unlock()
	for _, c := range surplus {
		c.leave()
		late := time.AfterFunc(leaveWithin, func() { c.Close(nil) })
		context.AfterFunc(c.raw.Context(), func() { late.Stop() })
	}
}

// forgetEnded drops extra connections that broke.
func (l *Link) forgetEnded() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extras = slices.DeleteFunc(l.extras, func(c *Conn) bool { return c.Err() != nil })
}
