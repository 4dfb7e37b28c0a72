package federation

import (
	"context"
	"sync"
	"time"

	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/fault"
)

// inlet is one stream on which channels come in.
type inlet struct {
	class  link.Class
	name   [laneName]byte
	stream *link.Stream
	order  sequencer

	mu      sync.Mutex
	pullers map[channelName]*puller
}

// inlet gives the stream of a class, and opens it the first time.
func (c *connection) inlet(class link.Class) (*inlet, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in := c.inlets[class]; in != nil {
		return in, nil
	}
	s, err := c.conn.Open(c.ctx, class)
	if err != nil {
		return nil, err
	}
	in := &inlet{
		class: class, name: newLaneName(), stream: s, order: sequencer{saved: c.u.f.metrics.repaired},
		pullers: map[channelName]*puller{},
	}
	if err := hello(c.ctx, s, false, in.name); err != nil {
		s.Reset()
		return nil, err
	}
	c.inlets[class] = in
	c.group.Go(func() error {
		defer s.Close()
		return in.receive(c.ctx, s)
	})
	c.group.Go(func() error { return in.watch(c.ctx) })
	return in, nil
}

func (in *inlet) add(name channelName, p *puller) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.pullers[name] = p
}

// remove takes a puller out, unless a later one of the channel is there.
func (in *inlet) remove(name channelName, p *puller) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pullers[name] == p {
		delete(in.pullers, name)
	}
}

// receive takes in what comes on one lane.
func (in *inlet) receive(ctx context.Context, lane *link.Stream) error {
	for {
		raw, err := lane.Recv(ctx)
		if err != nil {
			return err
		}
		if err := in.order.take(raw, time.Now(), in.deliver); err != nil {
			return err
		}
	}
}

// deliver hands a message to whom it is for.
func (in *inlet) deliver(raw link.Message) error {
	m, err := feed.Decode(raw.Body)
	if err != nil {
		return err
	}
	in.mu.Lock()
	p := in.pullers[channelName{m.Region, m.Channel}]
	in.mu.Unlock()
	if p == nil {
		return nil // it has just been given up
	}
	return p.offer(&m, len(raw.Body))
}

// watch ends the connection when a message is missing that no lane will bring.
func (in *inlet) watch(ctx context.Context) error {
	for pause(ctx, gapWithin/3) {
		if in.order.stuck(time.Now()) {
			return fault.New(fault.Unavailable, "a lane of the %s stream was lost with what it carried", in.class)
		}
	}
	return nil
}

func (in *inlet) send(ctx context.Context, m *feed.Message) error {
	return in.stream.Send(ctx, link.Message{Type: uint8(m.Type), Body: feed.Append(nil, m)})
}
