package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func TestTenants_CreateListDelete(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	created, err := h.tenants.CreateTenant(ctx, &pb.CreateTenantRequest{Tenant: &pb.Tenant{Name: "shop"}})
	if err != nil {
		t.Fatal(err)
	}
	if created.GetTenant().GetId() < 2 || len(created.GetTenant().GetUid()) != 32 || created.GetHeader().GetRevision() == 0 {
		t.Errorf("created %v", created)
	}
	if _, err := h.tenants.CreateNamespace(ctx, &pb.CreateNamespaceRequest{Namespace: &pb.Namespace{Tenant: "shop", Name: "blue"}}); err != nil {
		t.Fatal(err)
	}
	list, err := h.tenants.ListTenants(ctx, &pb.ListTenantsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, tenant := range list.GetTenants() {
		names = append(names, tenant.GetName())
	}
	if !slices.Equal(names, []string{"default", "shop"}) {
		t.Errorf("tenants %v", names)
	}
	spaces, err := h.tenants.ListNamespaces(ctx, &pb.ListNamespacesRequest{Tenant: "shop"})
	if err != nil || len(spaces.GetNamespaces()) != 2 {
		t.Errorf("namespaces %v, %v", spaces, err)
	}

	_, err = h.tenants.DeleteTenant(ctx, &pb.DeleteTenantRequest{Name: "shop"})
	wantFault(t, err, fault.Conflict, "")
	if _, err := h.tenants.DeleteNamespace(ctx, &pb.DeleteNamespaceRequest{Tenant: "shop", Name: "blue"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.tenants.DeleteTenant(ctx, &pb.DeleteTenantRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	_, err = h.tenants.ListNamespaces(ctx, &pb.ListNamespacesRequest{Tenant: "shop"})
	wantFault(t, err, fault.NotFound, "tenant")
	_, err = h.tenants.CreateTenant(ctx, &pb.CreateTenantRequest{Tenant: &pb.Tenant{Name: "default"}})
	wantFault(t, err, fault.Exists, "")
}

func TestRegister_IsSeenByTheNextLookup(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	in := h.register(t, "web", "", "10.0.0.1", 8080)
	if in.GetId() != "10.0.0.1-8080" || in.GetRegion() != "dc1" || in.GetMeta().GetModifyRevision() == 0 || in.GetHealth() != pb.Health_HEALTH_PASSING {
		t.Errorf("registered %v", in)
	}
	got, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetEndpoints()) != 1 || got.GetEndpoints()[0].GetPort() != 8080 || got.GetRule() == "" ||
		got.GetHeader().GetRegion() != "dc1" || got.GetHeader().GetNode() != "n1" || got.GetHeader().GetRevision() != in.GetMeta().GetModifyRevision() {
		t.Errorf("lookup %v", got)
	}
	if age := got.GetHeader().GetAge().AsDuration(); age < time.Millisecond || age > time.Minute { // a millisecond, and what the read took
		t.Errorf("age of a local read %v", got.GetHeader().GetAge())
	}
	_, err = h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web", Port: "admin"})
	wantFault(t, err, fault.NotFound, "port")
	_, err = h.registry.Lookup(ctx, &pb.LookupRequest{Service: "none"})
	wantFault(t, err, fault.NotFound, "service")
}

// A node whose view is behind still shows its own writes, and linearizable reads show everybody's.
func TestReads_WaitForTheView(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.views.hold(true)
	h.register(t, "web", "a", "10.0.0.1", 80)
	if _, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "web"}); err != nil {
		t.Errorf("the writer does not read its write: %v", err)
	}
	h.views.hold(true)
	before := h.region.linearized
	h.elsewhere(t, "db")
	_, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "db"})
	wantFault(t, err, fault.NotFound, "name")
	linearizable := &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}
	got, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "db", Read: linearizable})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetHeader().GetAge().AsDuration() != 0 || h.region.linearized != before+1 {
		t.Errorf("age %v after %d reads of the log", got.GetHeader().GetAge(), h.region.linearized-before)
	}
}

// elsewhere registers an instance through another node: this one's view hears of it when it does.
func (h *harness) elsewhere(t *testing.T, service string) {
	t.Helper()
	other, err := New(Config{Region: h.region, Views: &fakeViews{r: h.region}, Principal: Dev()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = registryService{s: other}.RegisterInstance(devContext(t), &pb.RegisterInstanceRequest{Instance: &pb.Instance{
		Service: service, Id: "a", Address: "10.0.0.9", Port: 80,
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// A namespace made on another node a moment ago is found by a write here, though this view is behind.
func TestWrites_CatchUpBeforeTheySayNotFound(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	if _, err := h.tenants.CreateNamespace(ctx, &pb.CreateNamespaceRequest{Namespace: &pb.Namespace{Name: "old"}}); err != nil {
		t.Fatal(err)
	}
	h.views.hold(true)
	other, err := New(Config{Region: h.region, Views: &fakeViews{r: h.region}, Principal: Dev()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (tenantService{s: other}).CreateNamespace(devContext(t), &pb.CreateNamespaceRequest{Namespace: &pb.Namespace{Name: "fresh"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Namespace: "fresh", Name: "a", Value: []byte("x")}}); err != nil {
		t.Errorf("put into a namespace made elsewhere: %v", err)
	}
	_, err = h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Namespace: "never", Name: "a", Value: []byte("x")}})
	wantFault(t, err, fault.NotFound, "config.namespace")
}

func TestServices_DefinitionsAndLists(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	for _, id := range []string{"a", "b", "c"} {
		if _, err := h.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{
			Service: "web", Id: id, Address: "10.0.0.1", Port: 80, Zone: "z-" + id, Tags: []string{"v1", id},
		}}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "web"})
	if err != nil || got.GetDefined() || got.GetService().GetProtocol() != pb.Protocol_PROTOCOL_HTTP || len(got.GetInstances()) != 3 {
		t.Fatalf("a service without a definition: %v, %v", got, err)
	}
	put, err := h.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_GRPC}})
	if err != nil {
		t.Fatal(err)
	}
	revision := put.GetService().GetMeta().GetModifyRevision()
	if revision == 0 || revision != put.GetHeader().GetRevision() {
		t.Errorf("definition %v", put)
	}
	_, err = h.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web"}, ExpectRevision: revision + 7})
	if e := wantFault(t, err, fault.Conflict, ""); e.Revision != revision {
		t.Errorf("conflict names revision %d, want %d", e.Revision, revision)
	}
	list, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{})
	if err != nil || len(list.GetServices()) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if row := list.GetServices()[0]; row.GetInstances() != 3 || row.GetPassing() != 3 || !row.GetDefined() || len(row.GetZones()) != 3 || len(row.GetTags()) != 4 {
		t.Errorf("summary %v", row)
	}
	for tag, want := range map[string]int{"a": 1, "v1": 1, "none": 0} {
		list, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{Tag: tag})
		if err != nil || len(list.GetServices()) != want {
			t.Errorf("services with tag %s: %v, %v", tag, list, err)
		}
	}
	instances, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web", Zone: "z-b"})
	if err != nil || len(instances.GetInstances()) != 1 || instances.GetInstances()[0].GetId() != "b" {
		t.Errorf("instances of a zone: %v, %v", instances, err)
	}
	if _, err := h.registry.DeleteService(ctx, &pb.DeleteServiceRequest{Name: "web"}); err != nil {
		t.Fatal(err)
	}
	if got, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "web"}); err != nil || got.GetDefined() {
		t.Errorf("after the delete of the definition: %v, %v", got, err)
	}
}

func TestRoutes(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	put, err := h.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := h.registry.GetRoute(ctx, &pb.GetRouteRequest{Name: "shop", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}})
	if err != nil || !proto.Equal(got.GetRoute(), put.GetRoute()) || got.GetRoute().GetPrefix() != "/" {
		t.Errorf("get %v, put %v, %v", got, put, err)
	}
	if list, err := h.registry.ListRoutes(ctx, &pb.ListRoutesRequest{}); err != nil || len(list.GetRoutes()) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	_, err = h.registry.DeleteRoute(ctx, &pb.DeleteRouteRequest{Name: "shop", ExpectRevision: 999})
	wantFault(t, err, fault.Conflict, "")
	if _, err := h.registry.DeleteRoute(ctx, &pb.DeleteRouteRequest{Name: "shop"}); err != nil {
		t.Fatal(err)
	}
	_, err = h.registry.GetRoute(ctx, &pb.GetRouteRequest{Name: "shop"})
	wantFault(t, err, fault.NotFound, "name")
	_, err = h.registry.DeleteRoute(ctx, &pb.DeleteRouteRequest{Name: "shop"})
	wantFault(t, err, fault.NotFound, "")
}

func TestDeregister(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.register(t, "web", "a", "10.0.0.1", 80)
	_, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a", Drain: durationpb.New(2 * time.Hour)})
	wantFault(t, err, fault.Invalid, "drain")
	if _, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a"}); err != nil {
		t.Fatal(err)
	}
	_, err = h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a"})
	if kind := fault.KindOf(fromGRPC(err)); kind != fault.NotFound {
		t.Errorf("the second deregistration is %v", err)
	}
}

// A draining instance gets no new requests at once and is gone when its time is over.
func TestDeregister_Drain(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.register(t, "web", "a", "10.0.0.1", 80)
	h.register(t, "web", "b", "10.0.0.2", 80)
	const drain = 300 * time.Millisecond
	begin := time.Now()
	if _, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a", Drain: durationpb.New(drain)}); err != nil {
		t.Fatal(err)
	}
	got, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
	if err != nil || len(got.GetEndpoints()) != 1 || got.GetEndpoints()[0].GetInstance() != "b" || len(got.GetExcluded()) != 1 {
		t.Fatalf("while draining: %v, %v", got, err)
	}
	list, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web"})
	if err != nil || !list.GetInstances()[0].GetDraining() || list.GetInstances()[0].GetDrainUntil() == nil {
		t.Fatalf("the draining instance: %v, %v", list, err)
	}
	eventually(t, func() bool {
		list, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web"})
		return err == nil && len(list.GetInstances()) == 1
	})
	if took := time.Since(begin); took < drain {
		t.Errorf("removed after %s, before its time", took)
	}
}

// The node that marked the instance is gone: another one removes it, a grace later.
func TestDrain_AnotherNodeRemoves(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.register(t, "web", "a", "10.0.0.1", 80)
	dead, err := New(Config{Region: h.region, Views: &fakeViews{r: h.region}, Principal: Dev()}) // it never runs
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, err = registryService{s: dead}.DeregisterInstance(devContext(t), &pb.DeregisterInstanceRequest{
		Service: "web", Id: "a", Drain: durationpb.New(50 * time.Millisecond),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "web"})
		return fault.Is(fromGRPC(err), fault.NotFound)
	})
	if took := time.Since(begin); took < drainGrace {
		t.Errorf("removed after %s, before the grace of another node's drain", took)
	}
}

// Registering a draining instance again cancels the drain.
func TestDrain_RegisterCancels(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.register(t, "web", "a", "10.0.0.1", 80)
	if _, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a", Drain: durationpb.New(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	h.register(t, "web", "a", "10.0.0.1", 80)
	time.Sleep(400 * time.Millisecond)
	list, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web"})
	if err != nil || len(list.GetInstances()) != 1 || list.GetInstances()[0].GetDraining() {
		t.Errorf("after registering again: %v, %v", list, err)
	}
}

func TestCluster(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	h.put(t, "a", "2")
	st, err := h.cluster.GetStatus(ctx, &pb.GetStatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if st.GetLeader() != "n1" || st.GetRevision() != first+1 || !st.GetDev() || len(st.GetRegionId()) != 32 || len(st.GetAlarms()) != 1 {
		t.Errorf("status %v", st)
	}
	members, err := h.cluster.ListMembers(ctx, &pb.ListMembersRequest{})
	if err != nil || len(members.GetMembers()) != 2 || !members.GetMembers()[0].GetLeader() || members.GetMembers()[1].GetAlive() {
		t.Errorf("members %v, %v", members, err)
	}
	if _, err := h.cluster.Compact(ctx, &pb.CompactRequest{Revision: first + 1}); err != nil {
		t.Fatal(err)
	}
	_, err = h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "a", Revision: first})
	wantFault(t, err, fault.Compacted, "")
	_, err = h.cluster.Compact(ctx, &pb.CompactRequest{Revision: 1000})
	if err == nil {
		t.Error("a compaction in the future was taken")
	}
}

type fixedProxies []*pb.Proxy

func (f fixedProxies) Proxies() []*pb.Proxy { return f }

func TestProxies_OfEveryNodeThatAnswers(t *testing.T) {
	h := newHarness(t, func(c *Config) {
		c.Proxies = fixedProxies{{Id: "edge-2", Node: "n1"}, {Id: "edge-1", Node: "n1", Address: "b"}, {Id: "edge-1", Node: "n1", Address: "a"}}
	})
	ctx := t.Context()
	answer, err := proto.Marshal(&pb.ListProxiesResponse{Proxies: []*pb.Proxy{{Id: "edge-1", Node: "n2"}}})
	if err != nil {
		t.Fatal(err)
	}
	h.region.peers["n2"] = answer
	list, err := h.proxy.ListProxies(ctx, &pb.ListProxiesRequest{PageSize: 3})
	if err != nil || len(list.GetProxies()) != 3 || list.GetProxies()[0].GetAddress() != "a" || list.GetNextPageToken() == "" {
		t.Fatalf("first page %v, %v", list, err)
	}
	rest, err := h.proxy.ListProxies(ctx, &pb.ListProxiesRequest{PageSize: 3, PageToken: list.GetNextPageToken()})
	if err != nil || len(rest.GetProxies()) != 1 || rest.GetProxies()[0].GetId() != "edge-2" || rest.GetNextPageToken() != "" {
		t.Fatalf("second page %v, %v", rest, err)
	}
	one, err := h.proxy.GetProxy(ctx, &pb.GetProxyRequest{Id: "edge-1"})
	if err != nil || len(one.GetProxies()) != 3 {
		t.Errorf("connections of edge-1: %v, %v", one, err)
	}
	_, err = h.proxy.GetProxy(ctx, &pb.GetProxyRequest{Id: "none"})
	wantFault(t, err, fault.NotFound, "id")
	boot, err := h.proxy.MakeBootstrap(ctx, &pb.MakeBootstrapRequest{})
	if err != nil || len(boot.GetServers()) != 2 || boot.GetTls() {
		t.Errorf("bootstrap %v, %v", boot, err)
	}
	own, err := h.HandleProxies(ctx, "n2", nil)
	if err != nil {
		t.Fatal(err)
	}
	var mine pb.ListProxiesResponse
	if err := proto.Unmarshal(own, &mine); err != nil || len(mine.GetProxies()) != 3 {
		t.Errorf("what other nodes get: %v, %v", &mine, err)
	}
}

// A node that hangs costs its proxies, not the answer.
func TestProxies_OfANodeThatHangs(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Proxies = fixedProxies{{Id: "edge-1", Node: "n1"}} })
	h.region.peers["n3"] = []byte("\xff not a message")
	list, err := h.proxy.ListProxies(t.Context(), &pb.ListProxiesRequest{})
	if err != nil || len(list.GetProxies()) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// Lists of fat instances come in pages that clients take, and GetService says how to read them.
func TestInstances_AnswersAreBoundedInBytes(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	fat := map[string]string{}
	for i := range 40 {
		fat[fmt.Sprintf("key-%02d", i)] = strings.Repeat("x", 500)
	}
	const n = 200
	for i := range n {
		if _, err := h.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{
			Service: "web", Id: fmt.Sprintf("i-%03d", i), Address: "10.0.0.1", Port: uint32(1000 + i), Metadata: fat,
		}}); err != nil {
			t.Fatal(err)
		}
	}
	var pages, got int
	for token, more := "", true; more; more = token != "" {
		list, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web", PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		pages, got, token = pages+1, got+len(list.GetInstances()), list.GetNextPageToken()
	}
	if got != n || pages < 2 {
		t.Errorf("%d instances in %d pages", got, pages)
	}
	_, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "web"})
	wantFault(t, err, fault.TooLarge, "")
}
