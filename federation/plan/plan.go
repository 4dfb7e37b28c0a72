package plan

import (
	"net/netip"

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

// Endpoint is one address of an instance.
type Endpoint struct {
	Instance string
	Addr     netip.AddrPort
	Weight   uint32
	Health   pb.Health
	Draining bool
	Region   string
	Zone     string
}

// Locality is the endpoints of one zone.
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
	Tiers    []Tier
	// Draining get no new requests; they are kept so that proxies let those in flight end.
	Draining []Endpoint
	Excluded []Excluded
	Rule     string
	Revision uint64
}

// For makes the plan of a service for a client; false: there is no such service, or it has no such port.
func For(v *registry.View, c Client, q Query) (Plan, bool) { return Plan{}, false }
