package dns

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	mdns "github.com/miekg/dns"
	"go.opentelemetry.io/otel/metric/noop"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// share is the part of a tier's requests that an address gets.
type share struct {
	tier uint32
	addr string
	part float64
}

func sortShares(all []share) []share {
	slices.SortFunc(all, func(a, b share) int {
		if a.tier != b.tier {
			return int(a.tier) - int(b.tier)
		}
		if a.addr < b.addr {
			return -1
		}
		return 1
	})
	return all
}

// planShares are what the plan says.
func planShares(p plan.Plan) []share {
	var all []share
	for _, tier := range p.Tiers {
		total := 0.0
		for e := range endpoints(tier) {
			total += float64(e.Weight)
		}
		for e := range endpoints(tier) {
			all = append(all, share{tier.Priority, e.Addr.String(), float64(e.Weight) / total})
		}
	}
	return sortShares(all)
}

// xdsShares are what a client makes of an assignment: Envoy goes by the weights of endpoints within a priority, gRPC by
// those of localities, and within one evenly.
func xdsShares(t *rapid.T, r *resources.Resource, err error, envoy bool) []share {
	if err != nil {
		t.Fatal(err)
	}
	var response discoveryv3.DiscoveryResponse
	var a endpointv3.ClusterLoadAssignment
	if err := proto.Unmarshal(r.SotW, &response); err != nil {
		t.Fatal(err)
	}
	if err := response.GetResources()[0].UnmarshalTo(&a); err != nil {
		t.Fatal(err)
	}
	var all []share
	next := uint32(0)
	seen := map[string]bool{}
	totals := map[uint32]float64{}
	for _, l := range a.GetEndpoints() {
		if l.GetPriority() > next {
			t.Fatalf("priority %d where %d comes next", l.GetPriority(), next)
		}
		next = max(next, l.GetPriority()+1)
		name := fmt.Sprint(l.GetPriority(), l.GetLocality())
		if seen[name] || l.GetLoadBalancingWeight().GetValue() < 1 || l.GetLocality() == nil {
			t.Fatalf("locality %v, seen %v", l, seen[name])
		}
		seen[name] = true
		for _, e := range l.GetLbEndpoints() {
			addr := e.GetEndpoint().GetAddress().GetSocketAddress()
			text := fmt.Sprintf("%s:%d", addr.GetAddress(), addr.GetPortValue())
			if seen[text] || e.GetLoadBalancingWeight().GetValue() < 1 {
				t.Fatalf("endpoint %v, seen %v", e, seen[text])
			}
			seen[text] = true
			if e.GetHealthStatus() != corev3.HealthStatus_HEALTHY {
				if !envoy {
					t.Fatalf("a gRPC client gets %v", e)
				}
				continue
			}
			part := float64(e.GetLoadBalancingWeight().GetValue())
			if !envoy {
				part = float64(l.GetLoadBalancingWeight().GetValue()) / float64(len(l.GetLbEndpoints()))
			}
			totals[l.GetPriority()] += part
			all = append(all, share{l.GetPriority(), text, part})
		}
	}
	for n := range all {
		all[n].part /= totals[all[n].tier]
	}
	return sortShares(all)
}

// srvShares are what a client makes of SRV records, by RFC 2782.
func srvShares(m *mdns.Msg) []share {
	hosts := map[string]string{}
	for _, rr := range m.Extra {
		if a, ok := rr.(*mdns.A); ok {
			hosts[a.Hdr.Name] = a.A.String()
		}
	}
	totals := map[uint32]float64{}
	var all []share
	for _, rr := range m.Answer {
		srv := rr.(*mdns.SRV)
		totals[uint32(srv.Priority)] += float64(srv.Weight)
		all = append(all, share{uint32(srv.Priority), fmt.Sprintf("%s:%d", hosts[srv.Target], srv.Port), float64(srv.Weight)})
	}
	for n := range all {
		all[n].part /= totals[all[n].tier]
	}
	return sortShares(all)
}

func equalShares(a, b []share) bool {
	return slices.EqualFunc(a, b, func(x, y share) bool {
		return x.tier == y.tier && x.addr == y.addr && math.Abs(x.part-y.part) < 1e-9
	})
}

// What Envoy, gRPC clients and DNS clients are told comes to the same: the tiers of the plan, and the shares within
// each. What is compared is read back from the bytes of each.
func TestWriters_Agree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, reach := drawView(t), drawReach(t)
		p, ok := plan.For(v, reach, plan.Client{Region: "dc1"}, plan.Query{Service: registry.ServiceOf("", "", "web")})
		if !ok {
			t.Skip("SKIP: no instance was drawn")
		}
		want := planShares(p)
		mesh := ir.New("default", "dc1")
		mesh.Step(v, reach, registry.Changes{All: true})
		envoy, err := resources.EnvoyEndpoints(mesh.Endpoints("web"))
		if got := xdsShares(t, envoy, err, true); !equalShares(got, want) {
			t.Fatalf("Envoy: %v, the plan %v", got, want)
		}
		grpc, err := resources.GRPCEndpoints(mesh.Endpoints("web"))
		if got := xdsShares(t, grpc, err, false); !equalShares(got, want) {
			t.Fatalf("gRPC: %v, the plan %v", got, want)
		}
		requireDNS(t, v, reach, p, want)
	})
}

func requireDNS(t *rapid.T, v *registry.View, reach *plan.Reach, p plan.Plan, want []share) {
	r := &responder{
		view: func() *registry.View { return v }, reach: func() *plan.Reach { return reach }, tenant: "default",
		build: builder{client: plan.Client{Region: "dc1"}, ttl: 30}, cache: newCache(), metrics: newMetrics(noop.Meter{}),
	}
	z, err := newZone("domain", "sc.internal")
	if err != nil {
		t.Fatal(err)
	}
	r.zones = []zone{z}
	ask := func(kind uint16) *mdns.Msg {
		q := question("web.service.sc.internal.", kind)
		q.SetEdns0(1232, false)
		packet, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m mdns.Msg
		if err := m.Unpack(r.answer(newScratch(), packet, viaTCP)); err != nil {
			t.Fatal(err)
		}
		return &m
	}
	m := ask(mdns.TypeSRV)
	if got := srvShares(m); !equalShares(got, want) {
		t.Fatalf("DNS: %v, the plan %v", got, want)
	}
	if marked := stale(m) == int(mdns.ExtendedErrorCodeStaleAnswer); marked != p.LastKnown() {
		t.Fatalf("marked as stale: %v, last known: %v", marked, p.LastKnown())
	}
	moving := p.LastKnown()
	for _, at := range p.Regions {
		moving = moving || at.Serving > 0 && at.Reach.State != plan.StateUp
	}
	for _, rr := range m.Answer {
		if ttl := rr.Header().Ttl; ttl != map[bool]uint32{true: passingTTL, false: 30}[moving] {
			t.Fatalf("TTL %d of a plan that may soon change: %v", ttl, moving)
		}
	}
	first := map[string]bool{}
	for _, rr := range ask(mdns.TypeA).Answer {
		first[rr.(*mdns.A).A.String()] = true
	}
	for _, s := range want {
		host := s.addr[:len(s.addr)-3]
		if s.tier == 0 && !first[host] {
			t.Fatalf("A records %v lack %s of the first tier", first, host)
		}
		if s.tier > 0 && first[host] {
			t.Fatalf("A records %v have %s of tier %d", first, host, s.tier)
		}
	}
}

// drawView draws a service over four regions. Each host has one port, so that A records tell instances apart.
func drawView(t *rapid.T) *registry.View {
	var records []record.Record
	add := func(k record.Key, m proto.Message, flags uint64) {
		value, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		r := record.Record{Key: k, Value: value, CreateRevision: 2, ModifyRevision: uint64(len(records) + 2), Version: 1, Attributes: record.Attributes{Flags: flags}}
		if k.Scope > record.ScopeRegion {
			r.Origin = record.Origin{Home: [16]byte{byte(k.Scope)}, HomeRevision: 7}
		}
		records = append(records, r)
	}
	add(record.Key{Kind: record.KindTenant, Name: "default"}, &pb.Tenant{}, 1)
	add(record.Key{Tenant: 1, Kind: record.KindNamespace, Name: "default"}, &pb.Namespace{}, 1)
	data := func(kind record.Kind, scope uint32, name string) record.Key {
		return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: kind, Scope: scope, Name: name}
	}
	add(data(record.KindService, record.ScopePlaced, "web"), &pb.Service{FailClosed: rapid.Bool().Draw(t, "fail-closed")}, 0)
	for alias := byte(2); alias <= 4; alias++ {
		add(registry.RegionRecordKey([16]byte{alias}), &pb.Region{Name: fmt.Sprintf("dc%d", 10-alias)}, uint64(alias))
	}
	for n := range rapid.IntRange(0, 12).Draw(t, "instances") {
		scope := uint32(rapid.IntRange(1, 4).Draw(t, "scope"))
		name := fmt.Sprintf("web/i%02d", n)
		add(data(record.KindInstance, scope, name), &pb.Instance{
			Address: fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 20).Draw(t, "host")), Port: 80, Draining: rapid.IntRange(0, 4).Draw(t, "draining") == 0,
			Zone:   rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone"),
			Weight: rapid.SampledFrom([]uint32{1, 7, 100, 100, 65535}).Draw(t, "weight"),
		}, 0)
		if rapid.Bool().Draw(t, "checked") {
			add(data(record.KindCheck, scope, name+"/tcp"), &pb.Check{Type: pb.CheckType_CHECK_TYPE_TCP}, 0)
			add(data(record.KindCheckStatus, scope, name+"/tcp"), &pb.CheckStatus{Health: pb.Health(rapid.IntRange(1, 3).Draw(t, "health"))}, 0)
		}
	}
	return registry.Build("dc1", record.Positions{System: 9, Data: 99}, slices.Values(records))
}

func drawReach(t *rapid.T) *plan.Reach {
	r := &plan.Reach{Island: rapid.IntRange(0, 4).Draw(t, "island") == 0}
	for alias := byte(2); alias <= 4; alias++ {
		if rapid.Bool().Draw(t, "known") {
			r.Regions = append(r.Regions, plan.RegionReach{
				ID: [16]byte{alias}, State: plan.State(rapid.IntRange(0, 2).Draw(t, "state")), Cost: time.Duration(rapid.IntRange(-1, 3).Draw(t, "cost")),
			})
		}
	}
	return r
}
