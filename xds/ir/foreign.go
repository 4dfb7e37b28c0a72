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
	before := m.where[k]
	now := foreignOf(sv, make([]uint32, 0, len(before)))
	if slices.Equal(before, now) && m.called(sv) {
		return // as nearly always
	}
	for _, alias := range before {
		if f := m.foreign[alias]; !slices.Contains(now, alias) {
			delete(f.services, k)
			if len(f.services) == 0 {
				delete(m.foreign, alias)
			}
		}
	}
	for _, alias := range now {
		f := m.foreign[alias]
		if f == nil {
			f = &foreign{services: map[registry.ServiceKey]struct{}{}}
			m.foreign[alias] = f
		}
		f.name = nameAt(sv, alias)
		f.services[k] = struct{}{}
	}
	if len(now) == 0 {
		delete(m.where, k)
		return
	}
	m.where[k] = now
}

// foreignOf appends the aliases of the other regions with instances of a service, in order.
func foreignOf(sv *registry.ServiceView, to []uint32) []uint32 {
	if sv == nil {
		return to
	}
	for _, i := range sv.Instances[len(sv.Local()):] {
		if n := len(to); n == 0 || to[n-1] != i.Key.Scope {
			to = append(to, i.Key.Scope)
		}
	}
	return to
}

// called reports whether the other regions of a service, which are known, are called as its instances call them.
func (m *Mesh) called(sv *registry.ServiceView) bool {
	last := uint32(0)
	if sv == nil {
		return true
	}
	for _, i := range sv.Instances[len(sv.Local()):] {
		if i.Key.Scope == last {
			continue
		}
		if last = i.Key.Scope; m.foreign[last].name != i.Instance.GetRegion() {
			return false
		}
	}
	return true
}

// nameAt is what a service's first instance in a region calls it.
func nameAt(sv *registry.ServiceView, alias uint32) string {
	for _, i := range sv.Instances[len(sv.Local()):] {
		if i.Key.Scope == alias {
			return i.Instance.GetRegion()
		}
	}
	return ""
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
