package cli

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	mathrand "math/rand/v2"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	apistatus "supercluster/api/status"
	"supercluster/internal/fault"
	"supercluster/internal/tlsfiles"
)

const (
	defaultServer = "127.0.0.1:8502"
	// maxMessage bounds an answer; pages keep lists far below it.
	maxMessage = 16 << 20
	// unreachableRounds is how often all servers are tried when none can be connected to.
	unreachableRounds = 3
	firstPause        = 50 * time.Millisecond
	longestPause      = time.Second
	tlsHint           = "--ca names the server's CA, --cert and --key a certificate that it accepts"
)

// client is a connection to a region and the place that its requests are about.
type client struct {
	pool              *pool
	tenant, namespace string

	tenants  pb.TenantServiceClient
	registry pb.RegistryServiceClient
	configs  pb.ConfigServiceClient
	watches  pb.WatchServiceClient
	cluster  pb.ClusterServiceClient
	proxies  pb.ProxyServiceClient
	// read is what --level, --max-age and --session say; nil: nothing.
	read *pb.ReadOptions

	federation pb.FederationServiceClient
}

// dial makes the client that flags, environment and context describe. Nothing is connected before the first call.
func (a *App) dial() (*client, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	read, err := a.readOptions()
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if !s.tls.Empty() {
		var config *tls.Config
		if config, err = tlsfiles.ClientConfig(s.tls, time.Now()); err != nil {
			return nil, err
		}
		creds = credentials.NewTLS(config)
	}
	p := &pool{stay: a.flags.noForward, secure: !s.tls.Empty(), certificate: s.tls.Cert != ""}
	for _, server := range s.servers {
		if _, _, err := net.SplitHostPort(server); err != nil {
			p.close()
			return nil, fault.New(fault.Invalid, "server %q is not host:port", server)
		}
		conn, err := grpc.NewClient("passthrough:///"+server, grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(),
			grpc.WithUserAgent("supercluster-cli/"+a.Version), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff: backoff.Config{BaseDelay: firstPause, Multiplier: 1.5, MaxDelay: longestPause}, MinConnectTimeout: 2 * time.Second,
			}))
		if err != nil {
			p.close()
			return nil, fault.Wrap(fault.Invalid, err, "server %q cannot be used", server)
		}
		p.servers, p.conns = append(p.servers, server), append(p.conns, conn)
	}
	return &client{
		pool: p, tenant: s.tenant, namespace: s.namespace, read: read,
		tenants: pb.NewTenantServiceClient(p), registry: pb.NewRegistryServiceClient(p), configs: pb.NewConfigServiceClient(p),
		watches: pb.NewWatchServiceClient(p), cluster: pb.NewClusterServiceClient(p), proxies: pb.NewProxyServiceClient(p),
		federation: pb.NewFederationServiceClient(p),
	}, nil
}

// readOptions is what the flags say about reads; nil: nothing.
func (a *App) readOptions() (*pb.ReadOptions, error) {
	f := &a.flags
	if f.level == "" && f.maxAge == 0 && f.session == "" {
		return nil, nil
	}
	o := &pb.ReadOptions{Session: f.session, Forward: !f.noForward}
	if f.maxAge != 0 {
		o.MaxAge = durationpb.New(f.maxAge)
	}
	if f.level != "" {
		v, ok := pb.Consistency_value["CONSISTENCY_"+strings.ToUpper(f.level)]
		if !ok || v == 0 {
			return nil, fault.Field("--level", "%q is not one of local, linearizable, bounded, session, home", f.level)
		}
		o.Consistency = pb.Consistency(v)
	}
	return o, nil
}

// write makes the options of a write: a request id, which lets it be sent again, and the newest revision the
// server knew before, which lets it tell a late retry from a first try.
func (c *client) write(ctx context.Context, message string) (*pb.WriteOptions, error) {
	seen, err := c.tenants.ListTenants(ctx, &pb.ListTenantsRequest{PageSize: 1, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}})
	if err != nil {
		return nil, err
	}
	return &pb.WriteOptions{RequestId: rand.Text(), SeenRevision: seen.GetHeader().GetRevision(), Message: message}, nil
}

// pool is one connection to each server, used in turn. It carries the generated clients, so that every call is
// tried again where that is safe.
type pool struct {
	servers []string
	conns   []*grpc.ClientConn
	at      int
	// secure: with TLS; certificate: with one of our own.
	secure, certificate bool
	// stay: no other region is to be asked.
	stay bool
}

func (p *pool) close() {
	for _, c := range p.conns {
		_ = c.Close()
	}
}

// Invoke makes a unary call. It is sent again, to the next server, when it was not run or when its outcome is not
// known: reads change nothing and every write carries a request id.
func (p *pool) Invoke(ctx context.Context, method string, request, reply any, opts ...grpc.CallOption) error {
	_, write := request.(interface{ GetOptions() *pb.WriteOptions })
	if p.stay {
		ctx = metadata.AppendToOutgoingContext(ctx, "x-forward", "never")
	}
	pause := firstPause
	var unknown error // of an attempt that may have been applied
	for failures := 1; ; failures++ {
		err := p.conns[p.at].Invoke(ctx, method, request, reply, opts...)
		if err == nil {
			return nil
		}
		err = p.explain(err, write)
		if fault.Is(err, fault.OutcomeUnknown) {
			unknown = err
		}
		if !p.again(ctx, err, failures) {
			return giveUp(err, unknown)
		}
		p.at = (p.at + 1) % len(p.conns)
		if failures%len(p.conns) != 0 {
			continue // the next server may answer at once
		}
		if !sleep(ctx, jitter(pause)) {
			return giveUp(err, unknown)
		}
		pause = min(2*pause, longestPause)
	}
}

// giveUp is the error of the last attempt, unless that one only says that nothing was done this time while an
// earlier one may have been applied.
func giveUp(err, unknown error) error {
	if unknown == nil {
		return err
	}
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Busy, fault.Deadline, fault.Canceled:
		return unknown
	default:
		return err
	}
}

// NewStream opens a stream on the first server that takes it.
func (p *pool) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	for failures := 1; ; failures++ {
		stream, err := p.conns[p.at].NewStream(ctx, desc, method, opts...)
		if err == nil {
			return stream, nil
		}
		err = p.explain(err, false)
		p.at = (p.at + 1) % len(p.conns)
		if failures >= len(p.conns) || ctx.Err() != nil {
			return nil, err
		}
	}
}

// again reports whether a call may and should be sent again.
func (p *pool) again(ctx context.Context, err error, failures int) bool {
	if ctx.Err() != nil || !fault.KindOf(err).Retryable() {
		return false
	}
	if e, ok := fault.As(err); ok && !fromServer(e) && fault.Is(err, fault.Unavailable) {
		return failures < unreachableRounds*len(p.conns) // nobody there: do not wait for long
	}
	return true
}

// explain rebuilds the fault of an error and says what to do about a connection that does not come about.
func (p *pool) explain(err error, write bool) error {
	server := p.servers[p.at]
	text := status.Convert(err).Message()
	if write {
		err = apistatus.FromGRPCWrite(err)
	} else {
		err = apistatus.FromGRPC(err)
	}
	e, ok := fault.As(err)
	if !ok || fromServer(e) || e.Kind != fault.Unavailable && e.Kind != fault.OutcomeUnknown {
		return err
	}
	switch {
	case strings.Contains(text, "tls: ") || strings.Contains(text, "x509: "):
		_, why, found := strings.Cut(text, "handshake failed: ")
		if !found {
			why = text
		}
		return fault.New(fault.Unauthenticated, "TLS with %s failed: %s", server, strings.TrimSuffix(why, `"`)).WithHint(tlsHint)
	case strings.Contains(text, "dialing"):
		_, why, _ := strings.Cut(text, "dialing: ")
		return &fault.Error{
			Kind: fault.Unavailable, Message: "cannot reach " + server + ": " + strings.TrimSuffix(why, `"`),
			Hint: "`supercluster dev` starts a server; --server or SUPERCLUSTER_SERVER names another",
		}
	case strings.Contains(text, "server preface") && !p.secure:
		return fault.New(fault.Unauthenticated, "%s does not talk plain gRPC", server).WithHint("does it want TLS? then %s", tlsHint)
	case p.secure && !p.certificate:
		// The server refuses after the handshake, so that its reason may or may not arrive before the end.
		return fault.New(fault.Unauthenticated, "TLS with %s failed: the server closed the connection", server).WithHint(tlsHint)
	}
	return err
}

// fromServer reports whether a fault was sent by one of our servers, with its kind.
func fromServer(e *fault.Error) bool {
	st, ok := status.FromError(e.Err)
	return e.Err != nil && ok && len(st.Details()) > 0
}

func jitter(d time.Duration) time.Duration { return d/2 + mathrand.N(d) }

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
