package ir

import (
	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/registry"
)

// Cluster is a port of a service that requests can be sent to. It is comparable.
type Cluster struct {
	Name     string
	Service  registry.ServiceKey
	Port     string // "" is the default port
	Protocol pb.Protocol
}

// Endpoints is what a cluster's requests can reach, by the plan.
type Endpoints struct {
	Name  string
	Tiers []plan.Tier
	// Draining get no new requests. Unhealthy get none at all; clients see them to end what they hold.
	Draining  []plan.Endpoint
	Unhealthy []plan.Endpoint
	// Regions are those of all endpoints, the nearest first; none when there is only one.
	Regions []string
}

// Role is what a client is there for; it decides which services it hears of unasked.
type Role string

// The roles.
const (
	RoleEdge    Role = "edge"    // an Envoy at the border: the routes of its namespace
	RoleSidecar Role = "sidecar" // an Envoy beside a program: the routes and every service of its namespace
	RoleGRPC    Role = "grpc"    // a gRPC client: what it asks for
)

// Table is a route table: hosts in order of their names, no host twice.
type Table struct {
	Hosts []Host
	// Clusters are the names of the clusters that routes lead to, sorted, each once.
	Clusters []string
}

// Host is the routes of one host: an exact name, `*` for all, or `*.example.org`.
type Host struct {
	Name string
	// Routes are tried in order: longest prefix first.
	Routes []Route
}

// Route sends a path prefix somewhere.
type Route struct {
	Name   string // of the registry's route; empty for the route that a service itself implies
	Prefix string
	// Cluster is where requests go; empty when the service, or its port, does not exist.
	Cluster string
	// Target is what the route names, for people, also when it does not exist.
	Target   string
	Protocol pb.Protocol
}
