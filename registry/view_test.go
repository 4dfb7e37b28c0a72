package registry

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

const (
	passing  = pb.Health_HEALTH_PASSING
	warning  = pb.Health_HEALTH_WARNING
	critical = pb.Health_HEALTH_CRITICAL
)

func TestView_HealthIsTheWorstCheck(t *testing.T) {
	s := newStore(t)
	k := ServiceOf("", "", "web").Instance("a")
	s.register(t, web("a"))
	requireHealth := func(want pb.Health, counts Counts) {
		t.Helper()
		sv, _ := s.view.Service(k.Service)
		i, ok := sv.Instance("a")
		if !ok || i.Health != want || sv.Counts != counts {
			t.Fatalf("health %v, counts %+v; want %v, %+v", i.Health, sv.Counts, want, counts)
		}
	}
	requireHealth(passing, Counts{Instances: 1, Passing: 1})
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("x"), tcpCheck("y")}
	s.register(t, in)
	requireHealth(critical, Counts{Instances: 1, Critical: 1}) // not checked yet
	s.setStatus(t, k, "x", passing)
	requireHealth(critical, Counts{Instances: 1, Critical: 1})
	s.setStatus(t, k, "y", warning)
	requireHealth(warning, Counts{Instances: 1, Warning: 1})
	if want := map[ServiceKey]struct{}{k.Service: {}}; len(s.changes.Services) != 1 || s.changes.All {
		t.Errorf("changes %+v, want %v", s.changes, want)
	}
	s.setStatus(t, k, "y", passing)
	requireHealth(passing, Counts{Instances: 1, Passing: 1})
	s.setStatus(t, k, "x", critical)
	requireHealth(critical, Counts{Instances: 1, Critical: 1})
	s.register(t, web("a"))
	requireHealth(passing, Counts{Instances: 1, Passing: 1})
}

func TestInstanceView_Answer(t *testing.T) {
	s := newStore(t)
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("x"), tcpCheck("y")}
	s.register(t, in)
	k := ServiceOf("", "", "web").Instance("a")
	s.setStatus(t, k, "y", warning)
	i, _ := s.view.Instance(k)
	before := proto.CloneOf(i.Instance)
	got := i.Answer()
	if got.GetRegion() != testRegion || got.GetHealth() != critical || len(got.GetChecks()) != 2 || got.GetMeta().GetVersion() != 1 {
		t.Errorf("answer %v", got)
	}
	status := got.GetCheckStatus()
	if len(status) != 2 || status[0].GetOutput() != "not checked yet" || status[0].GetHealth() != critical ||
		status[0].GetCheckId() != "x" || status[1].GetHealth() != warning {
		t.Errorf("status %v", status)
	}
	got.Tags = append(got.Tags, "x")
	got.Checks[0].Id = "changed"
	if !proto.Equal(i.Instance, before) || i.Checks[0].GetId() != "x" {
		t.Error("changing the answer changed the view")
	}
}

func TestServiceView_Ports(t *testing.T) {
	s := newStore(t)
	op, _, err := PutServiceOp(s.view, &pb.Service{
		Name: "web", Protocol: pb.Protocol_PROTOCOL_GRPC,
		Ports: []*pb.Port{{Name: "admin", Port: 9000, Protocol: pb.Protocol_PROTOCOL_TCP}, {Name: "own"}, {Name: "plain", Port: 1}},
	}, 0, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	in := web("a")
	in.Ports = map[string]uint32{"own": 7000, "admin": 9001, "extra": 7}
	s.register(t, in)
	s.register(t, web("b"))
	sv, _ := s.view.Service(ServiceOf("", "", "web"))
	if got := sv.Ports(); !slices.Equal(got, []string{"admin", "extra", "own", "plain"}) {
		t.Errorf("ports %q", got)
	}
	for _, tt := range []struct {
		port     string
		protocol pb.Protocol
		known    bool
		a, b     uint16 // 0: the instance has none
	}{
		{"", pb.Protocol_PROTOCOL_GRPC, true, 80, 80},
		{"admin", pb.Protocol_PROTOCOL_TCP, true, 9001, 9000},
		{"own", pb.Protocol_PROTOCOL_HTTP, true, 7000, 0},
		{"plain", pb.Protocol_PROTOCOL_HTTP, true, 1, 1},
		{"extra", pb.Protocol_PROTOCOL_HTTP, true, 7, 0},
		{"none", pb.Protocol_PROTOCOL_HTTP, false, 0, 0},
	} {
		if p, ok := sv.Protocol(tt.port); ok != tt.known || p != tt.protocol {
			t.Errorf("Protocol(%q) = %v, %v", tt.port, p, ok)
		}
		for n, want := range []uint16{tt.a, tt.b} {
			if got, ok := sv.Port(sv.Instances[n], tt.port); got != want || ok != (want != 0) {
				t.Errorf("Port(%s, %q) = %d, %v; want %d", sv.Instances[n].Key.ID, tt.port, got, ok, want)
			}
		}
	}
}

func TestView_Queries(t *testing.T) {
	s := newStore(t)
	op, _, _ := CreateNamespaceOp(s.view, &pb.Namespace{Name: "shop"}, Write{})
	s.must(t, op)
	for _, in := range []*pb.Instance{
		{Service: "web", Id: "b", Zone: "z1", Tags: []string{"v1"}},
		{Service: "web", Id: "a", Zone: "z2", Tags: []string{"v1", "v2"}},
		{Service: "db", Id: "a", Zone: "z1"},
		{Namespace: "shop", Service: "cart", Id: "a"},
	} {
		in.Address, in.Port = "10.0.0.1", 80
		s.register(t, in)
	}
	service := func(s *ServiceView) string { return s.Key.Namespace + "/" + s.Key.Name }
	instance := func(i *InstanceView) string { return i.Key.Service.Name + "/" + i.Key.ID }
	for _, tt := range []struct {
		name string
		got  []string
		want []string
	}{
		{"services", keys(t, s.view.Services("default", "default"), service), []string{"default/db", "default/web"}},
		{"services of nothing", keys(t, s.view.Services("default", "none"), service), []string{}},
		{"all services", keys(t, s.view.AllServices(), service), []string{"default/db", "default/web", "shop/cart"}},
		{"tagged", keys(t, s.view.ServicesTagged("default", "default", "v1"), service), []string{"default/web"}},
		{"all", keys(t, s.view.Instances("default", "default", Filter{}), instance), []string{"db/a", "web/a", "web/b"}},
		{"zone", keys(t, s.view.Instances("default", "default", Filter{Zone: "z1"}), instance), []string{"db/a", "web/b"}},
		{"tag", keys(t, s.view.Instances("default", "default", Filter{Service: "web", Tag: "v2"}), instance), []string{"web/a"}},
		{"tenants", keys(t, s.view.Tenants(), (*pb.Tenant).GetName), []string{"default"}},
	} {
		if !slices.Equal(tt.got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	sv, _ := s.view.Service(ServiceOf("", "", "web"))
	if !slices.Equal(sv.Tags(), []string{"v1", "v2"}) || !slices.Equal(sv.Zones(), []string{"z1", "z2"}) {
		t.Errorf("tags %q, zones %q", sv.Tags(), sv.Zones())
	}
	for range s.view.AllServices() {
		break // an iteration that stops early must not go on
	}
	for range s.view.ServicesTagged("default", "default", "v1") {
		break
	}
	tenantID, namespaceID, ok := s.view.NamespaceIDs("default", "shop")
	if !ok {
		t.Fatal("no ids of namespace shop")
	}
	if k, ok := s.view.NamespaceNamed(tenantID, namespaceID); !ok || k != NamespaceOf("", "shop") {
		t.Errorf("names of ids: %v", k)
	}
	if _, ok := s.view.NamespaceNamed(tenantID, 99); ok {
		t.Error("unknown ids have names")
	}
	if n, ok := s.view.Namespace("default", "shop"); !ok || n.GetTenant() != "default" || n.GetMeta().GetVersion() != 1 {
		t.Errorf("namespace %v", n)
	}
	if s.view.InstanceCount() != 4 || s.view.Region() != testRegion {
		t.Errorf("%d instances of %s", s.view.InstanceCount(), s.view.Region())
	}
}

// TestView_Undecodable is invariant I3: the record that went bad is out of the view, and counted until it goes.
func TestView_Undecodable(t *testing.T) {
	s := newStore(t)
	s.register(t, web("a"))
	good := s.view
	key := spaceID{1, 1}.key(record.KindInstance, "web/a")
	raw := func(op record.TxnOp) {
		t.Helper()
		s.must(t, Write{}.txn(1, record.ShardData, nil, []record.TxnOp{op}, nil))
	}
	raw(put(key, []byte("garbage")))
	if _, ok := s.view.Instance(ServiceOf("", "", "web").Instance("a")); ok || s.view.Undecodable() != 1 {
		t.Errorf("the instance is there: %v; %d undecodable", ok, s.view.Undecodable())
	}
	requireSame(t, "rebuilt", s.view, Build(testRegion, s.view.At(), slices.Values(s.records(t))))
	s.register(t, web("a"))
	if s.view.Undecodable() != 0 || s.view.InstanceCount() != 1 {
		t.Errorf("%d undecodable, %d instances after a good write", s.view.Undecodable(), s.view.InstanceCount())
	}
	raw(put(key, []byte("garbage")))
	raw(remove(key))
	if s.view.Undecodable() != 0 {
		t.Errorf("%d undecodable after the delete", s.view.Undecodable())
	}
	if _, ok := good.Instance(ServiceOf("", "", "web").Instance("a")); !ok {
		t.Error("the view before changed")
	}
}

func TestView_IgnoresWhatItDoesNotKnow(t *testing.T) {
	s := newStore(t)
	before := dump(s.view)
	other := spaceID{1, 1}.key(record.KindInstance, "web/a")
	other.Scope = 7 // another region's
	unknown := spaceID{1, 1}.key(4711, "x")
	v, c := s.view.Next([]record.Commit{{
		Position: record.Position{Shard: record.ShardData, Revision: 500},
		Events: []record.Event{
			{Type: record.EventPut, Record: record.Record{Key: other, Value: []byte("garbage")}},
			{Type: record.EventPut, Record: record.Record{Key: unknown, Value: []byte("garbage")}},
			{Type: record.EventDelete, Record: record.Record{Key: other}},
		},
	}})
	if !c.IsEmpty() || v.Undecodable() != 0 || v.At().Data != 500 {
		t.Errorf("changes %+v, %d undecodable, at %+v", c, v.Undecodable(), v.At())
	}
	v.at = s.view.at
	if after := dump(v); after != before {
		t.Errorf("%s", firstDifference(after, before))
	}
}

func TestView_SkipsWhatItShows(t *testing.T) {
	s := newStore(t)
	op, _, err := RegisterOp(s.view, web("a"), Write{})
	if err != nil {
		t.Fatal(err)
	}
	registered := s.apply(t, op).Commits
	s.view, _ = s.view.Next(registered)
	op, _ = DeregisterOp(s.view, ServiceOf("", "", "web").Instance("a"), Write{})
	s.must(t, op)
	again, c := s.view.Next(registered)
	if !c.IsEmpty() || again.At() != s.view.At() || again.InstanceCount() != 0 {
		t.Errorf("an old commit brought %d instances back: %+v at %+v", again.InstanceCount(), c, again.At())
	}
}

func TestResolve(t *testing.T) {
	s := newStore(t)
	if k, err := s.view.Resolve("instance", "", ""); err != nil || k != NamespaceOf("default", "default") {
		t.Errorf("%v, %v", k, err)
	}
	_, err := s.view.Resolve("", "default", "nope")
	wantFault(t, err, fault.NotFound, "namespace", "create it: supercluster namespace create nope --tenant default")
	_, err = s.view.Resolve("route", "nobody", "")
	wantFault(t, err, fault.NotFound, "route.tenant", "create it: supercluster tenant create nobody")
}

func TestChanges_Merge(t *testing.T) {
	a := Changes{Services: map[ServiceKey]struct{}{{Name: "a"}: {}}}
	b := Changes{
		Services: map[ServiceKey]struct{}{{Name: "b"}: {}}, Routes: map[NamespaceKey]struct{}{{Namespace: "n"}: {}},
		Tenancy: true, Nodes: true,
	}
	var c Changes
	if !c.IsEmpty() {
		t.Error("nothing is something")
	}
	c.Merge(a)
	c.Merge(b)
	c.Merge(Changes{All: true})
	if len(c.Services) != 2 || len(c.Routes) != 1 || !c.Tenancy || !c.Nodes || !c.All {
		t.Errorf("merged %+v", c)
	}
	if len(a.Services) != 1 {
		t.Error("merging changed its argument")
	}
}

// TestView_ReadersNeedNoLock is for the race detector: readers of old and new views run beside Next.
func TestView_ReadersNeedNoLock(t *testing.T) {
	s := newStore(t)
	for _, id := range []string{"a", "b", "c", "d"} {
		in := web(id)
		in.Tags, in.Checks = []string{"v1"}, []*pb.Check{tcpCheck("x")}
		s.register(t, in)
	}
	var current atomic.Pointer[View]
	current.Store(s.view)
	old := s.view
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for _, v := range []*View{old, current.Load()} {
					n := 0
					for i := range v.Instances("default", "default", Filter{Tag: "v1"}) {
						n += len(i.Answer().GetCheckStatus())
					}
					for i := range v.Instances("default", "default", Filter{Health: critical}) {
						n += len(i.Checks)
					}
					if sv, ok := v.Service(ServiceOf("", "", "web")); !ok || n == 0 || len(sv.Tags()) != 1 {
						t.Error("a reader sees half a view")
						return
					}
				}
			}
		})
	}
	k := ServiceOf("", "", "web")
	for n := range 200 {
		h := passing
		if n%2 == 0 {
			h = warning
		}
		s.setStatus(t, k.Instance("a"), "x", h)
		s.register(t, web("e"))
		op, _ := DeregisterOp(s.view, k.Instance("e"), Write{})
		s.must(t, op)
		current.Store(s.view)
	}
	close(stop)
	readers.Wait()
}
