package ir

import (
	"maps"
	"slices"

	"supercluster/federation/plan"
	"supercluster/registry"
)

// Mesh is the form of one tenant.
type Mesh struct {
	tenant string
	client plan.Client
	reach  *plan.Reach

	ports      map[registry.ServiceKey][]string // the names of a service's clusters
	clusters   map[string]Cluster
	endpoints  map[string]*Endpoints
	namespaces map[string]*namespace
	// foreign are the other regions with instances, by alias.
	foreign map[uint32]*foreign
	// where are the aliases of the other regions that a service has instances in, in order.
	where map[registry.ServiceKey][]uint32
	// owed are services that are still to be planned again: all of a region's when it moves.
	// queue is an order of them, without those that were added since it was made, and with those that were planned since.
	owed  map[registry.ServiceKey]struct{}
	queue []registry.ServiceKey
}

// namespace holds what is derived for a whole namespace.
type namespace struct {
	services map[string]struct{} // names of the services that have clusters
	routes   Table               // what the registry's routes say
}

// Diff names what a step changed. Everything in it may be new, different or gone.
type Diff struct {
	Clusters  []string // sorted
	Endpoints []string // sorted
	// Namespaces are those whose clusters or routes changed, sorted.
	Namespaces []string
	// Planned counts the services that were planned again.
	Planned int
}

// Empty reports whether nothing changed.
func (d Diff) Empty() bool {
	return len(d.Clusters) == 0 && len(d.Endpoints) == 0 && len(d.Namespaces) == 0
}

// New makes the form of a tenant as clients of a region see it; it is empty until the first step.
func New(tenant, region string) *Mesh {
	return &Mesh{
		tenant:     tenant,
		client:     plan.Client{Region: region},
		ports:      map[registry.ServiceKey][]string{},
		clusters:   map[string]Cluster{},
		endpoints:  map[string]*Endpoints{},
		namespaces: map[string]*namespace{},
		foreign:    map[uint32]*foreign{},
		where:      map[registry.ServiceKey][]uint32{},
		owed:       map[registry.ServiceKey]struct{}{},
	}
}

// Step takes the form to a view and to what is known of the other regions, and tells what changed. c is what differs
// from the view before; the first step of a Mesh must have c.All. Services that only stand in another order of regions are
// owed: there may be very many of them, and Settle plans them in parts.
func (m *Mesh) Step(v *registry.View, reach *plan.Reach, c registry.Changes) Diff {
	touched := inOrder(m.touchedServices(v, c))
	m.Owe(m.reordered(v, reach))
	m.reach = reach
	return m.plan(v, touched, c)
}

// Owe has services planned again by a later Settle.
func (m *Mesh) Owe(keys []registry.ServiceKey) {
	for _, k := range keys {
		if k.Tenant == m.tenant {
			m.owed[k] = struct{}{}
		}
	}
}

// Owes reports whether services are owed.
func (m *Mesh) Owes() bool { return len(m.owed) > 0 }

// Settle plans at most n of the services that are owed, by the view that the last step was for.
func (m *Mesh) Settle(v *registry.View, n int) Diff {
	return m.plan(v, m.nextOwed(n), registry.Changes{})
}

// nextOwed picks the first of the services that are owed.
func (m *Mesh) nextOwed(n int) []registry.ServiceKey {
	var next []registry.ServiceKey
	for len(next) < n && len(m.owed) > 0 {
		if len(m.queue) == 0 {
			m.queue = inOrder(slices.Collect(maps.Keys(m.owed)))
		}
		k := m.queue[0]
		m.queue = m.queue[1:]
		if _, still := m.owed[k]; still {
			delete(m.owed, k)
			next = append(next, k)
		}
	}
	return next
}

// plan plans some services.
func (m *Mesh) plan(v *registry.View, touched []registry.ServiceKey, c registry.Changes) Diff {
	s := step{mesh: m, view: v, clusters: map[string]bool{}, endpoints: map[string]bool{}, namespaces: map[string]bool{}}
	for _, k := range touched {
		delete(m.owed, k)
		s.service(k)
	}
	for _, ns := range s.touchedNamespaces(c) {
		s.routes(ns)
	}
	return Diff{
		Clusters: sorted(s.clusters), Endpoints: sorted(s.endpoints), Namespaces: sorted(s.namespaces), Planned: len(touched),
	}
}

// touchedServices lists the services to look at again.
func (m *Mesh) touchedServices(v *registry.View, c registry.Changes) []registry.ServiceKey {
	var keys []registry.ServiceKey
	if !c.All {
		for k := range c.Services {
			if k.Tenant == m.tenant {
				keys = append(keys, k)
			}
		}
		return keys
	}
	for k := range m.ports {
		keys = append(keys, k)
	}
	for ns := range v.Namespaces(m.tenant) {
		for sv := range v.Services(m.tenant, ns.GetName()) {
			keys = append(keys, sv.Key)
		}
	}
	return keys
}

func inOrder(keys []registry.ServiceKey) []registry.ServiceKey {
	slices.SortFunc(keys, registry.ServiceKey.Compare)
	return slices.Compact(keys)
}

// Cluster finds a cluster by its name.
func (m *Mesh) Cluster(name string) (Cluster, bool) {
	c, ok := m.clusters[name]
	return c, ok
}

// Endpoints finds the endpoints of a cluster; nil when there is no such cluster.
func (m *Mesh) Endpoints(name string) *Endpoints { return m.endpoints[name] }

// ClusterNames lists the clusters of all namespaces, sorted.
func (m *Mesh) ClusterNames() []string { return slices.Sorted(maps.Keys(m.clusters)) }

// Members lists the clusters that a client of a role hears of unasked, sorted.
func (m *Mesh) Members(role Role, namespace string) []string {
	ns := m.namespaces[namespace]
	if ns == nil {
		return nil
	}
	if role == RoleEdge {
		return ns.routes.Clusters
	}
	names := slices.Clone(ns.routes.Clusters)
	for service := range ns.services {
		names = append(names, m.ports[registry.ServiceKey{Tenant: m.tenant, Namespace: namespace, Name: service}]...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
