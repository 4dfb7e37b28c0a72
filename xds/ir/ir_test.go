package ir

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/registry"
)

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// fixture is a registry that is written with records.
type fixture struct {
	t        failer
	view     *registry.View
	changes  registry.Changes
	revision uint64
	reach    *plan.Reach
}

func newFixture(t failer) *fixture {
	f := &fixture{t: t, view: registry.Empty("dc1")}
	f.put(record.Key{Kind: record.KindTenant, Name: "default"}, 1, &pb.Tenant{Name: "default"})
	f.put(record.Key{Kind: record.KindNamespace, Tenant: 1, Name: "default"}, 1, &pb.Namespace{Name: "default"})
	f.put(record.Key{Kind: record.KindNamespace, Tenant: 1, Name: "prod"}, 2, &pb.Namespace{Name: "prod"})
	return f
}

func (f *fixture) put(k record.Key, id uint64, m proto.Message) {
	value, err := proto.Marshal(m)
	if err != nil {
		f.t.Fatalf("marshal: %v", err)
	}
	f.commit(record.Event{Type: record.EventPut, Record: record.Record{Key: k, Value: value, Attributes: record.Attributes{Flags: id}}})
}

func (f *fixture) commit(events ...record.Event) {
	f.revision++
	for i := range events {
		rec := &events[i].Record
		rec.CreateRevision, rec.ModifyRevision, rec.Version = f.revision, f.revision, 1
	}
	var c registry.Changes
	f.view, c = f.view.Next([]record.Commit{{
		Position: record.Position{Shard: events[0].Record.Key.Shard, Revision: f.revision}, Events: events,
	}})
	f.changes.Merge(c)
}

// do applies what an operation of the registry writes.
func (f *fixture) do(op record.Op, err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatalf("write: %v", err)
	}
	var events []record.Event
	for _, o := range op.Txn.Then {
		switch o.Type {
		case record.TxnPut:
			events = append(events, record.Event{Type: record.EventPut, Record: record.Record{Key: o.Key, Value: o.Value}})
		case record.TxnDelete:
			events = append(events, record.Event{Type: record.EventDelete, Record: record.Record{Key: o.Key, Deleted: true}})
		}
	}
	f.commit(events...)
}

func (f *fixture) instance(namespace, service string, port uint32) {
	f.t.Helper()
	op, _, err := registry.RegisterOp(f.view, &pb.Instance{
		Namespace: namespace, Service: service, Id: fmt.Sprint(port), Address: "10.0.0.1", Port: port,
	}, registry.Write{})
	f.do(op, err)
}

func (f *fixture) leave(namespace, service string, port uint32) {
	f.t.Helper()
	op, err := registry.DeregisterOp(f.view, registry.ServiceOf("", namespace, service).Instance(fmt.Sprint(port)), registry.Write{})
	f.do(op, err)
}

func (f *fixture) define(s *pb.Service) {
	f.t.Helper()
	op, _, err := registry.PutServiceOp(f.view, s, 0, registry.Write{})
	f.do(op, err)
}

func (f *fixture) route(r *pb.Route) {
	f.t.Helper()
	op, _, err := registry.PutRouteOp(f.view, r, 0, registry.Write{})
	f.do(op, err)
}

// step takes a mesh to the view, and plans what it owes then in parts.
func (f *fixture) step(m *Mesh) Diff {
	d := f.stepOnly(m)
	for m.Owes() {
		part := m.Settle(f.view, 7)
		d.Endpoints, d.Planned = append(d.Endpoints, part.Endpoints...), d.Planned+part.Planned
		if part.Planned > 7 || part.Planned == 0 {
			f.t.Fatalf("a part of 7 services planned %d", part.Planned)
		}
	}
	return d
}

func (f *fixture) stepOnly(m *Mesh) Diff {
	c := f.changes
	f.changes = registry.Changes{}
	return m.Step(f.view, f.reach, c)
}

func (f *fixture) built() *Mesh {
	m := New("default", "dc1")
	f.changes = registry.Changes{}
	m.Step(f.view, f.reach, registry.Changes{All: true})
	return m
}

// text writes a table down, one route a line.
func text(t Table) string {
	var b strings.Builder
	for _, h := range t.Hosts {
		for _, r := range h.Routes {
			cluster := r.Cluster
			if cluster == "" {
				cluster = "!" + r.Target
			}
			fmt.Fprintf(&b, "%s%s %s\n", h.Name, r.Prefix, cluster)
		}
	}
	return b.String()
}

func TestName(t *testing.T) {
	tests := []struct{ service, namespace, port, name string }{
		{"web", "default", "", "web"},
		{"web", "prod", "", "web.prod"},
		{"web", "default", "admin", "web.default.admin"},
		{"web", "prod", "admin", "web.prod.admin"},
	}
	for _, tt := range tests {
		if got := Name(tt.service, tt.namespace, tt.port); got != tt.name {
			t.Errorf("Name(%v) = %q", tt, got)
		}
		service, namespace, port, ok := ParseName(tt.name)
		if !ok || service != tt.service || namespace != tt.namespace || port != tt.port {
			t.Errorf("ParseName(%q) = %q %q %q %v", tt.name, service, namespace, port, ok)
		}
	}
	for _, name := range []string{"", ".", "web.", ".prod", "web.default", "web.prod.", "web.prod.admin.more", "web..admin"} {
		if _, _, _, ok := ParseName(name); ok {
			t.Errorf("ParseName takes %q", name)
		}
	}
}

func TestTable_LongestPrefixFirstAndTheFirstByNameWins(t *testing.T) {
	f := newFixture(t)
	f.instance("", "web", 80)
	f.instance("", "api", 80)
	f.route(&pb.Route{Name: "b", Hosts: []string{"Shop.Example", "*"}, Prefix: "/", Service: "web"})
	f.route(&pb.Route{Name: "a", Hosts: []string{"shop.example"}, Prefix: "/api/v1", Service: "api"})
	f.route(&pb.Route{Name: "c", Hosts: []string{"shop.example"}, Prefix: "/api/v1", Service: "web"})
	f.route(&pb.Route{Name: "d", Hosts: []string{"shop.example"}, Prefix: "/api", Service: "nobody"})
	f.route(&pb.Route{Name: "e", Hosts: []string{"shop.example"}, Prefix: "/x", Service: "web", Port: "nosuch"})
	got := f.built().Table(RoleEdge, "default")
	want := "*/ web\nshop.example/api/v1 api\nshop.example/api !nobody\nshop.example/x !web.default.nosuch\nshop.example/ web\n"
	if text(got) != want {
		t.Errorf("got:\n%swant:\n%s", text(got), want)
	}
	if !slices.Equal(got.Clusters, []string{"api", "web"}) {
		t.Errorf("clusters %v", got.Clusters)
	}
}

func TestTable_ASidecarAlsoReachesServicesByName(t *testing.T) {
	f := newFixture(t)
	f.instance("prod", "web", 80)
	f.instance("prod", "api", 80)
	f.instance("", "web", 81)
	f.define(&pb.Service{Namespace: "prod", Name: "api", Ports: []*pb.Port{{Name: "admin", Port: 8080, Protocol: pb.Protocol_PROTOCOL_GRPC}}})
	f.route(&pb.Route{Namespace: "prod", Name: "r", Hosts: []string{"web.prod"}, Prefix: "/", Service: "api"})
	m := f.built()
	want := "api/ api.prod\napi.prod/ api.prod\napi.prod.admin/ api.prod.admin\nweb/ web.prod\nweb.prod/ api.prod\n"
	if got := text(m.Table(RoleSidecar, "prod")); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	if got := text(m.Table(RoleSidecar, "default")); got != "web/ web\nweb.default/ web\n" {
		t.Errorf("in default:\n%s", got)
	}
	if got := m.Members(RoleSidecar, "prod"); !slices.Equal(got, []string{"api.prod", "api.prod.admin", "web.prod"}) {
		t.Errorf("a sidecar's clusters: %v", got)
	}
	if got := m.Members(RoleEdge, "prod"); !slices.Equal(got, []string{"api.prod"}) {
		t.Errorf("an edge's clusters: %v", got)
	}
	if got := m.Members(RoleEdge, "nowhere"); got != nil {
		t.Errorf("clusters of a namespace that does not exist: %v", got)
	}
}

func TestStep_TouchesOnlyWhatChanged(t *testing.T) {
	f := newFixture(t)
	f.instance("", "web", 80)
	f.instance("", "api", 80)
	f.route(&pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"})
	m := f.built()
	steps := []struct {
		what string
		do   func()
		want Diff
	}{
		{"another instance", func() { f.instance("", "web", 81) }, Diff{Endpoints: []string{"web"}}},
		{"another service", func() { f.instance("", "new", 80) }, Diff{
			Clusters: []string{"new"}, Endpoints: []string{"new"}, Namespaces: []string{"default"},
		}},
		{"another protocol", func() { f.define(&pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_GRPC}) }, Diff{
			Clusters: []string{"web"}, Endpoints: []string{"web"}, Namespaces: []string{"default"},
		}},
		{"the last instance leaves", func() { f.leave("", "new", 80) }, Diff{
			Clusters: []string{"new"}, Endpoints: []string{"new"}, Namespaces: []string{"default"},
		}},
		{"a route", func() { f.route(&pb.Route{Name: "api", Hosts: []string{"api.example"}, Service: "api"}) }, Diff{
			Namespaces: []string{"default"},
		}},
		{"the same route again", func() { f.route(&pb.Route{Name: "api", Hosts: []string{"api.example"}, Service: "api"}) }, Diff{}},
		{"another namespace", func() { f.instance("prod", "web", 80) }, Diff{
			Clusters: []string{"web.prod"}, Endpoints: []string{"web.prod"}, Namespaces: []string{"prod"},
		}},
		{"nothing", func() {}, Diff{}},
	}
	for _, s := range steps {
		s.do()
		if got := f.step(m); !slices.Equal(got.Clusters, s.want.Clusters) || !slices.Equal(got.Endpoints, s.want.Endpoints) ||
			!slices.Equal(got.Namespaces, s.want.Namespaces) || got.Empty() != s.want.Empty() {
			t.Errorf("%s: %+v, want %+v", s.what, got, s.want)
		}
	}
}

func TestStep_UnhealthyEndpointsAreNamed(t *testing.T) {
	f := newFixture(t)
	op, _, err := registry.RegisterOp(f.view, &pb.Instance{
		Service: "web", Id: "1", Address: "10.0.0.1", Port: 80, Checks: []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TCP}},
	}, registry.Write{})
	f.do(op, err)
	e := f.built().Endpoints("web")
	if len(e.Tiers) != 0 || len(e.Unhealthy) != 1 || e.Unhealthy[0].Addr.String() != "10.0.0.1:80" {
		t.Errorf("an instance that was never checked: %+v", e)
	}
}

// Stepping through changes gives what building from the last view gives.
func TestStep_EqualsBuilding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFixture(t)
		m := f.built()
		present := map[string]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"instance": func(t *rapid.T) {
				ns := rapid.SampledFrom([]string{"default", "prod"}).Draw(t, "namespace")
				service, port := fmt.Sprintf("s%d", rapid.IntRange(0, 3).Draw(t, "service")), uint32(rapid.IntRange(1, 2).Draw(t, "port"))
				id := fmt.Sprint(ns, service, port)
				if present[id] {
					f.leave(ns, service, port)
				} else {
					f.instance(ns, service, port)
				}
				present[id] = !present[id]
			},
			"import": func(t *rapid.T) {
				k := record.Key{
					Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance,
					Scope: uint32(rapid.IntRange(2, 3).Draw(t, "alias")),
					Name:  registry.InstanceName(fmt.Sprintf("s%d", rapid.IntRange(0, 3).Draw(t, "service")), "1"),
				}
				if rapid.Bool().Draw(t, "gone") {
					f.commit(record.Event{Type: record.EventDelete, Record: record.Record{Key: k, Deleted: true}})
					return
				}
				f.put(k, 0, &pb.Instance{Address: fmt.Sprintf("10.0.0.%d", k.Scope), Port: 80, Draining: rapid.Bool().Draw(t, "draining")})
			},
			"region": func(t *rapid.T) {
				alias := byte(rapid.IntRange(2, 3).Draw(t, "alias"))
				f.put(registry.RegionRecordKey([16]byte{alias}), uint64(alias), &pb.Region{
					Name: rapid.SampledFrom([]string{"dc2", "dc3", "dc4"}).Draw(t, "name"),
				})
			},
			"define": func(t *rapid.T) {
				f.define(&pb.Service{
					Name:     fmt.Sprintf("s%d", rapid.IntRange(0, 3).Draw(t, "service")),
					Protocol: pb.Protocol(rapid.IntRange(0, 4).Draw(t, "protocol")),
					Ports:    []*pb.Port{{Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "port"), Port: 8080}},
				})
			},
			"route": func(t *rapid.T) {
				f.route(&pb.Route{
					Name: fmt.Sprintf("r%d", rapid.IntRange(0, 3).Draw(t, "route")), Hosts: []string{"x.example"},
					Prefix:  rapid.SampledFrom([]string{"/", "/a"}).Draw(t, "prefix"),
					Service: fmt.Sprintf("s%d", rapid.IntRange(0, 3).Draw(t, "target")),
				})
			},
			"reach": func(t *rapid.T) {
				f.reach = reachOf(rapid.IntRange(-1, 2).Draw(t, "cost"), rapid.IntRange(-1, 2).Draw(t, "cost"))
				if alias := rapid.IntRange(1, 3).Draw(t, "away"); alias > 1 {
					f.reach = away(f.reach, byte(alias))
				}
				f.reach.Island = rapid.Bool().Draw(t, "island")
			},
			"step": func(t *rapid.T) {
				if f.stepOnly(m); rapid.Bool().Draw(t, "a part") {
					m.Settle(f.view, 1)
				}
			},
		})
		f.step(m)
		fresh := f.built()
		if !reflect.DeepEqual(m.clusters, fresh.clusters) || !reflect.DeepEqual(m.endpoints, fresh.endpoints) {
			t.Fatalf("clusters or endpoints differ:\n%v\n%v", m.clusters, fresh.clusters)
		}
		for _, ns := range []string{"default", "prod"} {
			for _, role := range []Role{RoleEdge, RoleSidecar, RoleGRPC} {
				if text(m.Table(role, ns)) != text(fresh.Table(role, ns)) || !slices.Equal(m.Members(role, ns), fresh.Members(role, ns)) {
					t.Fatalf("%s of %s differs:\n%s\n%s", role, ns, text(m.Table(role, ns)), text(fresh.Table(role, ns)))
				}
			}
		}
	})
}
