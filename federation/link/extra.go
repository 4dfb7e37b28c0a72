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
	stepped := l.Status().Stats
	looked, steps, bulk := stepped, 0, 1
	tick := time.NewTicker(needEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l.forgetEnded()
		now := l.Status().Stats
		need := s.steady(time.Now(), grown(now.WireIn, looked.WireIn)/needEvery.Seconds(), now.RTT)
		looked = now
		if steps++; steps == int(spreadEvery/needEvery) {
			moved := max(grown(now.WireIn, stepped.WireIn), grown(now.WireOut, stepped.WireOut))
			stepped, steps = now, 0
			bulk = s.step(time.Now(), l.behind(), moved/spreadEvery.Seconds(), now.RTT)
		}
		want := max(need, bulk)
		l.narrow(want - 1)
		if now.Connections < want {
			l.grow(ctx, address, &users)
		}
	}
}

// behind reports whether much is to be fetched.
func (l *Link) behind() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.backlog
}

// grown is what a counter gained; it is smaller than before when a connection ended.
func grown(now, before uint64) float64 { return float64(now - min(now, before)) }

// grow adds one connection and its user. What fails is tried again at the next step.
func (l *Link) grow(ctx context.Context, address string, users *sync.WaitGroup) {
	dialing, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	defer cancel()
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
