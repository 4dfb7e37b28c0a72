package link

import (
	"container/heap"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// maxShaped bounds the datagrams that wait for their time; more are dropped, as a full router does.
const maxShaped = 8192

// Shape decides the fate of the datagrams from or to an address, for tests, chaos and `dev`. It must be quick and
// safe for concurrent use. Datagrams that arrive are dropped, never delayed.
type Shape func(peer net.Addr) (drop bool, delay time.Duration)

// Shaper is a socket with faults. Use it as the socket of an Endpoint; without faults the bare socket is faster.
type Shaper struct {
	net.PacketConn
	shape   Shape
	dropped atomic.Int64

	mu     sync.Mutex
	queue  datagrams
	next   uint64 // order among datagrams of one time
	wake   chan struct{}
	timer  sync.WaitGroup
	runs   bool
	closed chan struct{}
	once   sync.Once
}

// NewShaper wraps a socket. Its one goroutine starts with the first delayed datagram and ends with Close.
func NewShaper(socket net.PacketConn, shape Shape) *Shaper {
	return &Shaper{PacketConn: socket, shape: shape, wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Dropped is the number of datagrams lost here.
func (s *Shaper) Dropped() int64 { return s.dropped.Load() }

// WriteTo sends a datagram now, later or never. Only a failure to send now is reported, as by a network.
func (s *Shaper) WriteTo(b []byte, to net.Addr) (int, error) {
	drop, delay := s.shape(to)
	switch {
	case drop:
		s.dropped.Add(1)
		return len(b), nil
	case delay <= 0:
		return s.PacketConn.WriteTo(b, to)
	}
	s.later(append([]byte(nil), b...), to, delay)
	return len(b), nil
}

// ReadFrom gives the next datagram that is not dropped.
func (s *Shaper) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		if drop, _ := s.shape(from); !drop {
			return n, from, nil
		}
		s.dropped.Add(1)
	}
}

func (s *Shaper) later(b []byte, to net.Addr, delay time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return
	default:
	}
	if len(s.queue) >= maxShaped {
		s.dropped.Add(1)
		return
	}
	s.next++
	heap.Push(&s.queue, datagram{due: time.Now().Add(delay), order: s.next, body: b, to: to})
	if !s.runs {
		s.runs = true
		s.timer.Go(s.deliver)
	}
	if s.queue[0].order == s.next { // it is the first now
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// deliver sends what is due, until the socket is closed.
func (s *Shaper) deliver() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		s.mu.Lock()
		pause := time.Hour
		for len(s.queue) > 0 {
			if pause = time.Until(s.queue[0].due); pause > 0 {
				break
			}
			d := heap.Pop(&s.queue).(datagram)
			s.mu.Unlock()
			_, _ = s.PacketConn.WriteTo(d.body, d.to) // a datagram may be lost
			s.mu.Lock()
			pause = time.Hour
		}
		s.mu.Unlock()
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-s.wake:
		case <-s.closed:
			return
		}
	}
}

// Close closes the socket; what waits is lost.
func (s *Shaper) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		close(s.closed)
		s.mu.Unlock()
	})
	err := s.PacketConn.Close()
	s.timer.Wait()
	return err
}

// SetReadBuffer passes on what QUIC asks for.
func (s *Shaper) SetReadBuffer(n int) error {
	if c, ok := s.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return c.SetReadBuffer(n)
	}
	return nil
}

// SetWriteBuffer passes on what QUIC asks for.
func (s *Shaper) SetWriteBuffer(n int) error {
	if c, ok := s.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return c.SetWriteBuffer(n)
	}
	return nil
}

type datagram struct {
	due   time.Time
	order uint64
	body  []byte
	to    net.Addr
}

// datagrams is a heap by time, then by order.
type datagrams []datagram

func (d datagrams) Len() int { return len(d) }
func (d datagrams) Less(i, j int) bool {
	if !d[i].due.Equal(d[j].due) {
		return d[i].due.Before(d[j].due)
	}
	return d[i].order < d[j].order
}
func (d datagrams) Swap(i, j int) { d[i], d[j] = d[j], d[i] }
func (d *datagrams) Push(x any)   { *d = append(*d, x.(datagram)) }
func (d *datagrams) Pop() any {
	old := *d
	last := old[len(old)-1]
	old[len(old)-1] = datagram{}
	*d = old[:len(old)-1]
	return last
}
