package link

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// LinkConfig describes the one link that this end keeps to a peer region.
type LinkConfig struct {
	Region [16]byte
	// Addresses lists host:port of the peer's servers; it is asked before each round of attempts.
	Addresses func() []string
	// Handler uses a connection until it returns, which ends the connection. Its context ends with the connection.
	Handler func(ctx context.Context, c *Conn) error
	// Extra uses one more connection, for streams of bulk classes. There are up to three while Backlog is set, as
	// long as they carry more than fewer did, and while so much comes from far away that a loss would queue it. Its context ends with its connection, or when that is needed no more: then it
	// has 3 s to end what is on its way. Nil allows none.
	Extra func(ctx context.Context, c *Conn) error

	DialTimeout time.Duration // 5 s: some round trips of a far region, and a lost packet
	BackoffMin  time.Duration // between rounds of attempts, doubled each time; 250 ms
	BackoffMax  time.Duration // 5 s
	RefusedWait time.Duration // between attempts while the peer refuses; 30 s
	Stall       time.Duration // how long a feed may be behind without an advance; 15 s
	// Silence ends a connection whose handler reports no progress at all for so long; 0: never.
	Silence time.Duration
	// Quiet reports that the peer is asked over the connection in use and answers nothing: then its other servers are tried beside
	// it. Nil: that is found out when the connection ends.
	Quiet func() bool
	// Jitter gives numbers from 0 to 1; nil is math/rand. A pause is from one half to the whole of what it would be.
	Jitter func() float64
}

func (c *LinkConfig) fill() error {
	orDefault(&c.DialTimeout, 5*time.Second)
	orDefault(&c.BackoffMin, 250*time.Millisecond)
	orDefault(&c.BackoffMax, 5*time.Second)
	orDefault(&c.RefusedWait, 30*time.Second)
	orDefault(&c.Stall, 15*time.Second)
	if c.Jitter == nil {
		c.Jitter = rand.Float64
	}
	switch {
	case c.Region == [16]byte{}:
		return fault.Field("region", "the peer has no id")
	case c.Addresses == nil || c.Handler == nil:
		return fault.New(fault.Invalid, "a link needs addresses and a handler")
	case c.BackoffMin <= 0 || c.BackoffMax < c.BackoffMin || c.RefusedWait <= 0 || c.DialTimeout <= 0 || c.Stall <= 0:
		return fault.New(fault.Invalid, "a time limit of a link is too small")
	}
	return nil
}

// Link keeps one logical link to one peer region.
type Link struct {
	end  *Endpoint
	cfg  LinkConfig
	log  *slog.Logger
	now  chan struct{} // ends a pause
	anew chan struct{} // ends a pause, or an attempt

	mu       sync.Mutex
	status   Status
	conn     *Conn   // in use; nil while there is none
	extras   []*Conn // beside it
	next     *Conn   // in its place, and at nextAt, since another server answers and this one does not
	nextAt   string
	dog      watchdog
	heard    time.Time // of the last report
	backlog  bool
	lastGood int // index of the address that is tried first

	preferred string    // the address that Prefer named
	preferAt  time.Time // not tried before
}

// NewLink checks the configuration. Nothing runs yet.
func (e *Endpoint) NewLink(cfg LinkConfig) (*Link, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	if cfg.Region == e.cfg.Self.Region {
		return nil, fault.New(fault.Invalid, "a region has no link to itself")
	}
	return &Link{
		end: e, cfg: cfg, log: e.cfg.Log, dog: watchdog{patience: cfg.Stall}, now: make(chan struct{}, 1), anew: make(chan struct{}, 1),
		status: Status{Region: cfg.Region, State: Connecting},
	}, nil
}

// Run keeps the link until ctx ends. It returns when the handler and everything else has ended.
func (l *Link) Run(ctx context.Context) error {
	l.mu.Lock()
	l.status.Since = time.Now()
	l.mu.Unlock()
	backoff := l.cfg.BackoffMin
	for ctx.Err() == nil {
		var err error
		conn, address := l.found()
		if conn == nil {
			conn, address, err = l.round(ctx)
		} else {
			l.lastGood = max(slices.Index(l.cfg.Addresses(), address), 0)
		}
		if err == nil {
			began := time.Now()
			if err = l.use(ctx, conn, address); silent(err) {
				l.lastGood++ // a server that went away without a word is asked last
			}
			if time.Since(began) > l.cfg.BackoffMax {
				backoff = l.cfg.BackoffMin
			}
		}
		if ctx.Err() != nil {
			break
		}
		if l.replaced() {
			continue
		}
		pause := backoff
		if backoff = min(2*backoff, l.cfg.BackoffMax); l.failed(err) {
			pause = l.cfg.RefusedWait
		}
		timer := time.NewTimer(time.Duration((1 + l.cfg.Jitter()) / 2 * float64(pause)))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-l.now:
		case <-l.anew:
		}
		timer.Stop()
	}
	if conn, _ := l.found(); conn != nil {
		conn.Close(fault.New(fault.Unavailable, "the link ended"))
	}
	return nil
}

// Retry ends the pause before the next attempt, if there is one: something changed that may have been in the way.
func (l *Link) Retry() { wake(l.now) }

// Anew makes an attempt at once, since the peer can be reached again: a pause ends, and an attempt that is under way is given
// up for a new one, for QUIC waits longer and longer before it repeats its first words. It is not to be called again and again:
// an attempt needs its round trips.
func (l *Link) Anew() { wake(l.anew) }

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// round tries every address once, beginning with the one that worked last. It answers with the error that says most:
// a refusal by one server is not hidden by the silence of another.
func (l *Link) round(ctx context.Context) (*Conn, string, error) {
	addresses := l.cfg.Addresses()
	var worst error = fault.New(fault.Unavailable, "the peer has no address").WithHint("set the addresses of the peer")
	for i := range addresses {
		at := (l.lastGood + i) % len(addresses)
		conn, err := l.dial(ctx, addresses[at])
		if err == nil {
			l.lastGood = at
			return conn, addresses[at], nil
		}
		if ctx.Err() != nil {
			return nil, "", err
		}
		if i == 0 || !hopeless(worst) {
			worst = err
		}
	}
	return nil, "", worst
}

func (l *Link) dial(ctx context.Context, address string) (*Conn, error) {
	for {
		conn, anew, err := l.attempt(ctx, address)
		if !anew || err == nil {
			return conn, err
		}
	}
}

// attempt dials once; anew: it was given up for a new one.
func (l *Link) attempt(ctx context.Context, address string) (conn *Conn, anew bool, err error) {
	l.mu.Lock()
	l.status.Attempts++
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, l.cfg.DialTimeout)
	asked := make(chan bool, 1)
	go func() {
		select {
		case <-l.anew:
			cancel()
			asked <- true
		case <-ctx.Done():
			asked <- false
		}
	}()
	conn, err = l.end.Dial(ctx, l.cfg.Region, address)
	cancel()
	return conn, <-asked, err
}

// use runs the handler on a connection, with the watchdog beside it, until either ends.
func (l *Link) use(ctx context.Context, c *Conn, address string) error {
	l.connected(c, address)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.raw.Context(), cancel)
	var beside sync.WaitGroup
	beside.Go(func() { l.watch(ctx, c) })
	if l.cfg.Extra != nil {
		beside.Go(func() { l.widen(ctx, address) })
	}
	beside.Go(func() { l.elsewhere(ctx, c, address) })
	err := l.cfg.Handler(ctx, c)
	stop()
	cancel()
	beside.Wait()
	if ended := c.Err(); ended != nil { // the handler's error is only what followed from it
		err = ended
	}
	c.Close(err)
	l.mu.Lock()
	l.conn = nil
	l.mu.Unlock()
	return err
}

// silent reports whether a connection ended because nothing was heard of the server any more.
func silent(err error) bool {
	var idle *quic.IdleTimeoutError
	return errors.As(err, &idle)
}

// watch ends the connection when applied positions stand still.
func (l *Link) watch(ctx context.Context, c *Conn) {
	tick := time.NewTicker(max(l.cfg.Stall/16, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := l.overdue(time.Now()); err != nil {
				c.Close(err)
				return
			}
		}
	}
}

// Open opens a stream on the first connection to the peer.
func (l *Link) Open(ctx context.Context, class Class) (*Stream, error) {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c == nil {
		return nil, fault.New(fault.Unavailable, "there is no connection to the region")
	}
	return c.Open(ctx, class)
}
