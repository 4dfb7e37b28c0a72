package server

import (
	"context"
	"io"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/region"
	"supercluster/region/backup"
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
	Backup(ctx context.Context, w io.Writer, version string, at time.Time) (backup.Trailer, error)
	StateHash(ctx context.Context) (region.Hashes, error)
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
	// Ages is asked before a read. What it gives says how long ago, at most, this node knew that the copy of a region which the
	// read shows was not behind; false: nobody knows.
	Ages() func(region [16]byte) (time.Duration, bool)
	// Standing tells how far what is here of the other regions goes that a watch shows records of, and at which positions of
	// this node it was so.
	Standing(w federation.Watched) ([]federation.Standing, record.Positions, error)
}

// Federation is this node's part of the exchange with other regions, as package federation gives it. The links to other
// regions are on the node that leads.
type Federation interface {
	Status(ctx context.Context) (*pb.GetFederationResponse, error)
	Peers() ([]*pb.Peer, error)
	Links() *pb.ListLinksResponse
	ChannelList() ([]*pb.ChannelStatus, error)
	Verify(ctx context.Context, timeout time.Duration) (*pb.VerifyResponse, error)
	Quarantine(limit int) (*pb.ListQuarantineResponse, error)

	SetChannel(ctx context.Context, c *pb.Channel, w record.Writer) (*pb.Channel, error)
	Import(ctx context.Context, region string, terms []*pb.Term, w record.Writer) error
	Invite(ctx context.Context, lifetime time.Duration, w record.Writer) (*pb.Invitation, error)
	Accept(ctx context.Context, inv *pb.Invitation, w record.Writer) (*pb.Peer, error)
	RemovePeer(ctx context.Context, name string, w record.Writer) error
	Rename(ctx context.Context, name string, w record.Writer) (*pb.Region, error)
	Unfence(ctx context.Context, w record.Writer) (incarnation uint64, err error)
	// SetCost says what it costs to reach a region; nil: the round trip as measured.
	SetCost(ctx context.Context, name string, cost *time.Duration, w record.Writer) ([]*pb.RegionCost, error)

	// RegionID finds a region by name, former name or id; this one too.
	RegionID(name string) ([16]byte, error)
	// AwaitRegion waits until this node knows a region, or does not any more; it fails only with ctx.
	AwaitRegion(ctx context.Context, region [16]byte, known bool) error
	// Tenants asks a peer for its tenants; it needs the link to it.
	Tenants(ctx context.Context, region [16]byte) (*pb.ListTenantsResponse, error)
	LinkTenant(ctx context.Context, region, remote [16]byte, tenant uint32, w record.Writer) error
	// Linked gives the tenant of a region that is shown under one of this region.
	Linked(region [16]byte, tenant uint32) (remote [16]byte, found bool, err error)
	Place(ctx context.Context, t federation.Tenant, namespace uint32, p *pb.Placement, removed bool, w record.Writer) (*pb.Placement, error)
	Placements(tenantOf func(id uint32) string) ([]*pb.Placement, error)
}

// MethodAsk is the method of the node channel by which a node hands a question about other regions to the node that
// leads and so holds the links. The composition root gives Server.HandleAsk to Region.Handle under it.
const MethodAsk uint8 = 7

// MethodProxies is the method of the node channel that lists a node's proxies. The composition root gives
// Server.HandleProxies to Region.Handle under it.
const MethodProxies uint8 = 3
