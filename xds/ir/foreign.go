package ir

import (
	"slices"

	"supercluster/federation/plan"
	"supercluster/registry"
)

// foreign is another region and the services with instances there.
type foreign struct {
	name     string // as its instances call it
	services map[registry.ServiceKey]struct{}
}

// settle keeps the index of the regions that a service has instances in; sv is nil when the service is gone.
func (m *Mesh) settle(k registry.ServiceKey, sv *registry.ServiceView) {
	now := foreignOf(sv)
	for alias, f := range m.foreign {
		if _, had := f.services[k]; had && now[alias] == "" {
			delete(f.services, k)
			if len(f.services) == 0 {
				delete(m.foreign, alias)
			}
		}
	}
	for alias, name := range now {
		f := m.foreign[alias]
		if f == nil {
			f = &foreign{services: map[registry.ServiceKey]struct{}{}}
			m.foreign[alias] = f
		}
		f.name = name
		f.services[k] = struct{}{}
	}
}

// foreignOf gives the other regions with instances of a service: their names by alias.
func foreignOf(sv *registry.ServiceView) map[uint32]string {
	if sv == nil || len(sv.Instances) == len(sv.Local()) {
		return nil
	}
	out, last := map[uint32]string{}, uint32(0)
	for _, i := range sv.Instances[len(sv.Local()):] {
		if i.Key.Scope != last {
			last = i.Key.Scope
			out[last] = i.Instance.GetRegion()
		}
	}
	return out
}

// reordered lists the services whose regions stand in another order by a new Reach. A region whose cost changed but
// not its place moves nobody.
func (m *Mesh) reordered(v *registry.View, reach *plan.Reach) []registry.ServiceKey {
	if reach == m.reach || len(m.foreign) == 0 {
		return nil
	}
	peers := make([]plan.Peer, 0, len(m.foreign))
	for alias, f := range m.foreign {
		peers = append(peers, plan.PeerAt(v, alias, f.name))
	}
	before, after := places(peers, m.reach), places(peers, reach)
	seen := map[registry.ServiceKey]struct{}{}
	var keys []registry.ServiceKey
	for _, p := range peers {
		if !moved(p, peers, before, after) {
			continue
		}
		for k := range m.foreign[p.Alias].services {
			if _, again := seen[k]; again {
				continue
			}
			seen[k] = struct{}{}
			if sv, ok := v.Service(k); ok && differs(sv, before, after) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// places says where each region stands, by alias.
func places(peers []plan.Peer, reach *plan.Reach) map[uint32]int {
	slices.SortFunc(peers, reach.Compare)
	at := make(map[uint32]int, len(peers))
	for n, p := range peers {
		at[p.Alias] = n
	}
	return at
}

// moved reports whether a region stands on another side of any other than before.
func moved(p plan.Peer, peers []plan.Peer, before, after map[uint32]int) bool {
	return slices.ContainsFunc(peers, func(o plan.Peer) bool {
		return (before[p.Alias] < before[o.Alias]) != (after[p.Alias] < after[o.Alias])
	})
}

// differs reports whether the regions of a service stand in another order than before.
func differs(sv *registry.ServiceView, before, after map[uint32]int) bool {
	var aliases []uint32
	for _, i := range sv.Instances[len(sv.Local()):] {
		if n := len(aliases); n == 0 || aliases[n-1] != i.Key.Scope {
			aliases = append(aliases, i.Key.Scope)
		}
	}
	slices.SortFunc(aliases, func(a, b uint32) int { return before[a] - before[b] })
	return !slices.IsSortedFunc(aliases, func(a, b uint32) int { return after[a] - after[b] })
}
