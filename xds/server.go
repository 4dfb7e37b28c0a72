package xds

import (
	"context"
	"log/slog"
	"sync"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/registry/access"
)

// Server serves aggregated discovery streams.
type Server struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer

	cfg       Config
	limits    Limits
	log       *slog.Logger
	world     *world
	publisher *publisher
	stats     *stats
	newcomers *rate.Limiter
	control   [2][]byte // the field control_plane, by whether the protocol is delta

	mu      sync.Mutex
	streams map[*stream]struct{}
	closed  bool
	running sync.WaitGroup // streams and their readers
}

// New makes a Server; it starts nothing.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Authorize == nil {
		cfg.Authorize = access.PrincipalFrom
	}
	s := &Server{
		cfg: cfg, limits: cfg.Limits.withDefaults(), log: cfg.Log, world: &world{}, streams: map[*stream]struct{}{},
	}
	s.stats = newStats(cfg.Meter, s)
	s.publisher = newPublisher(s.world, cfg.Region, cfg.Log, s.stats)
	s.newcomers = rate.NewLimiter(rate.Limit(s.limits.NewStreams), max(1, int(s.limits.NewStreams)))
	identifier := cfg.Region + "/" + cfg.Node
	s.control = [2][]byte{controlField(false, identifier), controlField(true, identifier)}
	return s
}

// Run publishes changes until ctx ends, then ends every stream and waits for them.
func (s *Server) Run(ctx context.Context) error {
	defer s.running.Wait()
	defer s.endAll(errStopping())
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() { s.watchdog(ctx) })
	if s.cfg.Reaches != nil {
		s.publisher.applyReach(s.cfg.Reaches.Reach())
		beside.Go(func() { s.followReach(ctx) })
		beside.Go(func() { s.publisher.releaseLate(ctx) })
	}
	return s.cfg.Views.Follow(ctx, func(v *registry.View, c registry.Changes) error {
		s.publisher.apply(v, c)
		return nil
	})
}

// Register adds the discovery service to a gRPC server, which must be made with ServerOptions.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(r, s)
}

// StreamAggregatedResources serves the state-of-the-world protocol.
func (s *Server) StreamAggregatedResources(g discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(g, false)
}

// DeltaAggregatedResources serves the delta protocol.
func (s *Server) DeltaAggregatedResources(g discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(g, true)
}

func (s *Server) synced() bool { return s.cfg.Synced == nil || s.cfg.Synced() }

func errStopping() error {
	return fault.New(fault.Unavailable, "this server is stopping").WithHint("connect to another")
}

// followReach publishes what changes with how this region reaches the others.
func (s *Server) followReach(ctx context.Context) {
	for {
		changed := s.cfg.Reaches.ReachChanged()
		s.publisher.applyReach(s.cfg.Reaches.Reach()) // after the channel, so that no change falls between
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// watchdog ends streams whose client does not take or acknowledge what it was sent.
func (s *Server) watchdog(ctx context.Context) {
	period := max(min(s.limits.Send, s.limits.Acknowledge)/4, 10*time.Millisecond)
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, st := range s.snapshot() {
				st.check(now)
			}
		}
	}
}

// snapshot lists the streams that have said who they are.
func (s *Server) snapshot() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		if st.session.Load() != nil {
			all = append(all, st)
		}
	}
	return all
}

func (s *Server) endAll(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for st := range s.streams {
		st.end(err)
	}
}

// add takes in a stream, within the limit.
func (s *Server) add(st *stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errStopping()
	case len(s.streams) >= s.limits.Streams:
		return fault.New(fault.Exhausted, "this server has %d streams, its limit", s.limits.Streams).WithHint("connect to another")
	}
	s.streams[st] = struct{}{}
	s.running.Add(1)
	return nil
}

func (s *Server) remove(st *stream) {
	s.mu.Lock()
	delete(s.streams, st)
	s.mu.Unlock()
	s.running.Done()
}

const (
	keepaliveTime    = 30 * time.Second
	keepaliveMinimum = 5 * time.Second
	// gRPC gives this to the kernel too, as the longest time in which a client's end takes nothing. A client that is slow, not
	// dead, has as long as the stream gives it.
	keepaliveTimeout = sendLimit
	readBuffer       = 8 << 10
	writeBuffer      = 16 << 10

	// Fixed windows: to measure them, gRPC would answer every acknowledgement of a client with a ping.
	streamWindow = 256 << 10
	connWindow   = 1 << 20
)

// ServerOptions are what a gRPC server needs to carry these streams well: a codec that sends pre-encoded bytes
// (and leaves every other message to the protobuf codec), keepalive that finds dead clients, and small buffers,
// since ten thousand connections each have theirs.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveMinimum, PermitWithoutStream: true}),
		grpc.ReadBufferSize(readBuffer),
		grpc.WriteBufferSize(writeBuffer),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
	}
}
