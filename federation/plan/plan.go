package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/registry"
)

// Client is where a client is.
type Client struct{ Region, Zone string }

// Query is what it asks for.
type Query struct {
	Service registry.ServiceKey
	Port    string // a named port; empty is the default port
	Tag     string // only instances with this tag
	// Region asks for the endpoints of one region alone: its name, id or an alias. AllRegions asks for those of all.
	// With neither, the plan is to fail over.
	Region     string
	AllRegions bool
}

// Endpoint is one address of an instance. Its port is 0 where the instance has no such port: such an endpoint
// is always excluded.
type Endpoint struct {
	Instance string
	// Scope is the alias of its region in this store; with Instance it names the instance.
	Scope uint32
	// Revision is that of its region at which the instance or its health last changed.
	Revision uint64
	// Incarnation is the one of that region which Revision is of; 0 where that is not known.
	Incarnation uint64
	Addr        netip.AddrPort
	Weight      uint32
	Health      pb.Health
	Draining    bool
	Region      string
	Zone        string
}

// Locality is the endpoints of one zone, ordered by instance.
type Locality struct {
	Region, Zone string
	Weight       uint32 // the sum of the endpoints' weights
	Endpoints    []Endpoint
}

// Tier is the localities that are used together; 0 is used first. Priorities are contiguous.
type Tier struct {
	Priority   uint32
	Localities []Locality
	// LastKnown: no endpoint of the service is healthy, and these are those that were last known.
	LastKnown bool
}

// Region is a region of a plan, and what decided where it stands.
type Region struct {
	Reach RegionReach // of this region only the name is set
	Alias uint32
	// Instances are how many the service has there, Serving how many of them are in the tiers.
	Instances, Serving int
}

// Excluded is an instance that gets no traffic.
type Excluded struct {
	Endpoint Endpoint
	Reason   string
	// failing: its checks are all that speaks against it, and each of them has said something.
	failing bool
}

// Plan is what a client gets, and why.
type Plan struct {
	Query    Query
	Protocol pb.Protocol
	// Tiers hold the endpoints that get requests; none when there is no healthy one.
	Tiers []Tier
	// Draining get no new requests; they are kept so that proxies let those in flight end. Nearest region first, then
	// by instance.
	Draining []Endpoint
	// Excluded are in the same order.
	Excluded []Excluded
	// Regions are this region and the others that have an instance, the nearest first.
	Regions []Region
	// Island: this region reaches no other, and demotes none for it.
	Island bool
	// Rule says what decided, for people.
	Rule string
	// Revision is that of the service's last change.
	Revision uint64
}

// LastKnown reports whether the tiers are of endpoints that are not healthy, because none is.
func (p *Plan) LastKnown() bool { return len(p.Tiers) > 0 && p.Tiers[0].LastKnown }

// For makes the plan of a service for a client; false: there is no such service, or it has no such port, or the view
// knows no such region. A nil Reach knows nothing: all regions are up, and they stand by name.
//
// It visits every instance of the service. A plan depends on the ServiceView, its arguments, and with Query.Region on
// what View.RegionNamed gives: while these pointers are the same, the plan is the same too. Which regions a view knows by
// which id never changes.
func For(v *registry.View, reach *Reach, c Client, q Query) (Plan, bool) {
	s, ok := v.Service(q.Service)
	if !ok {
		return Plan{}, false
	}
	protocol, ok := s.Protocol(q.Port)
	if !ok {
		return Plan{}, false
	}
	b := builder{Plan: Plan{Query: q, Protocol: protocol, Revision: s.Revision, Island: island(reach)}, service: s, client: c}
	if b.client.Region == "" {
		b.client.Region = v.Region()
	}
	if q.Region != "" {
		if b.only, ok = v.RegionNamed(q.Region); !ok {
			return Plan{}, false
		}
	}
	b.shares = regions(v, s, reach)
	for n := range b.shares {
		b.region(&b.shares[n], n == len(b.shares)-1)
	}
	b.Rule = b.rule()
	if len(b.Tiers) == 0 {
		b.nobody()
	}
	b.Regions = make([]Region, len(b.shares))
	for n, r := range b.shares {
		b.Regions[n] = Region{Reach: r.reach, Alias: r.scope, Instances: len(r.instances), Serving: r.serving}
	}
	return b.Plan, true
}

// builder makes one plan.
type builder struct {
	Plan
	service *registry.ServiceView
	client  Client
	only    *registry.RegionView // the one region asked for; nil: all
	shares  []share
	// owners are the instances that have an address: the nearest region that knows one has it.
	owners map[netip.AddrPort]owner
}

type owner struct {
	region, instance string
	scope            uint32
}

// share is the instances of one region.
type share struct {
	scope     uint32
	region    string
	reach     RegionReach
	instances []*registry.InstanceView
	serving   int
}

// regions divides the instances of a service: those of this region, also when there are none, then the nearer first.
func regions(v *registry.View, s *registry.ServiceView, reach *Reach) []share {
	mine := s.Local()
	out := []share{{scope: record.ScopeRegion, region: v.Region(), reach: RegionReach{Region: v.Region()}, instances: mine}}
	for rest := s.Instances[len(mine):]; len(rest) > 0; {
		scope := rest[0].Key.Scope
		n := sort.Search(len(rest), func(n int) bool { return rest[n].Key.Scope > scope })
		p := PeerAt(v, scope, rest[0].Instance.GetRegion())
		x := share{scope: scope, region: p.Name, reach: reach.Of(p.ID), instances: rest[:n]}
		x.reach.ID, x.reach.Region = p.ID, p.Name
		out = append(out, x)
		rest = rest[n:]
	}
	slices.SortFunc(out[1:], func(a, b share) int { return reach.Compare(a.peer(), b.peer()) })
	return out
}

func (r *share) peer() Peer { return Peer{ID: r.reach.ID, Alias: r.scope, Name: r.region} }

// region puts every instance of a region where it belongs. What serves becomes the next tier.
func (b *builder) region(r *share, last bool) {
	counts := b.service.LocalCounts
	if r.scope != record.ScopeRegion {
		counts = registry.Counts{Passing: len(r.instances)}
	}
	serving := make([]Endpoint, 0, counts.Passing+counts.Warning)
	draining := make([]Endpoint, 0, counts.Draining)
	from := len(b.Excluded)
	for _, i := range r.instances {
		x := b.endpoint(i, r)
		switch {
		case x.Reason != "":
			b.Excluded = append(b.Excluded, x)
		case x.Endpoint.Draining:
			draining = append(draining, x.Endpoint)
		default:
			serving = append(serving, x.Endpoint)
		}
	}
	if b.owners == nil {
		b.owners = make(map[netip.AddrPort]owner, len(serving))
	}
	serving = b.distinct(serving)
	// An address that serves under one name and drains under another serves.
	b.Draining = append(b.Draining, b.distinct(draining)...)
	slices.SortFunc(b.Excluded[from:], func(a, b Excluded) int { return cmp.Compare(a.Endpoint.Instance, b.Endpoint.Instance) })
	if !last {
		for _, x := range b.Excluded[from:] {
			b.claim(&x.Endpoint, r)
		}
	}
	b.tier(r, serving, false)
}

// tier makes the next tier of a region's endpoints, if there are any.
func (b *builder) tier(r *share, serving []Endpoint, lastKnown bool) {
	if r.serving = len(serving); r.serving > 0 {
		b.Tiers = append(b.Tiers, Tier{
			Priority: uint32(len(b.Tiers)), Localities: localities(serving, b.client), LastKnown: lastKnown,
		})
	}
}

// claim keeps the address of an instance that gets no traffic from the farther regions: here that address is this
// instance, whatever another region calls by it.
func (b *builder) claim(e *Endpoint, r *share) {
	if b.only != nil || !e.Addr.IsValid() || e.Addr.Port() == 0 {
		return
	}
	if _, taken := b.owners[e.Addr]; !taken {
		b.owners[e.Addr] = owner{r.region, e.Instance, r.scope}
	}
}

// distinct keeps the first instance of each address.
func (b *builder) distinct(in []Endpoint) []Endpoint {
	out := in[:0]
	for _, e := range in {
		switch first, twice := b.owners[e.Addr]; {
		case !twice:
			b.owners[e.Addr] = owner{e.Region, e.Instance, e.Scope}
			out = append(out, e)
		case first.scope == e.Scope:
			b.exclude(e, fmt.Sprintf("instance %q has the same address", first.instance))
		default:
			b.exclude(e, fmt.Sprintf("instance %q of region %q, which is nearer, has the same address", first.instance, first.region))
		}
	}
	return out
}

// nobody decides what a service answers none of whose endpoints is healthy.
func (b *builder) nobody() {
	if !slices.ContainsFunc(b.Excluded, func(x Excluded) bool { return x.failing }) {
		return
	}
	if b.service.Definition.GetFailClosed() {
		b.Rule += "; it is fail-closed: nobody gets requests"
		return
	}
	b.Rule += "; those last known get the requests, since it is not fail-closed"
	b.lastKnown()
}

// lastKnown makes tiers of what is excluded for failing checks alone: an answer that may be wrong is better than none.
// What was never checked is not known to have ever served, so it stays out.
func (b *builder) lastKnown() {
	back := make([][]Endpoint, len(b.shares))
	at := make(map[uint32]int, len(b.shares))
	for n, r := range b.shares {
		at[r.scope] = n
	}
	b.Excluded = slices.DeleteFunc(b.Excluded, func(x Excluded) bool {
		if !x.failing || !b.owns(&x.Endpoint) {
			return false
		}
		n := at[x.Endpoint.Scope]
		back[n] = append(back[n], x.Endpoint)
		return true
	})
	for n := range b.shares {
		b.tier(&b.shares[n], back[n], true)
	}
}

// owns reports whether an endpoint has its address to itself, and takes it if nobody has.
func (b *builder) owns(e *Endpoint) bool {
	first, taken := b.owners[e.Addr]
	if !taken {
		b.owners[e.Addr] = owner{e.Region, e.Instance, e.Scope}
	}
	return !taken || first.scope == e.Scope && first.instance == e.Instance
}

func (b *builder) exclude(e Endpoint, reason string) {
	b.Excluded = append(b.Excluded, Excluded{Endpoint: e, Reason: reason})
}

// endpoint gives the address of an instance, and the reason if it gets no traffic whatever the others do.
func (b *builder) endpoint(i *registry.InstanceView, r *share) Excluded {
	q := &b.Query
	number, hasPort := b.service.Port(i, q.Port)
	x := Excluded{Endpoint: Endpoint{
		Instance: i.Key.ID, Scope: r.scope, Revision: i.SourceRevision, Incarnation: i.SourceIncarnation,
		Addr: netip.AddrPortFrom(i.Addr, number), Weight: max(i.Instance.GetWeight(), 1),
		Health: i.Health, Draining: i.Instance.GetDraining(), Region: r.region, Zone: i.Instance.GetZone(),
	}}
	switch {
	case b.only != nil && b.only.Alias != r.scope:
		x.Reason = fmt.Sprintf("it is in region %q, not in %q", r.region, b.only.Name)
	case q.Tag != "" && !i.HasTag(q.Tag):
		x.Reason = fmt.Sprintf("it does not have the tag %q", q.Tag)
	case !hasPort:
		x.Reason = fmt.Sprintf("it has no port %q", q.Port)
	case i.Health != pb.Health_HEALTH_PASSING && i.Health != pb.Health_HEALTH_WARNING:
		x.Reason = critical(i)
		x.failing = !x.Endpoint.Draining && !slices.Contains(i.Status, nil)
	}
	return x
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
	if c.Zone != "" && e.Zone == c.Zone && c.Region == e.Region {
		return 0
	}
	return 1
}
