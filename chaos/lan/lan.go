// Package lan is the network between the servers of one region on one machine: for each server and each other one that it
// dials, a TCP proxy that can hold back what goes one way or both, as a network does that loses it.
//
// TCP sends again what was lost, so bytes that are held back arrive when the way is open again, if their connection still
// lives; connections that are opened meanwhile wait. It owns the proxies and never looks into the bytes. It may be used
// concurrently; Close once.
package lan

import (
	"context"
	"net"
	"sync"
)

// Config says how sockets are opened, where servers may be in a network namespace.
type Config struct {
	Listen func() (net.Listener, error)
	Dial   func(ctx context.Context, address string) (net.Conn, error)
}

// LAN is the network of a region. Servers are numbers.
type LAN struct {
	cfg    Config
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup

	mu        sync.Mutex
	listeners []net.Listener
	ways      map[[2]int]*way // from, to
}

// way is one direction between two servers, whoever dialed.
type way struct {
	open chan struct{} // closed while it is open
	held int           // pieces that had to wait
}

// New makes a network where all ways are open.
func New(cfg Config) *LAN {
	l := &LAN{cfg: cfg, ways: map[[2]int]*way{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Reach gives the address where a server finds another one, which listens on an address of its own.
func (l *LAN) Reach(from, to int, address string) (string, error) {
	listener, err := l.cfg.Listen()
	if err != nil {
		return "", err
	}
	l.mu.Lock()
	l.listeners = append(l.listeners, listener)
	l.mu.Unlock()
	l.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.all.Go(func() { l.connect(conn, from, to, address) })
		}
	})
	return listener.Addr().String(), nil
}

// connect joins a connection with one to its server, once the way there is open.
func (l *LAN) connect(conn net.Conn, from, to int, address string) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	defer conn.Close()
	if !l.pass(ctx, from, to) {
		return
	}
	other, err := l.cfg.Dial(ctx, address)
	if err != nil {
		return
	}
	defer other.Close()
	context.AfterFunc(ctx, func() { _, _ = conn.Close(), other.Close() })
	l.all.Go(func() {
		defer cancel()
		l.copy(ctx, conn, other, to, from)
	})
	l.copy(ctx, other, conn, from, to)
}

// copy brings bytes from one end to the other while the way is open.
func (l *LAN) copy(ctx context.Context, dst, src net.Conn, from, to int) {
	b := make([]byte, 64<<10)
	for {
		n, err := src.Read(b)
		if n > 0 && l.pass(ctx, from, to) {
			_, writeErr := dst.Write(b[:n])
			if err == nil {
				err = writeErr
			}
		}
		if err != nil || ctx.Err() != nil {
			return
		}
	}
}

func (l *LAN) way(from, to int) *way {
	w := l.ways[[2]int{from, to}]
	if w == nil {
		w = &way{open: make(chan struct{})}
		close(w.open)
		l.ways[[2]int{from, to}] = w
	}
	return w
}

// pass waits until a way is open; false: ctx ended before.
func (l *LAN) pass(ctx context.Context, from, to int) bool {
	for first := true; ; first = false {
		l.mu.Lock()
		w := l.way(from, to)
		open := w.open
		select {
		case <-open:
			l.mu.Unlock()
			return ctx.Err() == nil
		default:
		}
		if first {
			w.held++
		}
		l.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return false
		}
	}
}

// Hold closes a way; what is sent there waits.
func (l *LAN) Hold(from, to int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.way(from, to)
	select {
	case <-w.open:
		w.open = make(chan struct{})
	default:
	}
}

// Release opens a way.
func (l *LAN) Release(from, to int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.way(from, to)
	select {
	case <-w.open:
	default:
		close(w.open)
	}
}

// Held is how many pieces and connections had to wait in a way so far.
func (l *LAN) Held(from, to int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.way(from, to).held
}

// Close ends all proxies and connections.
func (l *LAN) Close() {
	l.cancel()
	l.mu.Lock()
	for _, listener := range l.listeners {
		_ = listener.Close()
	}
	l.mu.Unlock()
	l.all.Wait()
}
