package resources

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"supercluster/federation/plan"
	"supercluster/xds/ir"
)

// EnvoyEndpoints writes the endpoints of a cluster for Envoy: those that drain or fail are named as such, so that
// Envoy ends what they hold in its own time.
func EnvoyEndpoints(e *ir.Endpoints) (*Resource, error) {
	a := assignmentOf(e)
	for _, i := range idleOf(e) {
		a.add(i.Endpoint, i.health)
	}
	return encode(Endpoint, e.Name, a.message())
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

// GRPCEndpoints writes the endpoints of a cluster for gRPC clients, which know no others than usable ones.
func GRPCEndpoints(e *ir.Endpoints) (*Resource, error) {
	return encode(Endpoint, e.Name, assignmentOf(e).message())
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

// assignmentOf takes in the tiers of a plan. Empty localities and tiers are left out, so that priorities stay
// contiguous.
func assignmentOf(e *ir.Endpoints) *assignment {
	a := &assignment{name: e.Name, seen: map[netip.AddrPort]bool{}}
	priority := uint32(0)
	for _, tier := range e.Tiers {
		before := len(a.localities)
		for _, l := range tier.Localities {
			a.locality(l, priority)
		}
		if len(a.localities) > before {
			priority = min(priority+1, maxPriority)
		}
	}
	return a
}

func (a *assignment) locality(l plan.Locality, priority uint32) {
	if len(l.Endpoints) == 0 {
		return
	}
	group := a.group(l.Region, l.Zone, priority)
	total := uint64(0)
	for _, ep := range l.Endpoints {
		if a.put(group, ep, corev3.HealthStatus_HEALTHY) {
			total += uint64(max(ep.Weight, 1))
		}
	}
	group.LoadBalancingWeight = wrapperspb.UInt32(uint32(min(max(total, 1), math.MaxUint32)))
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
func (a *assignment) put(group *endpointv3.LocalityLbEndpoints, ep plan.Endpoint, health corev3.HealthStatus) bool {
	if a.seen[ep.Addr] {
		return false
	}
	a.seen[ep.Addr] = true
	group.LbEndpoints = append(group.LbEndpoints, &endpointv3.LbEndpoint{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: socketAddress(ep.Addr),
		}},
		HealthStatus:        health,
		LoadBalancingWeight: wrapperspb.UInt32(max(ep.Weight, 1)),
	})
	return true
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
