package ir

import (
	"slices"
	"strings"

	"supercluster/registry"
)

// Table gives the route table of a namespace for a role: an edge serves the registry's routes, a sidecar also the
// services of its namespace by their names. A route's hosts win over a service's name.
func (m *Mesh) Table(role Role, name string) Table {
	ns := m.namespaces[name]
	if ns == nil {
		return Table{}
	}
	if role != RoleSidecar {
		return ns.routes
	}
	hosts := slices.Clone(ns.routes.Hosts)
	taken := make(map[string]bool, len(hosts))
	for _, h := range hosts {
		taken[h.Name] = true
	}
	for service := range ns.services {
		for _, cluster := range m.ports[registry.ServiceKey{Tenant: m.tenant, Namespace: name, Name: service}] {
			c := m.clusters[cluster]
			for _, host := range hostsOf(c) {
				if !taken[host] {
					taken[host] = true
					hosts = append(hosts, Host{Name: host, Routes: []Route{
						{Prefix: "/", Cluster: cluster, Target: cluster, Protocol: c.Protocol},
					}})
				}
			}
		}
	}
	return tableOf(hosts)
}

// hostsOf lists the host names under which a sidecar of a service's namespace reaches a cluster: its own name,
// the service alone, and the service with the namespace spelled out.
func hostsOf(c Cluster) []string {
	if c.Port != "" {
		return []string{c.Name}
	}
	return []string{c.Service.Name, c.Service.Name + "." + c.Service.Namespace}
}

// routeTable derives the table of a namespace's routes.
func (m *Mesh) routeTable(v *registry.View, namespace string) Table {
	byHost := map[string][]Route{}
	for rv := range v.Routes(m.tenant, namespace) {
		route := m.route(rv, namespace)
		for _, host := range rv.Route.GetHosts() {
			host = strings.ToLower(host)
			if !hasPrefix(byHost[host], route.Prefix) {
				byHost[host] = append(byHost[host], route)
			}
		}
	}
	hosts := make([]Host, 0, len(byHost))
	for name, routes := range byHost {
		slices.SortStableFunc(routes, func(a, b Route) int {
			if d := len(b.Prefix) - len(a.Prefix); d != 0 {
				return d
			}
			return strings.Compare(a.Prefix, b.Prefix)
		})
		hosts = append(hosts, Host{Name: name, Routes: routes})
	}
	return tableOf(hosts)
}

// hasPrefix reports whether a host already has a route for the prefix: the first by name wins, so that the answer
// does not depend on who wrote last.
func hasPrefix(routes []Route, prefix string) bool {
	return slices.ContainsFunc(routes, func(r Route) bool { return r.Prefix == prefix })
}

func (m *Mesh) route(rv *registry.RouteView, namespace string) Route {
	r := rv.Route
	route := Route{
		Name:   r.GetName(),
		Prefix: r.GetPrefix(),
		Target: Name(r.GetService(), namespace, r.GetPort()),
	}
	if route.Prefix == "" {
		route.Prefix = "/"
	}
	if c, ok := m.clusters[route.Target]; ok {
		route.Cluster = c.Name
		route.Protocol = c.Protocol
	}
	return route
}

// tableOf orders hosts and gathers the clusters that they lead to.
func tableOf(hosts []Host) Table {
	slices.SortFunc(hosts, func(a, b Host) int { return strings.Compare(a.Name, b.Name) })
	t := Table{Hosts: hosts}
	for _, h := range hosts {
		for _, r := range h.Routes {
			if r.Cluster != "" {
				t.Clusters = append(t.Clusters, r.Cluster)
			}
		}
	}
	slices.Sort(t.Clusters)
	t.Clusters = slices.Compact(t.Clusters)
	return t
}

func (t Table) equal(o Table) bool {
	return slices.EqualFunc(t.Hosts, o.Hosts, func(a, b Host) bool {
		return a.Name == b.Name && slices.Equal(a.Routes, b.Routes)
	})
}
