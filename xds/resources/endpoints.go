package resources

import (
	"math"
	"net/netip"

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
	for _, ep := range e.Draining {
		a.add(ep, corev3.HealthStatus_DRAINING)
	}
	for _, ep := range e.Unhealthy {
		a.add(ep, corev3.HealthStatus_UNHEALTHY)
	}
	return encode(Endpoint, e.Name, a.message())
}

// GRPCEndpoints writes the endpoints of a cluster for gRPC clients, which know no others than usable ones.
func GRPCEndpoints(e *ir.Endpoints) (*Resource, error) {
	return encode(Endpoint, e.Name, assignmentOf(e).message())
}

// NoEndpoints writes the explicit empty assignment of a cluster that does not exist.
func NoEndpoints(name string) (*Resource, error) {
	return encode(Endpoint, name, &endpointv3.ClusterLoadAssignment{ClusterName: name})
}

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
			priority++
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

// priorityOf is where a region stands; one that no tier has is used first, since nothing else is known of it.
func (a *assignment) priorityOf(region string) uint32 {
	for _, group := range a.localities {
		if group.Locality.Region == region {
			return group.Priority
		}
	}
	return 0
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
