package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
)

// Client is where a client is.
type Client struct{ Region, Zone string }

// Query is what it asks for.
type Query struct {
	Service registry.ServiceKey
	Port    string // a named port; empty is the default port
	Tag     string // only instances with this tag
}

// Endpoint is one address of an instance. Its port is 0 where the instance has no such port: such an endpoint
// is always excluded.
type Endpoint struct {
	Instance string
	Addr     netip.AddrPort
	Weight   uint32
	Health   pb.Health
	Draining bool
	Region   string
	Zone     string
}

// Locality is the endpoints of one zone, ordered by instance.
type Locality struct {
	Region, Zone string
	Weight       uint32 // the sum of the endpoints' weights
	Endpoints    []Endpoint
}

// Tier is the localities that are used together; 0 is used first.
type Tier struct {
	Priority   uint32
	Localities []Locality
}

// Excluded is an instance that gets no traffic.
type Excluded struct {
	Endpoint Endpoint
	Reason   string
}

// Plan is what a client gets, and why.
type Plan struct {
	Query    Query
	Protocol pb.Protocol
	// Tiers hold the endpoints that get requests; none when there is no healthy one.
	Tiers []Tier
	// Draining get no new requests; they are kept so that proxies let those in flight end. Ordered by instance.
	Draining []Endpoint
	// Excluded are ordered by instance.
	Excluded []Excluded
	// Rule says what decided, for people.
	Rule string
	// Revision is that of the service's last change.
	Revision uint64
}

// For makes the plan of a service for a client; false: there is no such service, or it has no such port.
//
// It visits every instance of the service. A plan depends on the ServiceView and its arguments alone, so while
// View.Service gives the same pointer, the plan is the same too.
func For(v *registry.View, c Client, q Query) (Plan, bool) {
	s, ok := v.Service(q.Service)
	if !ok {
		return Plan{}, false
	}
	protocol, ok := s.Protocol(q.Port)
	if !ok {
		return Plan{}, false
	}
	p := Plan{Query: q, Protocol: protocol, Revision: s.Revision}
	serving := p.sort(s, v.Region())
	if len(serving) > 0 {
		p.Tiers = []Tier{{Localities: localities(serving, c)}}
	}
	p.Rule = p.rule(v.Region(), len(serving))
	return p, true
}

// sort puts every instance where it belongs and gives those that serve, ordered by instance.
func (p *Plan) sort(s *registry.ServiceView, region string) []Endpoint {
	serving := make([]Endpoint, 0, s.Counts.Passing+s.Counts.Warning)
	draining := make([]Endpoint, 0, s.Counts.Draining)
	for _, i := range s.Instances {
		e, reason := endpoint(s, i, p.Query, region)
		switch {
		case reason != "":
			p.exclude(e, reason)
		case e.Draining:
			draining = append(draining, e)
		default:
			serving = append(serving, e)
		}
	}
	owner := make(map[netip.AddrPort]string, len(serving))
	serving = p.distinct(serving, owner)
	// An address that serves under one name and drains under another serves.
	p.Draining = p.distinct(draining, owner)
	slices.SortFunc(p.Excluded, func(a, b Excluded) int { return cmp.Compare(a.Endpoint.Instance, b.Endpoint.Instance) })
	return serving
}

// distinct keeps the first instance of each address.
func (p *Plan) distinct(in []Endpoint, owner map[netip.AddrPort]string) []Endpoint {
	out := in[:0]
	for _, e := range in {
		if first, twice := owner[e.Addr]; twice {
			p.exclude(e, fmt.Sprintf("instance %q has the same address", first))
			continue
		}
		owner[e.Addr] = e.Instance
		out = append(out, e)
	}
	return out
}

func (p *Plan) exclude(e Endpoint, reason string) {
	p.Excluded = append(p.Excluded, Excluded{Endpoint: e, Reason: reason})
}

// endpoint gives the address of an instance, and the reason if it gets no traffic whatever the others do.
func endpoint(s *registry.ServiceView, i *registry.InstanceView, q Query, region string) (Endpoint, string) {
	number, hasPort := s.Port(i, q.Port)
	e := Endpoint{
		Instance: i.Key.ID, Addr: netip.AddrPortFrom(i.Addr, number), Weight: max(i.Instance.GetWeight(), 1),
		Health: i.Health, Draining: i.Instance.GetDraining(), Region: region, Zone: i.Instance.GetZone(),
	}
	switch {
	case q.Tag != "" && !i.HasTag(q.Tag):
		return e, fmt.Sprintf("it does not have the tag %q", q.Tag)
	case !hasPort:
		return e, fmt.Sprintf("it has no port %q", q.Port)
	case i.Health != pb.Health_HEALTH_PASSING && i.Health != pb.Health_HEALTH_WARNING:
		return e, critical(i)
	default:
		return e, ""
	}
}

// critical says which check is.
func critical(i *registry.InstanceView) string {
	for n, c := range i.Checks {
		switch status := i.Status[n]; {
		case status == nil:
			return fmt.Sprintf("check %q: not checked yet", c.GetId())
		case status.GetHealth() == pb.Health_HEALTH_PASSING, status.GetHealth() == pb.Health_HEALTH_WARNING:
		case status.GetOutput() == "":
			return fmt.Sprintf("check %q is critical", c.GetId())
		default:
			return fmt.Sprintf("check %q is critical: %s", c.GetId(), status.GetOutput())
		}
	}
	return "it is critical"
}

// localities groups endpoints by zone: the client's own first, the others by name.
func localities(serving []Endpoint, c Client) []Locality {
	slices.SortStableFunc(serving, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(away(a, c), away(b, c)), cmp.Compare(a.Zone, b.Zone))
	})
	var out []Locality
	for _, e := range serving {
		if n := len(out); n == 0 || out[n-1].Zone != e.Zone {
			out = append(out, Locality{Region: e.Region, Zone: e.Zone})
		}
		l := &out[len(out)-1]
		l.Endpoints = append(l.Endpoints, e)
		l.Weight += e.Weight
	}
	return out
}

// away is 0 for an endpoint in the client's own zone, else 1.
func away(e Endpoint, c Client) int {
	if c.Zone != "" && e.Zone == c.Zone && (c.Region == "" || c.Region == e.Region) {
		return 0
	}
	return 1
}

// rule says what decided.
func (p *Plan) rule(region string, serving int) string {
	switch total := serving + len(p.Draining) + len(p.Excluded); {
	case total == 0:
		return fmt.Sprintf("local: the service has no instance in region %q", region)
	case serving == 0:
		return fmt.Sprintf("local: none of %d instances in region %q is healthy and stays", total, region)
	default:
		return fmt.Sprintf("local: %d of %d instances in region %q", serving, total, region)
	}
}
