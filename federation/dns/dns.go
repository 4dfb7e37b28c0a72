package dns

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/metric"

	"supercluster/registry"
)

// Config is what a Server needs. View and Addr must be set.
type Config struct {
	// View gives the registry view at the time of an answer.
	View func() *registry.View
	// Region and Zone are where the clients of this listener are, for the plan.
	Region, Zone string
	// Domain is the domain served; default sc.internal. Aliases are further domains with the same names.
	Domain  string
	Aliases []string
	// Tenant is the tenant served; default `default`.
	Tenant string
	// Addr is the UDP and TCP address, host:port. Port 0 picks a free one.
	Addr string
	// NameServers are the addresses that ns.<domain> has; default the address of Addr, unless unspecified.
	NameServers []netip.Addr
	// TTL of answers, at most 1 h; the default 0 makes clients ask each time.
	TTL time.Duration
	// RatePerSource is the UDP queries per second that one source (IPv4 address or IPv6 /64) gets answered;
	// 0 is 5,000, negative is no limit.
	RatePerSource int
	Log           *slog.Logger
	Meter         metric.Meter
}

// Server is a DNS server.
type Server struct {
	cfg Config
}

// New makes a Server; it starts nothing.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Listen opens the sockets, so that a port in use is found before anything runs. Run does it when nobody did.
func (s *Server) Listen() error { return nil }

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Addr is the address listened on, host:port; empty before Listen.
func (s *Server) Addr() string { return "" }
