package plan

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/registry"
)

const (
	passing = pb.Health_HEALTH_PASSING
	warning = pb.Health_HEALTH_WARNING
	down    = pb.Health_HEALTH_CRITICAL
	unknown = pb.Health_HEALTH_UNSPECIFIED
)

// instance is one instance of the service web; it has a check where health says so.
type instance struct {
	id, address, zone string
	port, weight      uint32
	admin             uint32 // the named port
	tags              []string
	health            *pb.Health // nil: no check; unknown: not checked yet
	scope             uint32     // 0: this region
	draining          bool
	output            string
}

func health(h pb.Health) *pb.Health { return &h }

// view builds a view with the service web. Weight 0 and others go in as they are: the planner must stand them.
func view(t interface{ Fatal(...any) }, definition *pb.Service, all ...instance) *registry.View {
	var records []record.Record
	add := func(k record.Key, m proto.Message, flags uint64) {
		value, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		r := record.Record{
			Key: k, Value: value, CreateRevision: 2, ModifyRevision: uint64(len(records) + 2), Version: 1,
			Attributes: record.Attributes{Flags: flags},
		}
		if k.Scope > record.ScopeRegion {
			r.Origin = record.Origin{Home: [16]byte{byte(k.Scope)}, HomeRevision: 1000 + r.ModifyRevision}
		}
		records = append(records, r)
	}
	data := func(kind record.Kind, scope uint32, name string) record.Key {
		return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: kind, Scope: scope, Name: name}
	}
	add(record.Key{Kind: record.KindTenant, Name: "default"}, &pb.Tenant{}, 1)
	add(record.Key{Tenant: 1, Kind: record.KindNamespace, Name: "default"}, &pb.Namespace{}, 1)
	// The order of names is not that of aliases.
	for n, name := range []string{"dc9", "dc2", "dc3"} {
		alias := byte(n + 2)
		add(registry.RegionRecordKey([16]byte{alias}), &pb.Region{Name: name, Aliases: []string{"old-" + name}}, uint64(alias))
	}
	if definition != nil {
		add(data(record.KindService, record.ScopePlaced, "web"), definition, 0)
	}
	for _, i := range all {
		p := &pb.Instance{
			Address: i.address, Port: i.port, Zone: i.zone, Weight: i.weight, Tags: i.tags, Draining: i.draining,
		}
		if i.admin != 0 {
			p.Ports = map[string]uint32{"admin": i.admin}
		}
		scope := max(i.scope, record.ScopeRegion)
		add(data(record.KindInstance, scope, "web/"+i.id), p, 0)
		if i.health == nil {
			continue
		}
		name := "web/" + i.id + "/http"
		add(data(record.KindCheck, scope, name), &pb.Check{Type: pb.CheckType_CHECK_TYPE_HTTP}, 0)
		if *i.health != unknown {
			add(data(record.KindCheckStatus, scope, name), &pb.CheckStatus{Health: *i.health, Output: i.output}, 0)
		}
	}
	return registry.Build("dc1", record.Positions{System: 9, Data: 9}, slices.Values(records))
}

var web = registry.ServiceOf("", "", "web")

// text writes a plan down for comparison.
func text(p Plan) string {
	var b strings.Builder
	endpoint := func(e Endpoint) string { return fmt.Sprintf("%s=%v*%d", e.Instance, e.Addr, e.Weight) }
	for _, tier := range p.Tiers {
		fmt.Fprintf(&b, "tier %d", tier.Priority)
		if tier.LastKnown {
			b.WriteString(" last known")
		}
		b.WriteByte('\n')
		for _, l := range tier.Localities {
			fmt.Fprintf(&b, "  %s/%s*%d:", l.Region, l.Zone, l.Weight)
			for _, e := range l.Endpoints {
				b.WriteString(" " + endpoint(e))
			}
			b.WriteByte('\n')
		}
	}
	for _, e := range p.Draining {
		fmt.Fprintf(&b, "draining %s\n", endpoint(e))
	}
	for _, x := range p.Excluded {
		fmt.Fprintf(&b, "excluded %s: %s\n", x.Endpoint.Instance, x.Reason)
	}
	return b.String() + p.Rule + "\n"
}

func TestFor(t *testing.T) {
	all := []instance{
		{id: "a", address: "10.0.0.1", port: 80, zone: "z2", weight: 100},
		{id: "b", address: "10.0.0.2", port: 80, zone: "z1", weight: 50, health: health(passing), tags: []string{"v1"}},
		{id: "c", address: "10.0.0.3", port: 80, zone: "z1", weight: 100, health: health(warning), admin: 9000},
		{id: "d", address: "10.0.0.4", port: 80, health: health(down), output: "connection refused"},
		{id: "e", address: "10.0.0.5", port: 80, health: health(unknown)},
		{id: "f", address: "10.0.0.6", port: 80, draining: true, weight: 100},
		{id: "g", address: "10.0.0.2", port: 80, weight: 100},
		{id: "h", address: "10.0.0.3", port: 80, weight: 100, draining: true},
		{id: "i", address: "10.0.0.7", port: 80, weight: 100, draining: true, health: health(down)},
	}
	const excluded = "excluded d: check \"http\" is critical: connection refused\n" +
		"excluded e: check \"http\": not checked yet\n" +
		"excluded g: instance \"b\" has the same address\n" +
		"excluded h: instance \"c\" has the same address\n" +
		"excluded i: check \"http\" is critical\n"
	tests := []struct {
		name   string
		client Client
		query  Query
		want   string
	}{
		{
			"no zone",
			Client{},
			Query{},
			"tier 0\n  dc1/z1*150: b=10.0.0.2:80*50 c=10.0.0.3:80*100\n  dc1/z2*100: a=10.0.0.1:80*100\n" +
				"draining f=10.0.0.6:80*100\n" + excluded + "local: 3 of 9 instances in region \"dc1\"\n",
		},
		{
			"own zone first",
			Client{Region: "dc1", Zone: "z2"},
			Query{},
			"tier 0\n  dc1/z2*100: a=10.0.0.1:80*100\n  dc1/z1*150: b=10.0.0.2:80*50 c=10.0.0.3:80*100\n" +
				"draining f=10.0.0.6:80*100\n" + excluded + "local: 3 of 9 instances in region \"dc1\"\n",
		},
		{
			"a zone of that name elsewhere",
			Client{Region: "dc2", Zone: "z2"},
			Query{},
			"tier 0\n  dc1/z1*150: b=10.0.0.2:80*50 c=10.0.0.3:80*100\n  dc1/z2*100: a=10.0.0.1:80*100\n" +
				"draining f=10.0.0.6:80*100\n" + excluded + "local: 3 of 9 instances in region \"dc1\"\n",
		},
		{
			"tag",
			Client{},
			Query{Tag: "v1"},
			"tier 0\n  dc1/z1*50: b=10.0.0.2:80*50\n" + strings.Join([]string{
				"excluded a: it does not have the tag \"v1\"", "excluded c: it does not have the tag \"v1\"",
				"excluded d: it does not have the tag \"v1\"", "excluded e: it does not have the tag \"v1\"",
				"excluded f: it does not have the tag \"v1\"", "excluded g: it does not have the tag \"v1\"",
				"excluded h: it does not have the tag \"v1\"", "excluded i: it does not have the tag \"v1\"",
			}, "\n") + "\nlocal: 1 of 9 instances in region \"dc1\"\n",
		},
		{
			"port",
			Client{},
			Query{Port: "admin"},
			"tier 0\n  dc1/z1*100: c=10.0.0.3:9000*100\n" + strings.Join([]string{
				"excluded a: it has no port \"admin\"", "excluded b: it has no port \"admin\"", "excluded d: it has no port \"admin\"",
				"excluded e: it has no port \"admin\"", "excluded f: it has no port \"admin\"", "excluded g: it has no port \"admin\"",
				"excluded h: it has no port \"admin\"", "excluded i: it has no port \"admin\"",
			}, "\n") + "\nlocal: 1 of 9 instances in region \"dc1\"\n",
		},
	}
	v := view(t, nil, all...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.query.Service = web
			p, ok := For(v, nil, tt.client, tt.query)
			if got := text(p); !ok || got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			if p.Query != tt.query || p.Protocol != pb.Protocol_PROTOCOL_HTTP || p.Revision == 0 {
				t.Errorf("plan of %+v, protocol %v, revision %d", p.Query, p.Protocol, p.Revision)
			}
		})
	}
}

func TestFor_NothingThere(t *testing.T) {
	v := view(t, &pb.Service{Protocol: pb.Protocol_PROTOCOL_GRPC, Ports: []*pb.Port{{Name: "admin", Protocol: pb.Protocol_PROTOCOL_TCP}}})
	p, ok := For(v, nil, Client{}, Query{Service: web})
	if !ok || p.Tiers != nil || p.Protocol != pb.Protocol_PROTOCOL_GRPC || p.Rule != `local: the service has no instance in region "dc1"` {
		t.Errorf("%v %+v", ok, p)
	}
	if p, ok = For(v, nil, Client{}, Query{Service: web, Port: "admin"}); !ok || p.Protocol != pb.Protocol_PROTOCOL_TCP {
		t.Errorf("named port: %v %+v", ok, p)
	}
	if _, ok = For(v, nil, Client{}, Query{Service: web, Port: "other"}); ok {
		t.Error("a port that nobody has")
	}
	if _, ok = For(v, nil, Client{}, Query{Service: registry.ServiceOf("", "", "db")}); ok {
		t.Error("a service that does not exist")
	}
	sick := view(t, nil, instance{id: "a", address: "10.0.0.1", port: 80, health: health(down)})
	p, ok = For(sick, nil, Client{}, Query{Service: web})
	const nobody = `local: none of 1 instances in region "dc1" is healthy and stays; `
	if !ok || len(p.Tiers) != 1 || !p.LastKnown() || p.Rule != nobody+"those last known get the requests, since it is not fail-closed" {
		t.Errorf("%v %+v", ok, p)
	}
	closed := view(t, &pb.Service{FailClosed: true}, instance{id: "a", address: "10.0.0.1", port: 80, health: health(down)})
	p, ok = For(closed, nil, Client{}, Query{Service: web})
	if !ok || len(p.Tiers) != 0 || len(p.Excluded) != 1 || p.LastKnown() || p.Rule != nobody+"it is fail-closed: nobody gets requests" {
		t.Errorf("fail-closed: %v %+v", ok, p)
	}
}

// TestFor_Properties checks the invariants of the package over random services.
func TestFor_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []instance
		for n := range rapid.IntRange(0, 12).Draw(t, "instances") {
			i := instance{
				id:      fmt.Sprintf("i%02d", n),
				address: fmt.Sprintf("10.0.0.%d", rapid.IntRange(1, 9).Draw(t, "address")),
				port:    uint32(rapid.IntRange(80, 81).Draw(t, "port")),
				zone:    rapid.SampledFrom([]string{"", "z1", "z2", "z3"}).Draw(t, "zone"),
				weight:  rapid.SampledFrom([]uint32{0, 1, 100, 65535}).Draw(t, "weight"),
				admin:   rapid.SampledFrom([]uint32{0, 9000}).Draw(t, "admin"),
				tags:    rapid.SampledFrom([][]string{nil, {"v1"}}).Draw(t, "tags"),
				health:  rapid.SampledFrom([]*pb.Health{nil, health(passing), health(warning), health(down), health(unknown)}).Draw(t, "health"),
			}
			i.draining = rapid.Bool().Draw(t, "draining")
			i.scope = uint32(rapid.IntRange(1, 3).Draw(t, "scope"))
			if n%3 == 0 {
				i.id = fmt.Sprintf("same%d", n/9) // two regions may use one id
			}
			if !slices.ContainsFunc(all, func(o instance) bool { return o.id == i.id && o.scope == i.scope }) {
				all = append(all, i)
			}
		}
		closed := rapid.Bool().Draw(t, "fail-closed")
		v := view(t, &pb.Service{FailClosed: closed}, all...)
		reach := drawReach(t)
		c := Client{Region: "dc1", Zone: rapid.SampledFrom([]string{"", "z1", "z9"}).Draw(t, "client zone")}
		q := Query{
			Service: web, Tag: rapid.SampledFrom([]string{"", "v1"}).Draw(t, "tag"),
			Port:       rapid.SampledFrom([]string{"", "admin"}).Draw(t, "port name"),
			Region:     rapid.SampledFrom([]string{"", "", "dc1", "dc2", "old-dc9", "dc3"}).Draw(t, "region"),
			AllRegions: rapid.Bool().Draw(t, "all regions"),
		}
		p, ok := For(v, reach, c, q)
		if !ok {
			if q.Port == "" || slices.ContainsFunc(all, func(i instance) bool { return i.admin != 0 }) {
				t.Fatalf("no plan for %+v", q)
			}
			return
		}
		requireInvariants(t, p, all, c, reach)
		if closed && p.LastKnown() {
			t.Fatalf("fail-closed:\n%s", text(p))
		}
		if unordered, _ := For(v, nil, c, q); !claimedTwice(all) {
			requireSameEndpoints(t, p, unordered)
		}
		if again, _ := For(v, reach, c, q); !reflect.DeepEqual(p, again) {
			t.Fatalf("two plans:\n%s%s", text(p), text(again))
		}
	})
}

// named is an instance of a region.
type named struct {
	scope uint32
	id    string
}

// regionOf gives the names of the regions in view.
var regionOf = map[uint32]string{1: "dc1", 2: "dc9", 3: "dc2", 4: "dc3"}

// peerOf are the same as an order needs them.
var peerOf = map[string]Peer{
	"dc1": {Alias: 1, Name: "dc1"}, "dc9": {Alias: 2, ID: [16]byte{2}, Name: "dc9"},
	"dc2": {Alias: 3, ID: [16]byte{3}, Name: "dc2"}, "dc3": {Alias: 4, ID: [16]byte{4}, Name: "dc3"},
}

// drawReach draws what is known of the regions, with holes.
func drawReach(t *rapid.T) *Reach {
	if rapid.IntRange(0, 3).Draw(t, "reach") == 0 {
		return nil
	}
	r := &Reach{Island: rapid.IntRange(0, 3).Draw(t, "island") == 0}
	for id := byte(2); id <= 4; id++ {
		if rapid.Bool().Draw(t, "known") {
			r.Regions = append(r.Regions, RegionReach{
				ID: [16]byte{id}, State: State(rapid.IntRange(0, 2).Draw(t, "state")), Cost: time.Duration(rapid.IntRange(-1, 2).Draw(t, "cost")),
			})
		}
	}
	return r
}

// claimedTwice reports whether two regions have the same address.
func claimedTwice(all []instance) bool {
	regions := map[string]uint32{}
	for _, i := range all {
		if scope, ok := regions[i.address]; ok && scope != i.scope {
			return true
		}
		regions[i.address] = i.scope
	}
	return false
}

// requireSameEndpoints checks that what is known of regions takes no address away and adds none (I7).
func requireSameEndpoints(t *rapid.T, a, b Plan) {
	addresses := func(p Plan) (out []string) {
		for _, tier := range p.Tiers {
			for _, l := range tier.Localities {
				for _, e := range l.Endpoints {
					out = append(out, e.Addr.String())
				}
			}
		}
		slices.Sort(out)
		return out
	}
	if x, y := addresses(a), addresses(b); !slices.Equal(x, y) {
		t.Fatalf("%v, and without what is known %v", x, y)
	}
}

func requireInvariants(t *rapid.T, p Plan, all []instance, c Client, reach *Reach) {
	place := map[named]int{}
	serving := map[netip.AddrPort]Endpoint{}
	last := ""
	for n, tier := range p.Tiers {
		if len(tier.Localities) == 0 || tier.Priority != uint32(n) {
			t.Fatalf("tier %d:\n%s", n, text(p))
		}
		region := tier.Localities[0].Region
		if n > 0 && (region == "dc1" || reach.Compare(peerOf[last], peerOf[region]) >= 0) {
			t.Fatalf("%s after %s by %+v:\n%s", region, last, reach, text(p))
		}
		if tier.LastKnown != p.Tiers[0].LastKnown {
			t.Fatalf("tier %d differs from the first:\n%s", n, text(p))
		}
		last = region
		requireTier(t, p, tier, c, serving, place)
	}
	for _, e := range p.Draining {
		place[named{e.Scope, e.Instance}]++
		if _, serves := serving[e.Addr]; !e.Draining || serves {
			t.Fatalf("endpoint %+v among the draining", e)
		}
	}
	for _, x := range p.Excluded {
		place[named{x.Endpoint.Scope, x.Endpoint.Instance}]++
		if x.Reason == "" {
			t.Fatalf("%+v is excluded without a reason", x)
		}
	}
	for _, i := range all {
		if place[named{i.scope, i.id}] != 1 {
			t.Fatalf("instance %s of %d occurs %d times:\n%s", i.id, i.scope, place[named{i.scope, i.id}], text(p))
		}
	}
	if len(place) != len(all) {
		t.Fatalf("%d instances in a plan of %d", len(place), len(all))
	}
	requireServed(t, p, all, serving, reach)
}

func requireTier(t *rapid.T, p Plan, tier Tier, c Client, serving map[netip.AddrPort]Endpoint, place map[named]int) {
	for n, l := range tier.Localities {
		sum := uint32(0)
		for _, e := range l.Endpoints {
			place[named{e.Scope, e.Instance}]++
			sum += e.Weight
			if e.Weight < 1 || e.Draining || (e.Health == passing || e.Health == warning) == tier.LastKnown || e.Zone != l.Zone || e.Addr.Port() == 0 ||
				e.Region != l.Region || e.Region != tier.Localities[0].Region || e.Region != regionOf[e.Scope] || e.Revision == 0 {
				t.Fatalf("endpoint %+v in the tiers", e)
			}
			if other, twice := serving[e.Addr]; twice {
				t.Fatalf("%s and %s are both %v", other.Instance, e.Instance, e.Addr)
			}
			serving[e.Addr] = e
		}
		if sum != l.Weight || len(l.Endpoints) == 0 || (n > 0 && l.Zone == c.Zone && l.Region == "dc1") {
			t.Fatalf("locality %+v at %d:\n%s", l, n, text(p))
		}
	}
}

// requireServed checks that whoever is healthy, stays and is asked for serves, unless another serves its address, or a
// nearer region has it.
func requireServed(t *rapid.T, p Plan, all []instance, serving map[netip.AddrPort]Endpoint, reach *Reach) {
	only := strings.TrimPrefix(p.Query.Region, "old-")
	for _, i := range all {
		healthy := i.health == nil || *i.health == passing || *i.health == warning
		addr := netip.AddrPortFrom(netip.MustParseAddr(i.address), uint16(i.port))
		nearer := func(o instance) bool {
			return o.address == i.address && o.port == i.port && reach.Compare(peerOf[regionOf[o.scope]], peerOf[regionOf[i.scope]]) < 0
		}
		switch e, served := serving[addr]; {
		case p.Query.Port != "" || p.Query.Tag != "":
		case only != "" && regionOf[i.scope] != only:
			if served && e.Scope == i.scope {
				t.Fatalf("%s is not of region %s", i.id, only)
			}
		case only == "" && slices.ContainsFunc(all, nearer):
			if served && e.Scope == i.scope {
				t.Fatalf("%s of %d has the address of a nearer region:\n%s", i.id, i.scope, text(p))
			}
		case healthy && !i.draining && !served:
			t.Fatalf("nobody serves the address of %s:\n%s", i.id, text(p))
		}
	}
}

func BenchmarkFor(b *testing.B) {
	var all []instance
	for n := range 100 {
		all = append(all, instance{id: fmt.Sprintf("i%02d", n), address: fmt.Sprintf("10.0.0.%d", n+1), port: 80, zone: fmt.Sprint(n % 3)})
	}
	v := view(b, nil, all...)
	b.ReportAllocs()
	for b.Loop() {
		For(v, nil, Client{Zone: "1"}, Query{Service: web})
	}
}
