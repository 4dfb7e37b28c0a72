package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"buf.build/go/protovalidate"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// Config is what a Server needs. Region, Views and Principal are required.
type Config struct {
	Region     Region
	Views      Views
	Proxies    Proxies    // nil: this node has none
	Heartbeats Heartbeats // nil: heartbeats are unsupported
	Sources    Sources    // nil: nothing is known of the age of other regions' copies
	// Reach gives how this region reaches the others, for lookups; nil: they stand by name.
	Reach      func() *plan.Reach
	Homes      Homes      // nil: every record is this region's own
	Federation Federation // nil: this region has no identity, and so no peers

	// Principal says who calls; see Identify and Dev. An error refuses the call.
	Principal func(ctx context.Context) (access.Principal, error)
	// ForwardedRole gives the role of a caller of another region, who has a role there; see ForwardedAs and ForwardedUpTo.
	// nil: calls of other regions are refused.
	ForwardedRole func(region, name string, claimed access.Role) access.Role
	// NotReady lists why this node does not serve yet; empty when it does. nil: always ready.
	NotReady func() []string

	// RegionName and Node name the place in answers. Version and Dev are shown by status.
	RegionName string
	Node       string
	Version    string
	Dev        bool

	// ServerOptions are further options of the gRPC server, for services registered from outside, and Codec is their
	// codec, which the server puts its own around; nil: protobuf.
	ServerOptions []grpc.ServerOption
	Codec         encoding.CodecV2
	// TLS is the listeners' TLS, nil for plain TCP.
	TLS *tls.Config
	// Hosts are further names under which HTTP may be called, beside loopback names and the address listened on.
	Hosts []string
	// Metrics serves /metrics; nil: not found.
	Metrics http.Handler
	// Limits are the quotas; zero fields have defaults.
	Limits Limits

	Log    *slog.Logger // nil: none
	Meter  metric.Meter // nil: none
	Tracer trace.Tracer // nil: none
}

// Limits bound what callers may ask for.
type Limits struct {
	// ReadRate, WriteRate and OpenRate are calls a second of one principal: reads, writes and opened streams.
	ReadRate  float64
	WriteRate float64
	OpenRate  float64
	// Watches is how many watches one principal may have open on this node.
	Watches int
	// SendTimeout is how long one message to a client may take before its stream is ended.
	SendTimeout time.Duration
	// BackupTimeout is how long a client may take for a whole backup: as long the state stays pinned.
	BackupTimeout time.Duration
	// RequestTimeout is how long an HTTP request may take to arrive, its body included.
	RequestTimeout time.Duration
	// ReadTimeout is the deadline of reads that wait and bring none. Writes that bring none have the region's.
	ReadTimeout time.Duration
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.ReadRate, 500_000)
	setDefault(&l.WriteRate, 200_000)
	setDefault(&l.OpenRate, 5_000)
	setDefault(&l.Watches, 4096)
	setDefault(&l.SendTimeout, 10*time.Second)
	setDefault(&l.BackupTimeout, time.Hour)
	setDefault(&l.RequestTimeout, 60*time.Second)
	setDefault(&l.ReadTimeout, 10*time.Second)
	return l
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Server is the API of a node.
type Server struct {
	cfg       Config
	log       *slog.Logger
	validator protovalidate.Validator
	quotas    *quotas
	watches   *watchCounts
	drains    *drains
	metrics   *callMetrics
	forwards  forwardMetrics
	backups   *backupMetrics

	services []service
	unaries  map[string]*unaryMethod // full method -> how to call it in this process
	rows     map[string]*row         // full method -> its row, for everything registered
	missing  []string                // registered methods without a row
	http     http.Handler
	started  time.Time
	whole    sync.Mutex // held while somebody reads all of the state
	// stopping is closed when Run begins to stop: streams end then.
	stopping chan struct{}
}

// New makes a server with the native services, health and reflection registered. It starts nothing.
func New(cfg Config) (*Server, error) {
	if cfg.Region == nil || cfg.Views == nil || cfg.Principal == nil {
		return nil, fault.New(fault.Internal, "server.New needs a region, views and a principal function")
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Meter == nil {
		cfg.Meter = noop.NewMeterProvider().Meter("")
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, quotas: newQuotas(cfg.Limits), watches: newWatchCounts(cfg.Limits.Watches),
		unaries: map[string]*unaryMethod{}, rows: map[string]*row{}, started: time.Now(), stopping: make(chan struct{}),
	}
	s.drains = newDrains(s)
	var err error
	if s.validator, err = newValidator(); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the rules of the API's messages do not compile")
	}
	if s.metrics, err = newCallMetrics(cfg.Meter); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the API's metrics cannot be made")
	}
	if s.forwards, err = newForwardMetrics(cfg.Meter); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the API's metrics cannot be made")
	}
	if s.backups, err = newBackupMetrics(cfg.Meter); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the API's metrics cannot be made")
	}
	s.registerServices()
	if s.http, err = s.newHTTP(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Server) registerServices() {
	pb.RegisterTenantServiceServer(s, tenantService{s: s})
	pb.RegisterRegistryServiceServer(s, registryService{s: s})
	pb.RegisterConfigServiceServer(s, configService{s: s})
	pb.RegisterWatchServiceServer(s, watchService{s: s})
	pb.RegisterClusterServiceServer(s, clusterService{s: s})
	pb.RegisterProxyServiceServer(s, proxyService{s: s})
	pb.RegisterFederationServiceServer(s, federationService{s: s})
	grpc_health_v1.RegisterHealthServer(s, healthService{s: s})
	reflection.Register(s)
}

// HTTP is the handler of the HTTP listener.
func (s *Server) HTTP() http.Handler { return s.http }

func (s *Server) notReady() []string {
	if s.cfg.NotReady == nil {
		return nil
	}
	return s.cfg.NotReady()
}
