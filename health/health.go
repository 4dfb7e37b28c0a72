package health

import (
	"context"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/region/record"
	"supercluster/registry"
)

// HeartbeatMethod is the method of the node channel that HandleHeartbeat serves.
const HeartbeatMethod uint8 = 2

// Views is the registry view and its changes, as package registry/live gives them.
type Views interface {
	View() *registry.View
	Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error
}

// Config is what a Runner needs. Views, Propose and Node must be set.
type Config struct {
	Views Views
	// Propose writes one operation, as Region.Propose does.
	Propose func(ctx context.Context, op record.Op) (record.Result, error)
	// Node is the name of this node.
	Node string
	// Alive lists the live nodes of the region, this one included; nil: this one alone.
	Alive func() []string
	// Call asks another node over the node channel; nil when there is no other node.
	Call func(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error)
	// AllowLinkLocal lets checks connect to link-local and metadata addresses.
	AllowLinkLocal bool
	// MaxProbes bounds the probes in flight; default 1,024.
	MaxProbes int
	// Damping holds back recoveries of checks that flap; default off.
	Damping check.Damping
	Log     *slog.Logger
	Meter   metric.Meter
}

// Runner runs the checks that belong to this node.
type Runner struct {
	cfg Config
}

// New makes a Runner; it starts nothing.
func New(cfg Config) *Runner { return &Runner{cfg: cfg} }

// Run probes and writes until ctx ends.
func (r *Runner) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Heartbeat takes heartbeats from clients; it answers the indexes of targets that are not registered.
func (r *Runner) Heartbeat(ctx context.Context, targets []*pb.HeartbeatTarget) (unknown []uint32, err error) {
	return nil, nil
}

// HandleHeartbeat serves HeartbeatMethod: heartbeats that other nodes took for checks of this node.
func (r *Runner) HandleHeartbeat(ctx context.Context, from string, payload []byte) ([]byte, error) {
	return nil, nil
}

var _ = time.Second
