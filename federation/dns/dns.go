package dns

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"golang.org/x/sync/errgroup"

	"supercluster/federation/plan"
	"supercluster/internal/fault"
	"supercluster/registry"
)

const (
	defaultDomain = "sc.internal"
	defaultRate   = 5000
	maxAliases    = 16
	maxTTL        = time.Hour
)

// Config is what a Server needs. View and Addr must be set.
type Config struct {
	// View gives the registry view at the time of an answer.
	View func() *registry.View
	// Reach gives how this region reaches the others at the time of an answer; nil: they stand by name. It is asked for
	// each answer, by any number of goroutines.
	Reach func() *plan.Reach
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
	// TTL of answers, at most 1 h; the default 0 makes clients ask each time. It is at most 1 s for an answer that may
	// soon be another one: from a region that is not up, or of endpoints that are not healthy.
	TTL time.Duration
	// RatePerSource is the UDP queries per second that one source (IPv4 address or IPv6 /64) gets answered;
	// 0 is 5,000, negative is no limit.
	RatePerSource int
	// Ages is asked before the view is taken, for each answer and by any number of goroutines. What it gives says how old, at
	// most, the copy of a region is that the view shows; false: nobody knows. nil: no copy is old.
	Ages  func() func(region [16]byte) (time.Duration, bool)
	Log   *slog.Logger
	Meter metric.Meter
}

func (c Config) withDefaults() Config {
	if c.Domain == "" {
		c.Domain = defaultDomain
	}
	if c.Tenant == "" {
		c.Tenant = registry.DefaultTenant
	}
	if c.RatePerSource == 0 {
		c.RatePerSource = defaultRate
	}
	c.TTL = min(max(c.TTL, 0), maxTTL)
	if c.Reach == nil {
		c.Reach = func() *plan.Reach { return nil }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = noop.Meter{}
	}
	return c
}

// Server is a DNS server.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	limiter *limiter
	epoch   time.Time

	mu       sync.Mutex
	respond  *responder // nil before Listen
	listener net.Listener
	packets  []*net.UDPConn
}

// New makes a Server; it starts nothing.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg: cfg, log: cfg.Log, metrics: newMetrics(cfg.Meter),
		limiter: newLimiter(cfg.RatePerSource), epoch: time.Now(),
	}
}

// Listen checks the configuration and opens the sockets, so that a mistake or a port in use is found before anything
// runs. Run does it when nobody did.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.respond != nil {
		return nil
	}
	zones, err := newZones(s.cfg.Domain, s.cfg.Aliases)
	if err != nil {
		return err
	}
	s.listener, s.packets, err = listen(s.cfg.Addr)
	if err != nil {
		return err
	}
	s.respond = &responder{
		view: s.cfg.View, reach: s.cfg.Reach, tenant: s.cfg.Tenant, zones: zones, servers: s.nameServers(),
		build: builder{
			client: plan.Client{Region: s.cfg.Region, Zone: s.cfg.Zone}, ttl: uint32(s.cfg.TTL / time.Second),
		},
		cache: newCache(), metrics: s.metrics, ages: s.cfg.Ages,
	}
	return nil
}

// CheckDomains reports what is wrong with the names of domains, before a server is made of them.
func CheckDomains(domain string, aliases []string) error {
	_, err := newZones(domain, aliases)
	return err
}

// newZones reads the domains; the longest comes first, so that a domain within another is served as itself.
func newZones(first string, aliases []string) ([]zone, error) {
	if len(aliases) > maxAliases {
		return nil, fault.Field("dns.aliases", "%d aliases, the limit is %d", len(aliases), maxAliases)
	}
	domain, err := newZone("dns.domain", first)
	if err != nil {
		return nil, err
	}
	zones := []zone{domain}
	for _, name := range aliases {
		z, err := newZone("dns.aliases", name)
		if err != nil {
			return nil, err
		}
		zones = append(zones, z)
	}
	slices.SortStableFunc(zones, func(a, b zone) int {
		if a.depth != b.depth {
			return b.depth - a.depth
		}
		return strings.Compare(a.wire, b.wire)
	})
	return slices.Compact(zones), nil
}

func (s *Server) nameServers() []netip.Addr {
	if len(s.cfg.NameServers) > 0 {
		return s.cfg.NameServers
	}
	at, err := netip.ParseAddrPort(s.listener.Addr().String())
	if err != nil || at.Addr().IsUnspecified() {
		return nil
	}
	return []netip.Addr{at.Addr().Unmap().WithZone("")}
}

// Addr is the address listened on, host:port; empty before Listen.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	if err := s.Listen(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, conn := range s.packets {
		g.Go(func() error { return s.serveUDP(ctx, conn) })
	}
	t := &tcpServer{Server: s, sources: map[[8]byte]int{}, open: map[net.Conn]struct{}{}}
	g.Go(func() error { return t.serve(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		for _, conn := range s.packets {
			_ = conn.Close()
		}
		_ = s.listener.Close()
		t.closeAll()
		return nil
	})
	return g.Wait()
}
