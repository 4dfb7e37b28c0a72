package federation

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/liveness"
	"supercluster/federation/plan"
)

// MethodReach is the method of the node channel by which the leader tells the other nodes which regions are reached, so
// that all of them plan alike.
const MethodReach uint8 = 8

// judgeEvery is how often the leader judges the regions.
const judgeEvery = 100 * time.Millisecond

// reach knows how this region can reach the others. The leader probes and judges; the other nodes show what it told, and
// go on from it when one of them leads.
type reach struct {
	f   *Federation
	now atomic.Pointer[plan.Reach]

	mu       sync.Mutex
	machine  *liveness.Machine
	failures map[[16]byte]string // why the last probe of a region failed
	clocks   clocks
	moved    chan struct{} // closed when the Reach changes
}

func newReach(f *Federation) *reach {
	r := &reach{f: f, machine: liveness.New(), failures: map[[16]byte]string{}, clocks: newClocks(), moved: make(chan struct{})}
	r.now.Store(r.machine.Reach())
	return r
}

// Reach is how other regions can be reached. It is the same on every node of the region, but for the time that a word takes.
func (f *Federation) Reach() *plan.Reach { return f.reach.now.Load() }

// ReachChanged is closed when Reach gives another one than it does now.
func (f *Federation) ReachChanged() <-chan struct{} {
	f.reach.mu.Lock()
	defer f.reach.mu.Unlock()
	return f.reach.moved
}

// stamp is this node's time.
func (r *reach) stamp() time.Duration { return time.Duration(r.f.ages.stamp()) }

// lead watches every peer and judges them, until ctx ends.
func (r *reach) lead(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	ends := map[[16]byte]context.CancelFunc{}
	defer func() {
		for _, end := range ends {
			end()
		}
	}()
	for {
		peers, changed := r.f.book.list()
		r.watch(ctx, peers, ends, &all)
		for again := true; again; {
			r.judge(ctx)
			select {
			case <-changed:
				again = false
			case <-time.After(judgeEvery):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// watch has what asks each peer running, and nothing for those that are gone.
func (r *reach) watch(ctx context.Context, peers []*peer, ends map[[16]byte]context.CancelFunc, all *sync.WaitGroup) {
	now := map[[16]byte]bool{}
	for _, p := range peers {
		now[p.id] = true
		if ends[p.id] == nil {
			one, end := context.WithCancel(ctx)
			ends[p.id] = end
			all.Go(func() { r.probe(one, p.id) })
			all.Go(func() { r.ask(one, p.id) })
		}
	}
	for id, end := range ends {
		if !now[id] {
			end()
			delete(ends, id)
		}
	}
}

// judge judges every region by what is known now.
func (r *reach) judge(ctx context.Context) {
	peers, _ := r.f.book.list()
	costs := costsOf(r.f.book.ownDocument())
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return // another node leads
	}
	all := make([]liveness.Peer, 0, len(peers))
	for _, p := range peers {
		one := liveness.Peer{ID: p.id, Name: r.f.book.name(p.id), Cost: -1}
		if c, set := costs[p.id]; set {
			one.Cost = c
		}
		all = append(all, one)
	}
	now := r.stamp()
	r.machine.SetPeers(now, all)
	for _, p := range peers {
		if at, ok := r.f.ages.newest(p.id); ok {
			r.machine.Fed(p.id, at)
		}
	}
	r.publish(r.machine.Step(now), true)
}

// publish shows another Reach, if it is another one. The caller holds the lock.
func (r *reach) publish(next *plan.Reach, leads bool) {
	last := r.now.Load()
	if next == last {
		return
	}
	r.now.Store(next)
	close(r.moved)
	r.moved = make(chan struct{})
	if leads {
		r.tell(last, next)
	}
}

// tell logs and counts what changed.
func (r *reach) tell(last, next *plan.Reach) {
	if next.Island != last.Island {
		if next.Island {
			r.f.log.Warn("this region reaches no other: what it holds of them stays as it is")
		} else {
			r.f.log.Info("this region reaches others again")
		}
	}
	was := map[[16]byte]plan.State{}
	for _, g := range last.Regions {
		was[g.ID] = g.State
	}
	for _, g := range next.Regions {
		if g.State == was[g.ID] {
			continue
		}
		r.f.metrics.turned(g.Region, g.State)
		switch g.State {
		case plan.StateUp:
			r.f.log.Info("a region is up", "region", g.Region)
		default:
			r.f.log.Warn("a region is "+g.State.String(), "region", g.Region, "why", g.Why)
		}
	}
}

// spread tells the other nodes of the region, while this one leads: at once when something changed.
func (r *reach) spread(ctx context.Context) error {
	for ctx.Err() == nil {
		changed := r.f.ReachChanged()
		if leads, _ := r.f.cfg.Store.Leads(); leads {
			r.tellNodes(ctx)
		}
		select {
		case <-changed:
		case <-time.After(spreadEvery):
		case <-ctx.Done():
		}
	}
	return nil
}

func (r *reach) tellNodes(ctx context.Context) {
	payload, err := marshal(r.message())
	if err != nil {
		return
	}
	var all sync.WaitGroup
	defer all.Wait()
	for _, node := range r.f.cfg.Store.Alive() {
		if node == r.f.cfg.Node {
			continue
		}
		all.Go(func() {
			call, cancel := context.WithTimeout(ctx, spreadEvery)
			defer cancel()
			asked := r.f.cfg.Now()
			answer, err := r.f.cfg.Store.Call(call, node, MethodReach, payload) // told again in a moment
			if err == nil {
				r.note(func() { r.clocks.ofNode(node, asked, r.f.cfg.Now(), answer) })
			}
		})
	}
}

// HandleReach takes in what the leader tells.
func (f *Federation) HandleReach(_ context.Context, _ string, payload []byte) ([]byte, error) {
	told, err := decodeReachability(payload)
	if err != nil {
		return nil, err
	}
	r := f.reach
	if leads, _ := f.cfg.Store.Leads(); leads {
		return nil, nil // it led before
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures, r.clocks = told.failures, told.clocks
	r.publish(r.machine.Restore(r.stamp(), told.picture), false)
	return encodeClock(f.cfg.Now()), nil
}

// costsOf gives the costs that are set, by region.
func costsOf(own *pb.Region) map[[16]byte]time.Duration {
	costs := map[[16]byte]time.Duration{}
	for _, c := range own.GetCosts() {
		if id, ok := regionID(c.GetRegion()); ok {
			costs[id] = c.GetCost().AsDuration()
		}
	}
	return costs
}
