package health

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

const (
	// maxBatch bounds what is taken from the queue at a time, maxBatchBytes one message of it.
	maxBatch      = 4096
	maxBatchBytes = 512 << 10
	// maxQueued bounds what waits for one node.
	maxQueued   = 40000
	callTimeout = 2 * time.Second
)

// parcel is the heartbeats of one call for one node. Its fields are read by the caller once done is closed.
type parcel struct {
	hops    byte
	targets []*pb.HeartbeatTarget
	index   []uint32 // where each target was in the call
	unknown []uint32 // indexes into targets
	err     error
	done    chan struct{}
}

// courier takes heartbeats to one other node, one message at a time: what queued while the last one was on its way
// goes together.
type courier struct {
	node string

	mu     sync.Mutex
	queue  []*parcel
	queued int // targets
	busy   bool
}

func (r *Runner) courier(node string) *courier {
	r.courierMu.Lock()
	defer r.courierMu.Unlock()
	c, ok := r.couriers[node]
	if !ok {
		c = &courier{node: node}
		r.couriers[node] = c
	}
	return c
}

// keepCouriers forgets the couriers to nodes that are gone; what they still carry they deliver or fail.
func (r *Runner) keepCouriers(nodes []string) {
	r.courierMu.Lock()
	defer r.courierMu.Unlock()
	for node := range r.couriers {
		if !slices.Contains(nodes, node) {
			delete(r.couriers, node)
		}
	}
}

// add queues a parcel and sets the courier off if it is at home.
func (c *courier) add(r *Runner, p *parcel) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.queued+len(p.targets) > maxQueued {
		return fault.New(fault.Busy, "%d heartbeats wait for node %s already", c.queued, c.node).WithRetryAfter(time.Second)
	}
	if !c.busy && !r.tasks.Go(func() { c.run(r) }) {
		return fault.New(fault.Unavailable, "this node is stopping").WithHint("send heartbeats to another node")
	}
	c.busy = true
	c.queue = append(c.queue, p)
	c.queued += len(p.targets)
	return nil
}

// run delivers until nothing is queued.
func (c *courier) run(r *Runner) {
	for {
		batch := c.take()
		if batch == nil {
			return
		}
		c.deliver(r, batch)
		for _, p := range batch {
			close(p.done)
		}
	}
}

// take gives the next parcels that fit into one message; nil: the courier is at home.
func (c *courier) take() []*parcel {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		c.busy = false
		return nil
	}
	n, targets := 0, 0
	for n < len(c.queue) && c.queue[n].hops == c.queue[0].hops {
		targets += len(c.queue[n].targets)
		if n > 0 && targets > maxBatch {
			targets -= len(c.queue[n].targets)
			break
		}
		n++
	}
	batch := c.queue[:n:n]
	c.queue = c.queue[n:]
	c.queued -= targets
	return batch
}

// deliver sends a batch, in as many messages as its bytes need, and deals out the answers.
func (c *courier) deliver(r *Runner, batch []*parcel) {
	var all []*pb.HeartbeatTarget
	for _, p := range batch {
		all = append(all, p.targets...)
	}
	unknown, err := c.call(r, batch[0].hops, all)
	at, first := 0, uint32(0)
	for _, p := range batch {
		p.err = err
		last := first + uint32(len(p.targets))
		for ; at < len(unknown) && unknown[at] < last; at++ {
			p.unknown = append(p.unknown, unknown[at]-first)
		}
		first = last
	}
}

// call sends targets; it answers the indexes of the unknown ones, sorted.
func (c *courier) call(r *Runner, hops byte, targets []*pb.HeartbeatTarget) (unknown []uint32, err error) {
	req := &pb.HeartbeatRequest{Targets: targets}
	if size := proto.Size(req); size > maxBatchBytes && len(targets) > 1 {
		half := len(targets) / 2
		first, err := c.call(r, hops, targets[:half])
		if err != nil {
			return nil, err
		}
		second, err := c.call(r, hops, targets[half:])
		for _, u := range second {
			first = append(first, u+uint32(half))
		}
		return first, err
	}
	payload, err := proto.MarshalOptions{}.MarshalAppend([]byte{hops}, req)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "encode heartbeats")
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	answer, err := r.cfg.Call(ctx, c.node, HeartbeatMethod, payload)
	if err != nil {
		return nil, err
	}
	var res pb.HeartbeatResponse
	if err := proto.Unmarshal(answer, &res); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the answer of node %s to heartbeats does not parse", c.node)
	}
	unknown = res.GetUnknown()
	slices.Sort(unknown)
	if n := len(unknown); n > 0 && int(unknown[n-1]) >= len(targets) {
		return nil, fault.New(fault.Internal, "node %s answered heartbeats that were not sent", c.node)
	}
	return unknown, nil
}
