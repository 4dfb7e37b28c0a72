package xds

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	xdsclient "google.golang.org/grpc/xds"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"sigs.k8s.io/yaml"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"

	"supercluster/xds/resources"
)

// goldenFiles are the golden files of package resources whose names begin with a prefix.
func goldenFiles(t *testing.T, prefix string) []string {
	t.Helper()
	files, err := filepath.Glob("resources/testdata/" + prefix + "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden file %s: %v", prefix, err)
	}
	return files
}

// readGolden reads a golden file as a message.
func readGolden[M proto.Message](t *testing.T, file string, m M) M {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = yaml.YAMLToJSON(text); err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// staticConfig is a bootstrap of Envoy that holds resources; those it refers to would come from a server.
func staticConfig(t *testing.T, clusters []*clusterv3.Cluster, listeners []*listenerv3.Listener) []byte {
	t.Helper()
	list := func(key string, all []proto.Message) string {
		b := strings.Builder{}
		fmt.Fprintf(&b, "  %s:\n", key)
		for _, m := range all {
			text, err := protojson.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  - %s\n", text)
		}
		return b.String()
	}
	var c, l []proto.Message
	for _, m := range clusters {
		c = append(c, m)
	}
	for _, m := range listeners {
		l = append(l, m)
	}
	return []byte(`node: {id: golden, cluster: golden}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: servers}}]}
static_resources:
` + list("listeners", l) + list("clusters", c) + `  - name: servers
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: servers
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 1}}}}]}]
`)
}

// TestEnvoy_AcceptsTheGoldenFiles: what the real Envoy says of each.
func TestEnvoy_AcceptsTheGoldenFiles(t *testing.T) {
	bin := envoyBinary(t)
	named := func(names ...string) []*clusterv3.Cluster {
		var all []*clusterv3.Cluster
		for _, name := range names {
			c := readGolden(t, "resources/testdata/envoy-cluster-http.yaml", &clusterv3.Cluster{})
			c.Name = name
			all = append(all, c)
		}
		return all
	}
	check := func(file string, clusters []*clusterv3.Cluster, listeners ...*listenerv3.Listener) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "envoy.yaml")
			if err := os.WriteFile(path, staticConfig(t, clusters, listeners), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			out, err := exec.CommandContext(ctx, bin, "--mode", "validate", "-c", path, "-l", "warn").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	for _, file := range goldenFiles(t, "envoy-cluster") {
		check(file, []*clusterv3.Cluster{readGolden(t, file, &clusterv3.Cluster{})})
	}
	for _, file := range append(goldenFiles(t, "envoy-endpoints"), goldenFiles(t, "no-endpoints")...) {
		c := named("web")[0]
		c.EdsClusterConfig, c.ClusterDiscoveryType = nil, &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}
		c.LoadAssignment = readGolden(t, file, &endpointv3.ClusterLoadAssignment{})
		check(file, []*clusterv3.Cluster{c})
	}
	for _, file := range goldenFiles(t, "envoy-listener") {
		check(file, nil, readGolden(t, file, &listenerv3.Listener{}))
	}
	for _, file := range goldenFiles(t, "envoy-routes") {
		check(file, named("web", "api.prod.grpc"), listenerWith(t, readGolden(t, file, &routev3.RouteConfiguration{})))
	}
}

// listenerWith is the golden listener with routes in it instead of a reference.
func listenerWith(t *testing.T, routes *routev3.RouteConfiguration) *listenerv3.Listener {
	t.Helper()
	l := readGolden(t, "resources/testdata/envoy-listener-edge.yaml", &listenerv3.Listener{})
	filter := l.GetFilterChains()[0].GetFilters()[0]
	var m hcmv3.HttpConnectionManager
	if err := filter.GetTypedConfig().UnmarshalTo(&m); err != nil {
		t.Fatal(err)
	}
	m.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	packed, err := anypb.New(&m)
	if err != nil {
		t.Fatal(err)
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	return l
}

// oneOfEach serves one resource of each type and notes what the client says to it.
type oneOfEach struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	resources map[string]*anypb.Any // by type URL

	mu       sync.Mutex
	accepted map[string]bool
	rejected string
}

func (s *oneOfEach) StreamAggregatedResources(g discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	for {
		req, err := g.Recv()
		if err != nil {
			return nil // the client is done
		}
		s.mu.Lock()
		switch {
		case req.GetErrorDetail() != nil:
			s.rejected += req.GetErrorDetail().GetMessage() + "\n"
		case req.GetResponseNonce() != "":
			s.accepted[req.GetTypeUrl()] = true
		}
		s.mu.Unlock()
		if req.GetResponseNonce() != "" || len(req.GetResourceNames()) == 0 {
			continue
		}
		err = g.Send(&discoveryv3.DiscoveryResponse{
			VersionInfo: "1", Nonce: "1", TypeUrl: req.GetTypeUrl(), Resources: []*anypb.Any{s.resources[req.GetTypeUrl()]},
		})
		if err != nil {
			return err
		}
	}
}

func (s *oneOfEach) verdict() (accepted int, rejected string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted), s.rejected
}

// TestGRPC_AcceptsTheGoldenFiles: what a real client says of each assignment, and of what leads to it.
func TestGRPC_AcceptsTheGoldenFiles(t *testing.T) {
	for _, file := range append(goldenFiles(t, "grpc-endpoints"), goldenFiles(t, "no-endpoints")...) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			endpoints := readGolden(t, file, &endpointv3.ClusterLoadAssignment{})
			endpoints.ClusterName = "web"
			s := &oneOfEach{accepted: map[string]bool{}, resources: map[string]*anypb.Any{}}
			for typ, m := range map[resources.Type]proto.Message{
				lds: readGolden(t, "resources/testdata/grpc-listener.yaml", &listenerv3.Listener{}),
				rds: readGolden(t, "resources/testdata/grpc-routes.yaml", &routev3.RouteConfiguration{}),
				cds: readGolden(t, "resources/testdata/grpc-cluster.yaml", &clusterv3.Cluster{}),
				eds: endpoints,
			} {
				packed, err := anypb.New(m)
				if err != nil {
					t.Fatal(err)
				}
				s.resources[typ.URL()] = packed
			}
			s.ask(t)
		})
	}
}

// ask has a client fetch everything and waits for what it says.
func (s *oneOfEach) ask(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, s)
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() { g.Stop(); serving.Wait() })
	bootstrap, err := resources.GRPCBootstrap(resources.GRPCBootstrapOptions{ID: "golden", Servers: []string{l.Addr().String()}, Region: "dc1"})
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := xdsclient.NewXDSResolverWithConfigForTesting(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///web", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithResolvers(resolver))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.Connect()
	eventually(t, "a verdict on every type", func() bool {
		accepted, rejected := s.verdict()
		return accepted == resources.Types || rejected != ""
	})
	if _, rejected := s.verdict(); rejected != "" {
		t.Errorf("the client rejects: %s", rejected)
	}
}
