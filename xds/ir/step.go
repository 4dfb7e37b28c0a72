package ir

import (
	"maps"
	"slices"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/registry"
)

// step is one step of a Mesh: what it looked at and what it found changed.
type step struct {
	mesh *Mesh
	view *registry.View

	clusters   map[string]bool
	endpoints  map[string]bool
	namespaces map[string]bool
}

// service derives the clusters of a service again.
func (s *step) service(k registry.ServiceKey) {
	m := s.mesh
	var names []string
	sv, ok := s.view.Service(k)
	m.settle(k, sv)
	if ok {
		for _, port := range append([]string{""}, sv.Ports()...) {
			p, ok := plan.For(s.view, m.reach, m.client, plan.Query{Service: k, Port: port})
			if !ok {
				continue
			}
			name := Name(k.Name, k.Namespace, port)
			names = append(names, name)
			s.cluster(Cluster{Name: name, Service: k, Port: port, Protocol: p.Protocol}, p)
		}
	}
	for _, old := range m.ports[k] {
		if !slices.Contains(names, old) {
			s.remove(old, k.Namespace)
		}
	}
	s.remember(k, names)
}

// cluster takes in one cluster and its endpoints.
func (s *step) cluster(c Cluster, p plan.Plan) {
	m := s.mesh
	if m.clusters[c.Name] != c {
		m.clusters[c.Name] = c
		s.clusters[c.Name] = true
		s.namespaces[c.Service.Namespace] = true
	}
	m.endpoints[c.Name] = &Endpoints{
		Name: c.Name, Tiers: p.Tiers, Draining: p.Draining, Unhealthy: unhealthy(p.Excluded), Regions: names(p.Regions),
	}
	s.endpoints[c.Name] = true
}

// names lists the regions of a plan; none when there is only this one.
func names(regions []plan.Region) []string {
	if len(regions) < 2 {
		return nil
	}
	out := make([]string, len(regions))
	for n, r := range regions {
		out[n] = r.Reach.Region
	}
	return out
}

// unhealthy picks the excluded endpoints that are there but fail; the others have no address to show.
func unhealthy(excluded []plan.Excluded) []plan.Endpoint {
	var found []plan.Endpoint
	for _, x := range excluded {
		if x.Endpoint.Health == pb.Health_HEALTH_CRITICAL && x.Endpoint.Addr.IsValid() && x.Endpoint.Addr.Port() != 0 {
			found = append(found, x.Endpoint)
		}
	}
	return found
}

func (s *step) remove(name, namespace string) {
	delete(s.mesh.clusters, name)
	delete(s.mesh.endpoints, name)
	s.clusters[name] = true
	s.endpoints[name] = true
	s.namespaces[namespace] = true
}

// remember keeps the index of a service's clusters and of a namespace's services.
func (s *step) remember(k registry.ServiceKey, names []string) {
	m := s.mesh
	ns := m.namespaces[k.Namespace]
	if ns == nil {
		ns = &namespace{services: map[string]struct{}{}}
		m.namespaces[k.Namespace] = ns
	}
	if len(names) == 0 {
		delete(m.ports, k)
		delete(ns.services, k.Name)
		return
	}
	m.ports[k] = names
	ns.services[k.Name] = struct{}{}
}

// touchedNamespaces lists the namespaces whose route tables to derive again, in order.
func (s *step) touchedNamespaces(c registry.Changes) []string {
	m := s.mesh
	touched := maps.Clone(s.namespaces)
	for k := range c.Routes {
		if k.Tenant == m.tenant {
			touched[k.Namespace] = true
		}
	}
	if c.All {
		for name := range m.namespaces {
			touched[name] = true
		}
		for ns := range s.view.Namespaces(m.tenant) {
			touched[ns.GetName()] = true
		}
	}
	return sorted(touched)
}

// routes derives the route table of a namespace again.
func (s *step) routes(name string) {
	m := s.mesh
	ns := m.namespaces[name]
	if ns == nil {
		ns = &namespace{services: map[string]struct{}{}}
		m.namespaces[name] = ns
	}
	next := m.routeTable(s.view, name)
	if !next.equal(ns.routes) {
		ns.routes = next
		s.namespaces[name] = true
	}
}
