package health

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry"
)

// maxTargets bounds the targets of one call, from clients and from nodes.
const maxTargets = 10000

// maxHops is how often a heartbeat is passed on. Twice, because while a node comes or goes two nodes may not yet
// agree on the owner.
const maxHops = 2

// Heartbeat takes heartbeats from clients; it answers the indexes of targets that are not registered. When it
// answers no error, the owner of each check has heard.
func (r *Runner) Heartbeat(ctx context.Context, targets []*pb.HeartbeatTarget) (unknown []uint32, err error) {
	if err := valid(targets); err != nil {
		return nil, err
	}
	r.metrics.beats.Add(ctx, int64(len(targets)), fromClient)
	return r.beat(ctx, targets, 0)
}

// HandleHeartbeat serves HeartbeatMethod: heartbeats that another node took for checks of this one. The payload is
// the number of hops, in one byte, and a HeartbeatRequest; the answer is a HeartbeatResponse.
func (r *Runner) HandleHeartbeat(ctx context.Context, from string, payload []byte) ([]byte, error) {
	if len(payload) == 0 {
		return nil, fault.New(fault.Invalid, "an empty heartbeat message from node %s", from)
	}
	var req pb.HeartbeatRequest
	if err := proto.Unmarshal(payload[1:], &req); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "a heartbeat message from node %s does not parse", from)
	}
	if err := valid(req.GetTargets()); err != nil {
		return nil, err
	}
	r.metrics.beats.Add(ctx, int64(len(req.GetTargets())), fromNode)
	unknown, err := r.beat(ctx, req.GetTargets(), payload[0])
	if err != nil {
		return nil, err
	}
	answer, err := proto.Marshal(&pb.HeartbeatResponse{Unknown: unknown})
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "encode the answer to heartbeats")
	}
	return answer, nil
}

func valid(targets []*pb.HeartbeatTarget) error {
	if len(targets) > maxTargets {
		return fault.Field("targets", "%d heartbeats in one call, the limit is %d", len(targets), maxTargets)
	}
	for i, t := range targets {
		if _, ok := pb.Health_name[int32(t.GetHealth())]; !ok {
			return fault.Field(fmt.Sprintf("targets[%d].health", i), "%d is not a health", t.GetHealth())
		}
	}
	return nil
}

// beat gives each heartbeat to its owner.
func (r *Runner) beat(ctx context.Context, targets []*pb.HeartbeatTarget, hops byte) (unknown []uint32, err error) {
	nodes := r.nodes.Load()
	if nodes == nil {
		return nil, fault.New(fault.Unavailable, "this node is starting").WithHint("retry")
	}
	var away map[string]*parcel
	var early []*pb.HeartbeatTarget
	now := r.now()
	for i, t := range targets {
		key := instanceOf(t)
		owner := nodes.owner(instanceHash(key))
		if owner != r.cfg.Node && r.cfg.Call != nil && hops < maxHops {
			if away == nil {
				away = map[string]*parcel{}
			}
			p := away[owner]
			if p == nil {
				p = &parcel{hops: hops + 1, done: make(chan struct{})}
				away[owner] = p
			}
			p.targets = append(p.targets, t)
			p.index = append(p.index, uint32(i))
			continue
		}
		changed, known := r.sessions.beat(now, key, t)
		r.writer.add(changed...)
		if known {
			continue
		}
		switch view := r.cfg.Views.View(); {
		case !registered(view, key, t.GetCheck()):
			unknown = append(unknown, uint32(i))
		case owner == r.cfg.Node && adopts(view, key, t.GetCheck()):
			early = append(early, t)
		}
	}
	if err := r.beatEarly(ctx, early); err != nil {
		return nil, err
	}
	if len(away) > 0 {
		far, err := r.sendAll(ctx, away)
		if err != nil {
			return nil, err
		}
		unknown = append(unknown, far...)
		slices.Sort(unknown)
	}
	return unknown, nil
}

// earlyFor bounds the wait for the loop, which takes a view in within milliseconds unless the processors are busy.
const earlyFor = 2 * time.Second

// beatEarly takes heartbeats that came between the view that shows a new check and the loop that adopts it. They would be lost:
// the check would start without them, and its next heartbeat may be far away.
func (r *Runner) beatEarly(ctx context.Context, targets []*pb.HeartbeatTarget) error {
	if len(targets) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, earlyFor)
	defer cancel()
	for {
		adopted := r.adopted.wait()
		left := targets[:0]
		for _, t := range targets {
			key := instanceOf(t)
			changed, known := r.sessions.beat(r.now(), key, t)
			r.writer.add(changed...)
			if !known && adopts(r.cfg.Views.View(), key, t.GetCheck()) {
				left = append(left, t)
			}
		}
		if targets = left; len(targets) == 0 {
			return nil
		}
		select {
		case <-adopted:
		case <-ctx.Done():
			return fault.New(fault.Unavailable, "this node has not taken in %d new checks yet", len(targets)).WithHint("retry")
		}
	}
}

// adopts reports whether a view has a TTL check that its owner runs.
func adopts(v *registry.View, k registry.InstanceKey, id string) bool {
	in, ok := v.Instance(k)
	return ok && !in.Instance.GetDraining() && slices.ContainsFunc(in.Checks, func(d *pb.Check) bool {
		return d.GetType() == pb.CheckType_CHECK_TYPE_TTL && (id == "" || d.GetId() == id)
	})
}

// signal wakes all who wait for the next time that something happens.
type signal struct {
	mu   sync.Mutex
	next chan struct{}
}

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	return s.next
}

func (s *signal) happened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
}

// sendAll hands parcels to the couriers and waits for all. A target is unknown only if this node's view does not have
// it either: the owner's view may be a moment behind the registration.
func (r *Runner) sendAll(ctx context.Context, away map[string]*parcel) (unknown []uint32, err error) {
	for node, p := range away {
		if err := r.courier(node).add(r, p); err != nil {
			return nil, err
		}
	}
	view := r.cfg.Views.View()
	for node, p := range away {
		select {
		case <-p.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if p.err != nil {
			return nil, fault.Wrap(fault.Unavailable, p.err, "heartbeats for node %s were not delivered", node).WithHint("retry")
		}
		for _, u := range p.unknown {
			if t := p.targets[u]; !registered(view, instanceOf(t), t.GetCheck()) {
				unknown = append(unknown, p.index[u])
			}
		}
	}
	return unknown, nil
}

func instanceOf(t *pb.HeartbeatTarget) registry.InstanceKey {
	return registry.ServiceOf(t.GetTenant(), t.GetNamespace(), t.GetService()).Instance(t.GetInstance())
}

// registered reports whether the view has what a heartbeat is for. An instance without TTL checks is registered too:
// registering it again would change nothing.
func registered(v *registry.View, k registry.InstanceKey, id string) bool {
	in, ok := v.Instance(k)
	if !ok {
		return false
	}
	return id == "" || slices.ContainsFunc(in.Checks, func(d *pb.Check) bool {
		return d.GetId() == id && d.GetType() == pb.CheckType_CHECK_TYPE_TTL
	})
}
