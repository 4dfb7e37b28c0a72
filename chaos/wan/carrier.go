package wan

import (
	"container/heap"
	"sync"
	"time"
)

// carrier holds packets until their time. One goroutine delivers all of them.
type carrier struct {
	mu      sync.Mutex
	queue   packets
	order   uint64
	wake    alarm
	waking  bool
	closing bool
	ended   chan struct{}
}

type packet struct {
	due   time.Time
	order uint64
	cuts  int
	on    *direction
	body  *[]byte
	send  func(b []byte)
}

// buffers are reused: a bulk transfer has thousands of packets under way.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

func newCarrier() (*carrier, error) {
	wake, err := newAlarm()
	if err != nil {
		return nil, err
	}
	c := &carrier{wake: wake, ended: make(chan struct{})}
	go c.deliver()
	return c, nil
}

// carry takes one packet; send is called when its time has come, and keeps nothing of what it gets.
func (c *carrier) carry(d *direction, b []byte, send func([]byte)) {
	now := time.Now()
	c.mu.Lock()
	due, ok := d.take(now, len(b))
	if !ok || c.closing {
		c.mu.Unlock()
		return
	}
	body := buffers.Get().(*[]byte)
	*body = append((*body)[:0], b...)
	c.order++
	order := c.order
	heap.Push(&c.queue, packet{due: due, order: order, cuts: d.cuts, on: d, body: body, send: send})
	first := c.queue[0].order == order && !c.waking
	c.waking = c.waking || first
	c.mu.Unlock()
	if first {
		c.wake.ring()
	}
}

// deliver sends what is due until the carrier is closed.
func (c *carrier) deliver() {
	defer close(c.ended)
	urgent()
	for {
		wait, open := c.due()
		if !open {
			return
		}
		c.wake.wait(-1, wait)
	}
}

// due sends every packet whose time has come and says how long until the next.
func (c *carrier) due() (wait time.Duration, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waking = false
	for len(c.queue) > 0 {
		now := time.Now()
		if wait := c.queue[0].due.Sub(now); wait > 0 {
			return wait, !c.closing
		}
		p := heap.Pop(&c.queue).(packet)
		ok := p.on.arrive(now, p.due, len(*p.body), p.cuts)
		if ok {
			c.mu.Unlock()
			p.send(*p.body)
			c.mu.Lock()
		}
		buffers.Put(p.body)
		if c.closing {
			return 0, false
		}
	}
	return time.Hour, !c.closing
}

// locked runs fn while no packet moves.
func (c *carrier) locked(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn()
}

// close ends the delivery; what waits is lost.
func (c *carrier) close() {
	c.locked(func() { c.closing = true })
	c.wake.ring()
	<-c.ended
	c.wake.close()
}

// packets is a heap by time, then by order.
type packets []packet

func (p packets) Len() int { return len(p) }
func (p packets) Less(i, j int) bool {
	if !p[i].due.Equal(p[j].due) {
		return p[i].due.Before(p[j].due)
	}
	return p[i].order < p[j].order
}
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p *packets) Push(x any)   { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	old := *p
	last := old[len(old)-1]
	old[len(old)-1] = packet{}
	*p = old[:len(old)-1]
	return last
}
