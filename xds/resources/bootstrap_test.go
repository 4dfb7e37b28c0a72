package resources

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"sigs.k8s.io/yaml"

	"supercluster/internal/fault"
)

func edge() EnvoyBootstrapOptions {
	return EnvoyBootstrapOptions{
		ID: "edge-1", Servers: []string{"127.0.0.1:8502", "[::1]:8512"}, Region: "dc1", Zone: "a",
		Listen: "127.0.0.1:10000", Admin: "127.0.0.1:9901",
	}
}

func withTLS() EnvoyBootstrapOptions {
	o := edge()
	o.Servers = []string{"n1.example:8502", "n2.example:8502", "10.0.0.3:8502"}
	o.Role, o.Tenant, o.Namespace, o.Admin = "sidecar", "acme", "prod", ""
	o.TLS = &TLS{CA: "ca.pem", Cert: "client.pem", Key: "client-key.pem"}
	return o
}

func TestEnvoyBootstrap_Golden(t *testing.T) {
	for name, o := range map[string]EnvoyBootstrapOptions{"bootstrap-envoy": edge(), "bootstrap-envoy-tls": withTLS()} {
		got, err := EnvoyBootstrap(o)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name+".yaml", got)
	}
}

func TestGRPCBootstrap_Golden(t *testing.T) {
	plain := GRPCBootstrapOptions{ID: "my-client", Servers: []string{"127.0.0.1:8502", "127.0.0.1:8512"}, Region: "dc1"}
	secure := plain
	secure.Tenant, secure.Namespace, secure.Zone = "acme", "prod", "a"
	secure.TLS = &TLS{CA: "ca.pem", Cert: "client.pem", Key: "client-key.pem"}
	for name, o := range map[string]GRPCBootstrapOptions{"bootstrap-grpc": plain, "bootstrap-grpc-tls": secure} {
		got, err := GRPCBootstrap(o)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, name+".json", got)
		if !json.Valid(got) {
			t.Errorf("%s is not JSON", name)
		}
	}
}

func TestBootstrap_Refusals(t *testing.T) {
	tests := map[string]func(*EnvoyBootstrapOptions){
		"id":      func(o *EnvoyBootstrapOptions) { o.ID = "" },
		"servers": func(o *EnvoyBootstrapOptions) { o.Servers = nil },
		"role":    func(o *EnvoyBootstrapOptions) { o.Role = "butler" },
		"listen":  func(o *EnvoyBootstrapOptions) { o.Listen = "localhost:80" },
		"admin":   func(o *EnvoyBootstrapOptions) { o.Admin = "9901" },
		"tls":     func(o *EnvoyBootstrapOptions) { o.TLS = &TLS{CA: "ca.pem"} },
	}
	for field, edit := range tests {
		o := edge()
		edit(&o)
		_, err := EnvoyBootstrap(o)
		if e, ok := fault.As(err); !ok || e.Kind != fault.Invalid || e.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, server := range []string{"n1", "n1:", ":8502", "n1:x", "n1:70000", "n1:0", "::1:8502"} {
		if _, err := GRPCBootstrap(GRPCBootstrapOptions{ID: "x", Servers: []string{server}}); err == nil {
			t.Errorf("server %q was taken", server)
		}
	}
}

// envoyBinary finds the real Envoy, or skips with what to do.
func envoyBinary(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("ENVOY_BIN"); bin != "" {
		return bin
	}
	if bin, err := exec.LookPath("envoy"); err == nil {
		return bin
	}
	if bin, err := filepath.Abs("../../.tools/bin/envoy"); err == nil {
		if _, err := os.Stat(bin); err == nil {
			return bin
		}
	}
	const text = "no Envoy: golden files are not validated by the real Envoy; `make tools` gets it, or set ENVOY_BIN"
	if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") == "1" {
		t.Fatal(text)
	}
	t.Skip("SKIP: " + text)
	return ""
}

// The real Envoy accepts our bootstrap with every one of our resources in it: listeners and clusters as they are,
// routes and endpoints in a listener and a cluster made for them.
func TestGolden_EnvoyValidates(t *testing.T) {
	bin := envoyBinary(t)
	text, err := EnvoyBootstrap(edge())
	if err != nil {
		t.Fatal(err)
	}
	var b bootstrapv3.Bootstrap
	readYAML(t, text, &b)
	for name, r := range golden(t) {
		if strings.HasPrefix(name, "grpc-") {
			continue
		}
		add(t, b.GetStaticResources(), name, message(t, r))
	}
	validate(t, bin, toYAML(t, &b))
}

// The bootstrap with TLS is accepted as well, given files to read.
func TestBootstrap_EnvoyValidatesTLS(t *testing.T) {
	bin := envoyBinary(t)
	o := withTLS()
	dir := t.TempDir()
	o.TLS = &TLS{CA: filepath.Join(dir, "cert.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	writeCertificate(t, o.TLS.Cert, o.TLS.Key)
	text, err := EnvoyBootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	validate(t, bin, text)
}

func readYAML(t *testing.T, text []byte, m proto.Message) {
	t.Helper()
	text, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, static *bootstrapv3.Bootstrap_StaticResources, name string, m proto.Message) {
	t.Helper()
	switch m := m.(type) {
	case *clusterv3.Cluster:
		static.Clusters = append(static.Clusters, m)
	case *endpointv3.ClusterLoadAssignment:
		static.Clusters = append(static.Clusters, &clusterv3.Cluster{
			Name: name, ConnectTimeout: durationpb.New(connectTimeout), LoadAssignment: m,
			ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		})
	case *listenerv3.Listener:
		elsewhere(m, len(static.Listeners))
		static.Listeners = append(static.Listeners, m)
	case *routev3.RouteConfiguration:
		l := listenerWith(t, name, m)
		elsewhere(l, len(static.Listeners))
		static.Listeners = append(static.Listeners, l)
	}
}

// elsewhere gives a listener a port of its own.
func elsewhere(l *listenerv3.Listener, n int) {
	l.GetAddress().GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(20_000 + n)}
}

// listenerWith is an edge's listener with its routes inside.
func listenerWith(t *testing.T, name string, routes *routev3.RouteConfiguration) *listenerv3.Listener {
	t.Helper()
	l := message(t, golden(t)["envoy-listener-edge"]).(*listenerv3.Listener)
	l.Name = name
	filter := l.GetFilterChains()[0].GetFilters()[0]
	var manager hcmv3.HttpConnectionManager
	if err := filter.GetTypedConfig().UnmarshalTo(&manager); err != nil {
		t.Fatal(err)
	}
	manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes}
	packed, err := pack(&manager)
	if err != nil {
		t.Fatal(err)
	}
	filter.ConfigType = &listenerv3.Filter_TypedConfig{TypedConfig: packed}
	return l
}

func validate(t *testing.T, bin string, config []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(bin, "--mode", "validate", "-c", path, "--use-dynamic-base-id").CombinedOutput()
	if err != nil {
		t.Errorf("Envoy does not accept it: %v\n%s\n%s", err, out, config)
	}
}
