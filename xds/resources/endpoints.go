package resources

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"supercluster/federation/plan"
	"supercluster/xds/ir"
)

// EnvoyEndpoints writes the endpoints of a cluster for Envoy: those that drain or fail are named as such, so that
// Envoy ends what they hold in its own time.
func EnvoyEndpoints(e *ir.Endpoints) (*Resource, error) {
	a := newAssignment(e.Name)
	a.tiers(e.Tiers, a.locality)
	for _, i := range idleOf(e) {
		a.add(i.Endpoint, i.health)
	}
	m := a.message()
	if factor := a.overprovisioning(); factor > 0 {
		m.Policy = &endpointv3.ClusterLoadAssignment_Policy{OverprovisioningFactor: wrapperspb.UInt32(factor)}
	}
	return encode(Endpoint, e.Name, m)
}

// overprovisioning is the factor with which one healthy endpoint of a priority is enough for it to keep all requests:
// which tier gets them is for the plan to say. With Envoy's own 140 % a tier would share them with the next one as soon
// as three in ten of its endpoints fail. Envoy multiplies it with a number of endpoints, in 32 bits. 0: nobody is there.
func (a *assignment) overprovisioning() uint32 {
	most := uint64(0)
	at := map[uint32]uint64{}
	for _, group := range a.localities {
		at[group.Priority] += uint64(len(group.LbEndpoints))
		most = max(most, at[group.Priority])
	}
	if most == 0 {
		return 0
	}
	return uint32(min(100*most, math.MaxUint32/most))
}

// idle is an endpoint that gets no new requests.
type idle struct {
	plan.Endpoint
	health corev3.HealthStatus
}

// idleOf lists what drains and what fails, by region where there are several: the nearest comes first, so that it is
// used before the others should Envoy have to use any of them.
func idleOf(e *ir.Endpoints) []idle {
	all := make([]idle, 0, len(e.Draining)+len(e.Unhealthy))
	for _, ep := range e.Draining {
		all = append(all, idle{ep, corev3.HealthStatus_DRAINING})
	}
	for _, ep := range e.Unhealthy {
		all = append(all, idle{ep, corev3.HealthStatus_UNHEALTHY})
	}
	if len(e.Regions) > 1 {
		at := make(map[string]int, len(e.Regions))
		for n, region := range e.Regions {
			at[region] = n
		}
		slices.SortStableFunc(all, func(a, b idle) int { return cmp.Compare(at[a.Region], at[b.Region]) })
	}
	return all
}

// GRPCEndpoints writes the endpoints of a cluster for gRPC clients, which know no others than usable ones. Within a
// locality they spread evenly whatever the weights of endpoints; between localities they go by weight. So there is a
// locality for each weight of a zone.
func GRPCEndpoints(e *ir.Endpoints) (*Resource, error) {
	a := newAssignment(e.Name)
	a.tiers(e.Tiers, a.byWeight)
	return encode(Endpoint, e.Name, a.message())
}

// plainWeight is that of instances which name none. Its locality has the plain name, so that it stays the same one
// when another instance gets a weight of its own.
const plainWeight = 100

// byWeight takes in a locality as one for each weight, the heaviest first.
func (a *assignment) byWeight(l plan.Locality, priority uint32) {
	endpoints := slices.Clone(l.Endpoints)
	slices.SortStableFunc(endpoints, func(a, b plan.Endpoint) int { return cmp.Compare(b.Weight, a.Weight) })
	for len(endpoints) > 0 {
		weight, n := max(endpoints[0].Weight, 1), 1
		for n < len(endpoints) && max(endpoints[n].Weight, 1) == weight {
			n++
		}
		part, before := l, len(a.localities)
		part.Endpoints = endpoints[:n]
		a.locality(part, priority)
		if len(a.localities) > before && weight != plainWeight {
			a.localities[before].Locality.SubZone = "weight-" + strconv.FormatUint(uint64(weight), 10)
		}
		endpoints = endpoints[n:]
	}
}

// NoEndpoints writes the explicit empty assignment of a cluster that does not exist.
func NoEndpoints(name string) (*Resource, error) {
	return encode(Endpoint, name, &endpointv3.ClusterLoadAssignment{ClusterName: name})
}

// maxPriority is the last priority that Envoy takes; farther tiers share it.
const maxPriority = 127

// assignment gathers the endpoints of a cluster by priority and locality.
type assignment struct {
	name       string
	localities []*endpointv3.LocalityLbEndpoints
	seen       map[netip.AddrPort]bool
}

func newAssignment(name string) *assignment {
	return &assignment{name: name, seen: map[netip.AddrPort]bool{}}
}

// tiers takes in the tiers of a plan. Empty localities and tiers are left out, so that priorities stay contiguous.
func (a *assignment) tiers(tiers []plan.Tier, add func(l plan.Locality, priority uint32)) {
	priority := uint32(0)
	for _, tier := range tiers {
		before := len(a.localities)
		for _, l := range tier.Localities {
			add(l, priority)
		}
		if len(a.localities) > before {
			priority = min(priority+1, maxPriority)
		}
	}
}

// locality takes in the endpoints of a locality whose addresses nobody has yet.
func (a *assignment) locality(l plan.Locality, priority uint32) {
	endpoints := make([]plan.Endpoint, 0, len(l.Endpoints))
	total := uint64(0)
	for _, ep := range l.Endpoints {
		if !a.seen[ep.Addr] {
			a.seen[ep.Addr] = true
			endpoints = append(endpoints, ep)
			total += uint64(max(ep.Weight, 1))
		}
	}
	if len(endpoints) == 0 {
		return
	}
	group := a.group(l.Region, l.Zone, priority)
	group.LoadBalancingWeight = wrapperspb.UInt32(uint32(min(total, math.MaxUint32)))
	group.LbEndpoints = make([]*endpointv3.LbEndpoint, len(endpoints))
	messages := make([]endpointMessage, len(endpoints))
	for n, ep := range endpoints {
		group.LbEndpoints[n] = messages[n].of(ep, corev3.HealthStatus_HEALTHY)
	}
}

// group starts the endpoints of a locality.
func (a *assignment) group(region, zone string, priority uint32) *endpointv3.LocalityLbEndpoints {
	group := &endpointv3.LocalityLbEndpoints{
		Locality:            &corev3.Locality{Region: region, Zone: zone},
		Priority:            priority,
		LoadBalancingWeight: wrapperspb.UInt32(1),
	}
	a.localities = append(a.localities, group)
	return group
}

// add puts an endpoint that gets no requests beside the others of its locality.
func (a *assignment) add(ep plan.Endpoint, health corev3.HealthStatus) {
	for _, group := range a.localities {
		if group.Locality.Region == ep.Region && group.Locality.Zone == ep.Zone {
			a.put(group, ep, health)
			return
		}
	}
	if a.seen[ep.Addr] {
		return
	}
	a.put(a.group(ep.Region, ep.Zone, a.priorityOf(ep.Region)), ep, health)
}

// priorityOf is where a region stands. One that no tier has comes after all others: beside healthy endpoints its
// failing ones would count against those, and Envoy would move their traffic on.
func (a *assignment) priorityOf(region string) uint32 {
	next := uint32(0)
	for _, group := range a.localities {
		if group.Locality.Region == region {
			return group.Priority
		}
		next = max(next, group.Priority+1)
	}
	return min(next, maxPriority)
}

// put adds an endpoint unless its address is there already: no client accepts one twice.
func (a *assignment) put(group *endpointv3.LocalityLbEndpoints, ep plan.Endpoint, health corev3.HealthStatus) {
	if !a.seen[ep.Addr] {
		a.seen[ep.Addr] = true
		group.LbEndpoints = append(group.LbEndpoints, new(endpointMessage).of(ep, health))
	}
}

// endpointMessage is all the messages that one endpoint is made of, in one piece: there may be hundreds of thousands.
type endpointMessage struct {
	lb       endpointv3.LbEndpoint
	host     endpointv3.LbEndpoint_Endpoint
	endpoint endpointv3.Endpoint
	address  corev3.Address
	socket   corev3.Address_SocketAddress
	at       corev3.SocketAddress
	port     corev3.SocketAddress_PortValue
	weight   wrapperspb.UInt32Value
}

func (m *endpointMessage) of(ep plan.Endpoint, health corev3.HealthStatus) *endpointv3.LbEndpoint {
	m.port.PortValue = uint32(ep.Addr.Port())
	m.at.Address, m.at.PortSpecifier = ep.Addr.Addr().String(), &m.port
	m.socket.SocketAddress = &m.at
	m.address.Address = &m.socket
	m.endpoint.Address = &m.address
	m.host.Endpoint = &m.endpoint
	m.weight.Value = max(ep.Weight, 1)
	m.lb.HostIdentifier, m.lb.HealthStatus, m.lb.LoadBalancingWeight = &m.host, health, &m.weight
	return &m.lb
}

func (a *assignment) message() *endpointv3.ClusterLoadAssignment {
	return &endpointv3.ClusterLoadAssignment{ClusterName: a.name, Endpoints: a.localities}
}

func socketAddress(addr netip.AddrPort) *corev3.Address {
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       addr.Addr().String(),
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(addr.Port())},
	}}}
}
