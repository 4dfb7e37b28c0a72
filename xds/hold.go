package xds

import (
	"context"
	"maps"
	"slices"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/registry"
)

// holdFor bounds how long a change in a region that is away is kept back.
const holdFor = 5 * time.Second

// holding are services whose changes are kept back: they are only in regions that are away, so no client would use them
// while another region serves. A region that comes back catches up in many steps; its clients need the last one. It is
// guarded by the publisher's lock.
type holding struct {
	services map[registry.ServiceKey]struct{}
	began    chan struct{} // has a word when services are no longer none
}

func newHolding() holding {
	return holding{services: map[registry.ServiceKey]struct{}{}, began: make(chan struct{}, 1)}
}

// add keeps services back.
func (h *holding) add(k registry.ServiceKey) {
	if len(h.services) == 0 {
		select {
		case h.began <- struct{}{}:
		default:
		}
	}
	h.services[k] = struct{}{}
}

// take gives what is kept back, and keeps nothing any more.
func (h *holding) take() []registry.ServiceKey {
	keys := slices.Collect(maps.Keys(h.services))
	h.services = map[registry.ServiceKey]struct{}{}
	return keys
}

// keepBack takes out of some changes what can wait.
func (p *publisher) keepBack(before, after *registry.View, c registry.Changes) registry.Changes {
	away := awayAliases(after, p.reach)
	if c.All || len(away) == 0 {
		if c.All {
			p.held.take()
		}
		return c
	}
	due := make(map[registry.ServiceKey]struct{}, len(c.Services))
	for k := range c.Services {
		if canWait(before, after, k, away) {
			p.held.add(k)
			continue
		}
		delete(p.held.services, k)
		due[k] = struct{}{}
	}
	c.Services = due
	return c
}

// awayAliases are the regions that stand last because they are away; none on an island.
func awayAliases(v *registry.View, reach *plan.Reach) map[uint32]bool {
	if reach == nil || reach.Island {
		return nil
	}
	var away map[uint32]bool
	for r := range v.Regions() {
		if !r.IsLocal() && reach.Of(r.ID).State == plan.StateAway {
			if away == nil {
				away = map[uint32]bool{}
			}
			away[r.Alias] = true
		}
	}
	return away
}

// canWait reports whether a service differs only in regions that are away, and is served by another.
func canWait(before, after *registry.View, k registry.ServiceKey, away map[uint32]bool) bool {
	old, had := before.Service(k)
	now, has := after.Service(k)
	if !had || !has || old.Definition != now.Definition {
		return false
	}
	rest, served := old.Instances, false
	for _, i := range now.Instances {
		if away[i.Key.Scope] {
			continue
		}
		for len(rest) > 0 && away[rest[0].Key.Scope] {
			rest = rest[1:]
		}
		if len(rest) == 0 || rest[0] != i {
			return false
		}
		rest = rest[1:]
		healthy := i.Health == pb.Health_HEALTH_PASSING || i.Health == pb.Health_HEALTH_WARNING
		served = served || healthy && !i.Instance.GetDraining()
	}
	for _, i := range rest {
		if !away[i.Key.Scope] {
			return false
		}
	}
	return served
}

// returned reports whether a region that was away no longer counts as that.
func returned(v *registry.View, before, after *plan.Reach) bool {
	now := awayAliases(v, after)
	for alias := range awayAliases(v, before) {
		if !now[alias] {
			return true
		}
	}
	return false
}

// release publishes what is kept back.
func (p *publisher) release() {
	p.mu.Lock()
	p.owe(p.held.take())
	p.mu.Unlock()
	p.settle()
}

// releaseLate publishes what is kept back for too long, until ctx ends.
func (p *publisher) releaseLate(ctx context.Context) {
	timer := time.NewTimer(holdFor)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.held.began:
		}
		timer.Reset(holdFor)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			p.release()
		}
	}
}
