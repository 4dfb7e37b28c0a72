package xds

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry/access"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

type deltaStream = discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient

func openDelta(t testing.TB, conn grpc.ClientConnInterface) deltaStream {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// refusal sends a first request and gives the error that ends the stream.
func refusal(t testing.TB, conn grpc.ClientConnInterface, req *discoveryv3.DeltaDiscoveryRequest) *status.Status {
	t.Helper()
	stream := openDelta(t, conn)
	if req != nil {
		_ = stream.Send(req) // a stream that is refused unread may be over already
	}
	_, err := stream.Recv()
	return status.Convert(err)
}

func hello(edit func(fields map[string]*structpb.Value)) *discoveryv3.DeltaDiscoveryRequest {
	n := node(ir.RoleEdge)
	if edit != nil {
		edit(n.GetMetadata().GetFields())
	}
	return &discoveryv3.DeltaDiscoveryRequest{Node: n, TypeUrl: cds.URL()}
}

func TestStream_Refusals(t *testing.T) {
	set := func(key, value string) *discoveryv3.DeltaDiscoveryRequest {
		return hello(func(f map[string]*structpb.Value) { f[key] = structpb.NewStringValue(value) })
	}
	noID := hello(nil)
	noID.Node.Id = ""
	longID := hello(nil)
	longID.Node.Id = strings.Repeat("x", 300)
	large := hello(nil)
	large.ResourceNamesSubscribe = []string{strings.Repeat("x", 70_000)}
	tests := []struct {
		name string
		req  *discoveryv3.DeltaDiscoveryRequest
		edit func(*Config)
		code codes.Code
		text string
	}{
		{"unknown role", set(resources.MetadataRole, "butler"), nil, codes.InvalidArgument, `"butler" is not a role`},
		{"no role", set(resources.MetadataRole, ""), nil, codes.InvalidArgument, "is not a role"},
		{"no address", set(resources.MetadataListen, ""), nil, codes.InvalidArgument, "must name the address"},
		{"bad address", set(resources.MetadataListen, "localhost:1"), nil, codes.InvalidArgument, "not an IP address"},
		{"port 0", set(resources.MetadataListen, "127.0.0.1:0"), nil, codes.InvalidArgument, "not an IP address and port"},
		{"unknown tenant", set(resources.MetadataTenant, "acme"), nil, codes.InvalidArgument, `no namespace "default" of tenant "acme"`},
		{"unknown namespace", set(resources.MetadataNamespace, "x"), nil, codes.InvalidArgument, `no namespace "x"`},
		{"no node.id", noID, nil, codes.InvalidArgument, "node.id"},
		{"long node.id", longID, nil, codes.InvalidArgument, "300 bytes"},
		{"large request", large, func(c *Config) { c.Limits.RequestBytes = 64 << 10 }, codes.ResourceExhausted, "above 65536 bytes"},
		{"not synced", hello(nil), func(c *Config) { c.Synced = func() bool { return false } }, codes.Unavailable, "not read the registry yet"},
		{
			"not allowed", hello(nil),
			func(c *Config) {
				c.Authorize = func(context.Context) access.Principal { return access.Principal{Name: "eve"} }
			},
			codes.PermissionDenied, `"eve" may not discover`,
		},
		{"silence", nil, func(c *Config) { c.Limits.FirstRequest = 20 * time.Millisecond }, codes.DeadlineExceeded, "no request came"},
		{
			"too fast", hello(nil),
			func(c *Config) { c.Limits.NewStreams = 0.001; c.Limits.NewStreamsWait = time.Millisecond },
			codes.ResourceExhausted, "too many new streams",
		},
		{"too many", hello(nil), func(c *Config) { c.Limits.Streams = 1 }, codes.ResourceExhausted, "1 streams, its limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t, shop(t), func(c *Config) {
				if tt.edit != nil {
					tt.edit(c)
				}
			})
			conn := dial(t, s.address)
			if tt.name == "too fast" || tt.name == "too many" {
				first := openDelta(t, conn)
				if err := first.Send(hello(nil)); err != nil {
					t.Fatal(err)
				}
				if _, err := first.Recv(); err != nil {
					t.Fatal(err)
				}
			}
			st := refusal(t, conn, tt.req)
			if st.Code() != tt.code || !strings.Contains(st.Message(), tt.text) {
				t.Errorf("got %v %q, want %v with %q", st.Code(), st.Message(), tt.code, tt.text)
			}
		})
	}
}

// A gRPC client is known by its user agent even when its bootstrap says nothing.
func TestIdentify_GRPCByUserAgent(t *testing.T) {
	limits := Limits{}.withDefaults()
	for _, agent := range []string{"gRPC Go", "gRPC C-core linux", "gRPC Node Pure JS"} {
		n := node("")
		delete(n.Metadata.Fields, resources.MetadataRole)
		n.UserAgentName = agent
		c, err := identify(n, &limits)
		if err != nil || c.role != ir.RoleGRPC || c.kind() != "grpc" {
			t.Errorf("%s: %+v, %v", agent, c, err)
		}
	}
}

// A client that never reads costs its memory until the deadline, then it is ended; others do not notice.
func TestStream_AClientThatNeverReadsIsEnded(t *testing.T) {
	r := shop(t)
	for n := range 700 { // more than fits in the windows
		r.register(t, serviceName(n), 9000)
	}
	s := start(t, r, func(c *Config) { c.Limits.Send = 300 * time.Millisecond })
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream := openDelta(t, conn)
	first := hello(func(f map[string]*structpb.Value) {
		f[resources.MetadataRole] = structpb.NewStringValue("sidecar")
	})
	var names []string
	for n := range 700 {
		names = append(names, serviceName(n))
	}
	for _, req := range []*discoveryv3.DeltaDiscoveryRequest{
		first,
		{TypeUrl: eds.URL(), ResourceNamesSubscribe: names},
		{TypeUrl: lds.URL()},
		{TypeUrl: rds.URL(), ResourceNamesSubscribe: []string{"sidecar.default"}},
	} {
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the stream is ended", func() bool { return s.stats.stalled.Load() > 0 && len(s.Proxies()) == 0 })
	other := openDelta(t, dial(t, s.address))
	if err := other.Send(hello(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Recv(); err != nil {
		t.Errorf("another client: %v", err)
	}
}

func TestStream_AClientThatNeverAcknowledgesIsEnded(t *testing.T) {
	s := start(t, shop(t), func(c *Config) { c.Limits.Acknowledge = 50 * time.Millisecond })
	stream := openDelta(t, dial(t, s.address))
	if err := stream.Send(hello(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	_, err := stream.Recv()
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "did not acknowledge") {
		t.Errorf("got %v", err)
	}
}

func TestStream_ProxiesShowsRejections(t *testing.T) {
	s := start(t, shop(t))
	stream := openDelta(t, dial(t, s.address))
	if err := stream.Send(hello(nil)); err != nil {
		t.Fatal(err)
	}
	res, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Proxies()[0].GetTypes()[0]; !p.GetPending() || p.GetVersionSent() == "" || p.GetVersionAcked() != "" || !p.GetWildcard() {
		t.Errorf("in flight: %v", p)
	}
	err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: cds.URL(), ResponseNonce: res.GetNonce(), ErrorDetail: status.New(codes.Internal, "cluster web: bad").Proto(),
	})
	if err != nil {
		t.Fatal(err)
	}
	var shown *pb.ProxyType
	eventually(t, "the rejection is shown", func() bool {
		shown = s.Proxies()[0].GetTypes()[0]
		return shown.GetNacks() == 1
	})
	if shown.GetNack() != "cluster web: bad" || shown.GetPending() || shown.GetNackTime() == nil {
		t.Errorf("shown as %v", shown)
	}
	p := s.Proxies()[0]
	if p.GetId() != "test" || p.GetRole() != "edge" || p.GetNode() != "n1" || p.GetTenant() != "default" || p.GetAddress() == "" {
		t.Errorf("shown as %v", p)
	}
}

// A complaint that is cut within a character is still text: one that is not would make the list of all proxies unsendable.
func TestWatch_RejectKeepsWholeCharacters(t *testing.T) {
	var w watch
	w.reject("x"+strings.Repeat("\u00e9", maxNACKText), time.Unix(1, 0))
	if len(w.nack) != maxNACKText-1 || !utf8.ValidString(w.nack) {
		t.Errorf("%d bytes are kept, ending with %q", len(w.nack), w.nack[len(w.nack)-3:])
	}
	if _, err := proto.Marshal(&pb.ProxyType{Nack: w.nack}); err != nil {
		t.Error(err)
	}
}

// A thousand clients come and go; TestMain finds what they leave running.
func TestStream_AThousandClientsComeAndGo(t *testing.T) {
	s := start(t, shop(t), func(c *Config) { c.Limits.NewStreams = 100_000 })
	conns := make([]grpc.ClientConnInterface, 8)
	for i := range conns {
		conns[i] = dial(t, s.address)
	}
	var all sync.WaitGroup
	for i := range 1000 {
		all.Go(func() {
			if err := visit(conns[i%len(conns)], i); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	all.Wait()
	eventually(t, "all are gone", func() bool { return len(s.Proxies()) == 0 })
	// A session leaves the world when its stream's receiver ends, which is later.
	eventually(t, "no entry is left with a subscriber or for nobody", func() bool { return s.abandoned() == 0 })
}

// abandoned counts the entries that a server without clients should not have: with subscribers, or of nothing that is.
func (s *Server) abandoned() int {
	s.publisher.mu.Lock()
	defer s.publisher.mu.Unlock()
	s.publisher.world.mu.RLock()
	defer s.publisher.world.mu.RUnlock()
	n := 0
	for _, tenant := range s.publisher.tenants {
		for _, sp := range tenant.spaces {
			if sp == nil {
				continue
			}
			for _, table := range sp.space.tables {
				for _, e := range table.entries {
					if len(e.subs) > 0 || !e.exists {
						n++
					}
				}
			}
		}
	}
	return n
}

// visit connects, takes a response, and leaves in one of three ways.
func visit(conn grpc.ClientConnInterface, i int) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	req := hello(nil)
	req.Node.Id = fmt.Sprintf("client-%d", i)
	if err := stream.Send(req); err != nil {
		return err
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: eds.URL(), ResourceNamesSubscribe: []string{"web", "nobody"}}); err != nil {
		return err
	}
	if i%3 == 0 {
		return nil
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if i%3 == 1 {
		return stream.CloseSend()
	}
	return nil
}

func TestServer_StoppingEndsStreams(t *testing.T) {
	s := start(t, shop(t))
	stream := openDelta(t, dial(t, s.address))
	if err := stream.Send(hello(nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	go s.stop()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
}
