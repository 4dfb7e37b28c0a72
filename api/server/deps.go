package server

import (
	"context"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region"
	"supercluster/region/record"
	"supercluster/registry"
)

// Region is the replicated store, as package region gives it.
type Region interface {
	Propose(ctx context.Context, op record.Op) (record.Result, error)
	Linearize(ctx context.Context) (record.Positions, error)
	Get(ctx context.Context, k record.Key, revision uint64, level record.Level) (record.Record, bool, record.Freshness, error)
	Range(ctx context.Context, rng record.Range, revision uint64, level record.Level) (record.RangeResult, record.Freshness, error)
	History(ctx context.Context, k record.Key, limit int) ([]record.Record, record.Freshness, error)
	Follow(ctx context.Context, from record.Positions, idle time.Duration,
		fn func(commits []record.Commit, at record.Positions) error) error
	Freshness() record.Freshness
	Status() region.Status
	Nodes() []region.NodeStatus
	Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error)
	Alive() []string
}

// Views is the registry's view, as package registry/live gives it.
type Views interface {
	View() *registry.View
	Wait(ctx context.Context, at record.Positions) error
	Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error
}

// Proxies is the list of connected xDS clients, as package xds gives it.
type Proxies interface {
	Proxies() []*pb.Proxy
}

// Heartbeats takes heartbeats of TTL checks, as package health gives it.
type Heartbeats interface {
	Heartbeat(ctx context.Context, targets []*pb.HeartbeatTarget) (unknown []uint32, err error)
}

// Sources tells how old this region's copies of other regions are, as package federation gives it.
type Sources interface {
	// Age is how long ago this node last knew that its copy of a region was not behind; false: nobody knows.
	Age(region [16]byte) (time.Duration, bool)
}

// MethodProxies is the method of the node channel that lists a node's proxies. The composition root gives
// Server.HandleProxies to Region.Handle under it.
const MethodProxies uint8 = 3
