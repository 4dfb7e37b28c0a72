package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/lni/dragonboat/v4"

	"supercluster/api/server"
	"supercluster/federation"
	"supercluster/federation/dns"
	"supercluster/federation/link"
	"supercluster/health"
	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/internal/lifecycle"
	"supercluster/internal/telemetry"
	"supercluster/internal/tlsfiles"
	"supercluster/region"
	"supercluster/registry/access"
	"supercluster/registry/live"
	"supercluster/secrets/ca"
	"supercluster/xds"
)

// Methods of the node channel.
const methodHeartbeats uint8 = 2

// start is how a process was started.
type start struct {
	config    config.Server
	dev       bool
	bootstrap bool
	version   string
	logs      io.Writer
	// ready is called once everything serves.
	ready func()
	// made is given the parts before they run; only dev uses it.
	made func(*process)
	// noAdmin leaves the admin listener out: dev has one for all its regions.
	noAdmin bool
	// shape decides the fate of datagrams between regions; only dev has one.
	shape link.Shape
	// probing delays or refuses a probe of another region; only dev has one.
	probing func(ctx context.Context, address string) error
}

// process is the parts of one server, made and wired, not running.
type process struct {
	start
	telemetry *telemetry.Telemetry
	listeners listeners
	tlsFiles  *tlsfiles.Identity // nil without TLS
	identity  *ca.Identity       // nil without one
	// Of the exchange with other regions; nil without an identity.
	issuer     *ca.Issuer
	trust      *ca.Trust
	federation *federation.Federation

	region *region.Region
	live   *live.Runner
	health *health.Runner
	xds    *xds.Server
	api    *server.Server
	dns    *dns.Server
	// assembled is closed when api is set, serving when its ports are open.
	assembled, serving chan struct{}
}

// serve runs a server until ctx ends or a part fails.
func serve(ctx context.Context, s start) error {
	p, err := assemble(s)
	if err != nil {
		return err
	}
	defer p.listeners.close()
	if s.made != nil {
		s.made(p)
	}
	group := lifecycle.Group{Log: p.telemetry.Log(), OnReady: s.ready}
	return group.Run(ctx, p.parts()...)
}

// parts lists everything that runs, once, in start order. They stop in the reverse order.
func (p *process) parts() []lifecycle.Part {
	parts := []lifecycle.Part{
		{Name: "telemetry", Run: p.telemetry.Run},
		{Name: "admin", Run: func(ctx context.Context) error { return p.serveAdmin(ctx) }},
		{Name: "probe", Run: func(ctx context.Context) error { return serveProbe(ctx, p.listeners.probe) }},
		{Name: "api assembly", Run: p.makeAPI},
		{Name: "region", Run: p.region.Run, Ready: p.region.Ready(), StopWithin: 15 * time.Second},
		{Name: "live view", Run: p.live.Run, Ready: p.live.Ready()},
		{Name: "health", Run: p.health.Run},
		{Name: "dns", Run: p.dns.Run},
		{Name: "xds", Run: p.xds.Run},
		{Name: "api", Run: p.runAPI, Ready: p.serving},
	}
	if p.federation != nil {
		parts = append(parts,
			lifecycle.Part{Name: "certificates", Run: p.issuer.Run},
			lifecycle.Part{Name: "federation", Run: p.federation.Run})
	}
	return parts
}

func (p *process) runAPI(ctx context.Context) error {
	select {
	case <-p.assembled:
	case <-ctx.Done():
		return nil
	}
	if err := p.listeners.reopen(ctx); err != nil {
		return err
	}
	close(p.serving)
	return p.api.Run(ctx, p.listeners.grpc, p.listeners.http)
}

// assemble makes the parts and hands each what it needs. Ports are opened here, so that one in use is found before
// anything runs.
func assemble(s start) (p *process, err error) {
	c := s.config
	p = &process{start: s, assembled: make(chan struct{}), serving: make(chan struct{})}
	p.telemetry, err = telemetry.New(telemetry.Config{
		Level: c.Log.Level, Format: c.Log.Format, Output: s.logs, Endpoint: c.OTLP.Endpoint,
		Version: s.version, Region: c.Region, Node: c.Node, Further: dragonboat.WriteHealthMetrics,
	})
	if err != nil {
		return nil, err
	}
	if err := p.loadFiles(time.Now()); err != nil {
		return nil, err
	}
	if err := p.listeners.open(c, s.noAdmin); err != nil {
		return nil, err
	}
	if err := errors.Join(p.makeParts(), p.listeners.release()); err != nil {
		p.listeners.close()
		return nil, err
	}
	return p, nil
}

// loadFiles reads the certificates and keys that the configuration names.
func (p *process) loadFiles(now time.Time) (err error) {
	if p.tlsFiles, err = loadTLS(p.config, now); err != nil {
		return err
	}
	if p.identity, err = loadIdentity(p.config, now); err != nil || p.identity == nil {
		return err
	}
	p.telemetry.Log().Info("the identity of the region is loaded", "identity", p.identity)
	return nil
}

func (p *process) makeParts() error {
	c, t := p.config, p.telemetry
	var err error
	p.region, err = region.New(region.Config{
		Region: c.Region, ID: p.regionID(), Node: c.Node, Members: c.Members, DataDir: c.DataDir, Listener: p.listeners.raft,
		GRPC: advertised(c.Advertise.GRPC, c.Listen.GRPC), HTTP: advertised(c.Advertise.HTTP, c.Listen.HTTP),
		Federation: p.federationAddress(), Probe: p.probeAddress(),
		ServerTLS: p.serverTLS(), ClientTLS: p.clientTLS(), Bootstrap: p.bootstrap, Dev: p.dev,
		Log: t.Log().With("part", "region"), Meter: t.Meter("region"),
	})
	if err != nil {
		return err
	}
	p.live = live.New(live.Config{
		Source: p.region, Region: c.Region,
		Log: t.Log().With("part", "live"), Meter: t.Meter("live"), Tracer: t.Tracer("live"),
	})
	p.health = health.New(health.Config{
		Views: p.live, Propose: p.region.Propose, Node: c.Node, Alive: p.region.Alive, Call: p.region.Call,
		AllowLinkLocal: c.Health.AllowLinkLocal, Log: t.Log().With("part", "health"), Meter: t.Meter("health"),
	})
	p.xds = xds.New(xds.Config{
		Views: p.live, Reaches: p.reaches(), Region: c.Region, Node: c.Node, Synced: p.synced,
		Log: t.Log().With("part", "xds"), Meter: t.Meter("xds"),
	})
	p.dns = dns.New(dns.Config{
		View: p.live.View, Reach: p.reaches().Reach, Region: c.Region, Domain: c.DNS.Domain, Aliases: c.DNS.Aliases, Addr: c.Listen.DNS,
		TTL: c.DNS.TTL, RatePerSource: c.DNS.Rate, Ages: p.ages, Log: t.Log().With("part", "dns"), Meter: t.Meter("dns"),
	})
	if err := p.dns.Listen(); fault.Is(err, fault.Invalid) {
		return err // of the domains, not of the port
	} else if err != nil {
		return portFault(err, "listen.dns", "--dns", c.Listen.DNS)
	}
	if err := p.makeFederation(); err != nil {
		return err
	}
	p.region.Handle(methodHeartbeats, p.health.HandleHeartbeat)
	p.region.Handle(server.MethodProxies, p.handleProxies)
	p.region.Handle(server.MethodAsk, p.handleAsk)
	return nil
}

// makeAPI makes the API while the region starts: the rules of its messages take as long to compile as the region
// takes to elect a leader, and a start should cost the longer of the two and not their sum.
func (p *process) makeAPI(ctx context.Context) (err error) {
	c, t := p.config, p.telemetry
	p.api, err = server.New(server.Config{
		Region: p.region, Views: p.live, Proxies: p.xds, Heartbeats: p.health, Sources: p.sources(), Reach: p.reaches().Reach, Federation: p.exchange(),
		Homes: p.homes(), ForwardedRole: p.forwardedRole(),
		Principal: p.principal(), NotReady: p.notReady, RegionName: c.Region, Node: c.Node, Version: p.version, Dev: p.dev,
		TLS: p.serverTLS(), Hosts: hosts(c), Metrics: t.Metrics(), ServerOptions: xds.ServerOptions(), Codec: xds.Codec(),
		Limits: server.Limits{
			ReadRate: float64(c.Limits.ReadRate), WriteRate: float64(c.Limits.WriteRate), OpenRate: float64(c.Limits.OpenRate),
			Watches: c.Limits.Watches,
		},
		Log: t.Log().With("part", "api"), Meter: t.Meter("api"), Tracer: t.Tracer("api"),
	})
	if err != nil {
		return err
	}
	p.xds.Register(p.api)
	close(p.assembled)
	<-ctx.Done()
	return nil
}

// handleProxies answers other nodes; one that asks before the API is made waits for it.
func (p *process) handleProxies(ctx context.Context, from string, payload []byte) ([]byte, error) {
	select {
	case <-p.assembled:
		return p.api.HandleProxies(ctx, from, payload)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// handleAsk is handleProxies for questions about other regions.
func (p *process) handleAsk(ctx context.Context, from string, payload []byte) ([]byte, error) {
	select {
	case <-p.assembled:
		return p.api.HandleAsk(ctx, from, payload)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// principal says who callers are. Without TLS the API binds loopback only: whoever reaches it is on this machine
// and counts as an operator. With TLS the certificate decides.
func (p *process) principal() func(context.Context) (access.Principal, error) {
	switch {
	case p.dev:
		return server.Dev()
	case p.tlsFiles == nil:
		return func(context.Context) (access.Principal, error) {
			return access.Principal{Name: "loopback", Role: access.RoleOperator}, nil
		}
	default:
		return server.Identify(p.config.Operators, p.config.Readers, p.config.Proxies)
	}
}

func (p *process) serverTLS() *tls.Config {
	if p.tlsFiles == nil {
		return nil
	}
	return p.tlsFiles.Server()
}

func (p *process) clientTLS() *tls.Config {
	if p.tlsFiles == nil {
		return nil
	}
	return p.tlsFiles.Client()
}

// synced reports whether the view holds what the region had when this node joined it.
func (p *process) synced() bool { return len(p.notReady()) == 0 }

// notReady lists what this node still waits for.
func (p *process) notReady() []string {
	var waits []string
	for _, one := range []struct {
		what  string
		ready <-chan struct{}
	}{{"the region has not caught up", p.region.Ready()}, {"the registry view is not built", p.live.Ready()}} {
		select {
		case <-one.ready:
		default:
			waits = append(waits, one.what)
		}
	}
	return waits
}

// advertised is the address that others use: as configured, else the one listened on.
func advertised(given, listen string) string {
	if given != "" {
		return given
	}
	return listen
}

// hosts are the names under which the HTTP API may be called beside loopback and its own address.
func hosts(c config.Server) []string {
	var names []string
	for _, addr := range []string{c.Advertise.HTTP, c.Advertise.GRPC} {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" {
			names = append(names, host)
		}
	}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	return names
}

// portFault says which setting names an address that could not be opened.
func portFault(err error, key, flag, addr string) error {
	return fault.Wrap(fault.Unavailable, err, "%s %s cannot be opened", key, addr).
		WithHint("another program may use it: stop it, or choose another address with %s", flag)
}
