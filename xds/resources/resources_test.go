package resources

import (
	"bytes"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/xds/ir"
)

var update = flag.Bool("update", false, "write the golden files anew")

func endpoint(addr string, weight uint32, zone string) plan.Endpoint {
	return plan.Endpoint{Instance: addr, Addr: netip.MustParseAddrPort(addr), Weight: weight, Region: "dc1", Zone: zone}
}

// zones is an assignment with everything: two tiers, an empty one between, IPv6, a weight of zero, an address
// twice, some that drain and some that fail.
func zones() *ir.Endpoints {
	return &ir.Endpoints{
		Name: "web",
		Tiers: []plan.Tier{
			{Priority: 0, Localities: []plan.Locality{
				{Region: "dc1", Zone: "a", Weight: 200, Endpoints: []plan.Endpoint{endpoint("10.0.0.1:80", 100, "a"), endpoint("10.0.0.2:80", 0, "a")}},
				{Region: "dc1", Zone: "b", Endpoints: []plan.Endpoint{endpoint("[2001:db8::1]:80", 50, "b"), endpoint("10.0.0.1:80", 1, "b")}},
			}},
			{Priority: 1, Localities: []plan.Locality{{Region: "dc2", Zone: "x"}}},
			{Priority: 2, Localities: []plan.Locality{
				{Region: "dc3", Zone: "y", Endpoints: []plan.Endpoint{{Instance: "far", Addr: netip.MustParseAddrPort("10.3.0.1:80"), Weight: 10, Region: "dc3", Zone: "y"}}},
			}},
		},
		Draining:  []plan.Endpoint{endpoint("10.0.0.3:80", 100, "a"), endpoint("10.0.0.2:80", 100, "a")},
		Unhealthy: []plan.Endpoint{endpoint("10.0.0.4:80", 100, "c"), endpoint("10.0.0.5:80", 100, "c")},
	}
}

// regions is an assignment over regions: dc2 serves beside this one, dc3 fails, dc4 drains, and one instance of dc2 has
// an address of ours.
func regions() *ir.Endpoints {
	of := func(region, addr string) plan.Endpoint {
		return plan.Endpoint{Instance: addr, Addr: netip.MustParseAddrPort(addr), Weight: 100, Region: region, Zone: "a"}
	}
	tier := func(n uint32, e ...plan.Endpoint) plan.Tier {
		return plan.Tier{Priority: n, Localities: []plan.Locality{{Region: e[0].Region, Zone: "a", Endpoints: e}}}
	}
	return &ir.Endpoints{
		Name:      "web",
		Tiers:     []plan.Tier{tier(0, of("dc1", "10.1.0.1:80")), tier(1, of("dc2", "10.2.0.1:80"), of("dc2", "10.1.0.1:80"))},
		Draining:  []plan.Endpoint{of("dc2", "10.2.0.9:80"), of("dc4", "10.4.0.9:80")},
		Unhealthy: []plan.Endpoint{of("dc1", "10.1.0.8:80"), of("dc3", "10.3.0.8:80"), of("dc4", "10.4.0.8:80")},
		Regions:   []string{"dc1", "dc2", "dc3", "dc4"},
	}
}

// table is a route table with every kind of host and a route that leads nowhere.
func table() ir.Table {
	return ir.Table{Hosts: []ir.Host{
		{Name: "*", Routes: []ir.Route{{Name: "all", Prefix: "/", Cluster: "web", Target: "web", Protocol: pb.Protocol_PROTOCOL_HTTP}}},
		{Name: "*.example.org", Routes: []ir.Route{{Name: "wild", Prefix: "/", Target: "nobody"}}},
		{Name: "shop.example", Routes: []ir.Route{
			{Name: "calls", Prefix: "/api/v1", Cluster: "api.prod.grpc", Target: "api.prod.grpc", Protocol: pb.Protocol_PROTOCOL_GRPC},
			{Name: "lost", Prefix: "/api", Cluster: "refused", Target: "refused", Protocol: pb.Protocol_PROTOCOL_HTTP},
			{Name: "shop", Prefix: "/", Cluster: "web", Target: "web", Protocol: pb.Protocol_PROTOCOL_HTTP},
		}},
	}}
}

func exists(cluster string) bool { return cluster != "refused" }

var (
	web  = ir.Cluster{Name: "web", Protocol: pb.Protocol_PROTOCOL_HTTP}
	api  = ir.Cluster{Name: "api.prod.grpc", Port: "grpc", Protocol: pb.Protocol_PROTOCOL_GRPC}
	data = ir.Cluster{Name: "data", Protocol: pb.Protocol_PROTOCOL_TCP}
)

// golden are all kinds of resources; each file in testdata is one.
func golden(t testing.TB) map[string]*Resource {
	t.Helper()
	all := map[string]*Resource{}
	take := func(name string) func(*Resource, error) {
		return func(r *Resource, err error) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all[name] = r
		}
	}
	listen := netip.MustParseAddrPort("127.0.0.1:10000")
	take("envoy-cluster-http")(EnvoyCluster(web))
	take("envoy-cluster-grpc")(EnvoyCluster(api))
	take("envoy-cluster-tcp")(EnvoyCluster(data))
	take("envoy-endpoints")(EnvoyEndpoints(zones()))
	take("envoy-endpoints-unhealthy-only")(EnvoyEndpoints(&ir.Endpoints{Name: "web", Unhealthy: zones().Unhealthy}))
	take("envoy-endpoints-regions")(EnvoyEndpoints(regions()))
	failing := regions()
	failing.Tiers = nil
	take("envoy-endpoints-regions-failing")(EnvoyEndpoints(failing))
	take("grpc-endpoints-regions")(GRPCEndpoints(regions()))
	take("envoy-listener-edge")(EnvoyListener(ir.RoleEdge, "default", listen))
	take("envoy-listener-sidecar")(EnvoyListener(ir.RoleSidecar, "prod", netip.MustParseAddrPort("[::1]:15001")))
	take("envoy-routes")(EnvoyRoutes(ir.RoleEdge, "default", table(), exists))
	take("envoy-routes-empty")(EnvoyRoutes(ir.RoleEdge, "default", ir.Table{}, exists))
	take("grpc-cluster")(GRPCCluster(web))
	take("grpc-endpoints")(GRPCEndpoints(zones()))
	take("grpc-listener")(GRPCListener(web))
	take("grpc-routes")(GRPCRoutes(web))
	take("no-endpoints")(NoEndpoints("nobody"))
	return all
}

// message decodes a resource from the bytes of its state-of-the-world field, by the real message.
func message(t testing.TB, r *Resource) proto.Message {
	t.Helper()
	var response discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(r.SotW, &response); err != nil {
		t.Fatal(err)
	}
	m, err := response.GetResources()[0].UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func toYAML(t testing.TB, m proto.Message) []byte {
	t.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	text, err = yaml.JSONToYAML(text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// compare checks bytes against a golden file.
func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; -update writes it anew. Got:\n%s", path, got)
	}
}

func TestGolden(t *testing.T) {
	for name, r := range golden(t) {
		compare(t, name+".yaml", toYAML(t, message(t, r)))
	}
}

// The bytes of the config source may never change: Envoy would fetch everything it refers to anew.
func TestConfigSource_BytesNeverChange(t *testing.T) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(configSource())
	if err != nil || string(b) != "\x30\x02\x1a\x00" {
		t.Errorf("config source is %x, %v", b, err)
	}
}

func TestResource_BothFieldsHoldTheSameMessage(t *testing.T) {
	for name, r := range golden(t) {
		var delta discoveryv3.DeltaDiscoveryResponse
		if err := proto.Unmarshal(r.Delta, &delta); err != nil || len(delta.GetResources()) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		got := delta.GetResources()[0]
		body, err := got.GetResource().UnmarshalNew()
		if err != nil || !proto.Equal(body, message(t, r)) {
			t.Errorf("%s: the delta field holds another message: %v", name, err)
		}
		version, ok := ParseVersion(got.GetVersion())
		if got.GetName() != r.Name || !ok || version != r.Version {
			t.Errorf("%s: name %q, version %q", name, got.GetName(), got.GetVersion())
		}
		if !bytes.HasSuffix(r.Delta, r.SotW) {
			t.Errorf("%s: the two fields do not share their bytes", name)
		}
	}
}

func TestVersion_IsThatOfTheContent(t *testing.T) {
	one, two := golden(t), golden(t)
	for name := range one {
		if one[name].Version != two[name].Version || !bytes.Equal(one[name].Delta, two[name].Delta) {
			t.Errorf("%s: the same input gave other bytes", name)
		}
	}
	http, err := EnvoyCluster(web)
	if err != nil {
		t.Fatal(err)
	}
	other, err := EnvoyCluster(ir.Cluster{Name: "web", Protocol: pb.Protocol_PROTOCOL_GRPC})
	if err != nil {
		t.Fatal(err)
	}
	if http.Version == other.Version {
		t.Error("other content has the same version")
	}
	for _, text := range []string{"", "1", "xyz", strings.Repeat("f", 17)} {
		if _, ok := ParseVersion(text); ok {
			t.Errorf("ParseVersion takes %q", text)
		}
	}
}

// many is an assignment with more tiers than priorities.
func many() *ir.Endpoints {
	e := &ir.Endpoints{Name: "web"}
	for n := range 200 {
		region, addr := "dc"+strconv.Itoa(n), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(n)}), 80)
		e.Tiers = append(e.Tiers, plan.Tier{Priority: uint32(n), Localities: []plan.Locality{{
			Region: region, Endpoints: []plan.Endpoint{{Addr: addr, Weight: 1, Region: region}},
		}}})
		e.Unhealthy = append(e.Unhealthy, plan.Endpoint{Addr: netip.AddrPortFrom(addr.Addr(), 81), Region: region + "x"})
	}
	return e
}

func TestEndpoints_AreWhatClientsAccept(t *testing.T) {
	for _, e := range []*ir.Endpoints{zones(), regions(), many()} {
		for _, build := range []func(*ir.Endpoints) (*Resource, error){EnvoyEndpoints, GRPCEndpoints} {
			r, err := build(e)
			if err != nil {
				t.Fatal(err)
			}
			requireAcceptable(t, message(t, r).(*endpointv3.ClusterLoadAssignment))
		}
	}
}

// requireAcceptable is what gRPC clients and Envoy refuse an assignment for.
func requireAcceptable(t *testing.T, a *endpointv3.ClusterLoadAssignment) {
	t.Helper()
	seen := map[string]bool{}
	next := uint32(0)
	for _, l := range a.GetEndpoints() {
		if l.GetPriority() > next || l.GetPriority() > maxPriority {
			t.Errorf("priority %d after %d", l.GetPriority(), next)
		}
		next = max(next, l.GetPriority()+1)
		if l.GetLoadBalancingWeight().GetValue() < 1 || l.GetLocality() == nil || len(l.GetLbEndpoints()) == 0 {
			t.Errorf("locality %v", l)
		}
		if name := l.GetLocality().String() + strconv.Itoa(int(l.GetPriority())); seen[name] {
			t.Errorf("locality %s twice", name)
		} else {
			seen[name] = true
		}
		for _, ep := range l.GetLbEndpoints() {
			addr := ep.GetEndpoint().GetAddress().String()
			if seen[addr] || ep.GetLoadBalancingWeight().GetValue() < 1 {
				t.Errorf("endpoint %v, seen %v", ep, seen[addr])
			}
			seen[addr] = true
		}
	}
}

func TestInvalidResourcesAreRefused(t *testing.T) {
	if _, err := EnvoyCluster(ir.Cluster{}); err == nil {
		t.Error("a cluster without a name")
	}
	if _, err := NoEndpoints(""); err == nil {
		t.Error("an assignment without a name")
	}
	bad := ir.Table{Hosts: []ir.Host{{Name: "a\nb", Routes: []ir.Route{{Prefix: "/", Target: "x"}}}}}
	if _, err := EnvoyRoutes(ir.RoleEdge, "default", bad, exists); err == nil {
		t.Error("a host with a line break")
	}
}

func TestTypes(t *testing.T) {
	for typ := range Type(Types) {
		if got, ok := TypeOf(typ.URL()); !ok || got != typ || typ.String() == "" {
			t.Errorf("%v: %v, %v", typ, got, ok)
		}
	}
	if _, ok := TypeOf("type.googleapis.com/envoy.service.runtime.v3.Runtime"); ok {
		t.Error("a type that does not exist was found")
	}
}

// BenchmarkEndpoints is what a change of one endpoint of a large service costs to write.
func BenchmarkEndpoints(b *testing.B) {
	for _, n := range []int{5, 100, 1000} {
		e := &ir.Endpoints{Name: "web", Tiers: []plan.Tier{{Localities: []plan.Locality{{Region: "dc1", Zone: "a"}}}}}
		l := &e.Tiers[0].Localities[0]
		for i := range n {
			l.Endpoints = append(l.Endpoints, plan.Endpoint{
				Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 80), Weight: 100, Region: "dc1", Zone: "a",
			})
		}
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			for b.Loop() {
				if _, err := EnvoyEndpoints(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
