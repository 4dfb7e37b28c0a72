package registry

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

func tcpCheck(id string) *pb.Check { return &pb.Check{Id: id, Type: pb.CheckType_CHECK_TYPE_TCP} }

// names are the record names of a kind in the namespace default.
func (s *store) names(t *testing.T, kind record.Kind) []string {
	t.Helper()
	out := []string{}
	for _, r := range s.records(t) {
		if r.Key.Kind == kind {
			out = append(out, r.Key.Name)
		}
	}
	return out
}

func (s *store) setStatus(t *testing.T, k InstanceKey, check string, h pb.Health) {
	t.Helper()
	i, ok := s.view.Instance(k)
	if !ok {
		t.Fatalf("no instance %v", k)
	}
	op, err := CheckStatusOp(i, &pb.CheckStatus{CheckId: check, Health: h}, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
}

func TestRegister_ReplacesChecks(t *testing.T) {
	s := newStore(t)
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("b"), tcpCheck("d"), tcpCheck("f")}
	first := s.register(t, in)
	k := ServiceOf("", "", "web").Instance("a")
	for _, c := range []string{"b", "d", "f"} {
		s.setStatus(t, k, c, pb.Health_HEALTH_PASSING)
	}
	// Neighbours whose names sort around it: they must stay.
	for _, id := range []string{"a-", "a.b", "A", "b"} {
		other := web(id)
		other.Checks = []*pb.Check{tcpCheck("x")}
		s.register(t, other)
	}
	in = proto.CloneOf(first)
	in.Checks = []*pb.Check{tcpCheck("e"), tcpCheck("d"), tcpCheck("a")}
	revision := s.view.At().Data
	s.register(t, in)
	if got := s.view.At().Data; got != revision+1 {
		t.Errorf("a registration took %d revisions, want one", got-revision)
	}
	own := func(names []string) []string {
		return slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, "web/a/") })
	}
	if got, want := own(s.names(t, record.KindCheck)), []string{"web/a/a", "web/a/d", "web/a/e"}; !slices.Equal(got, want) {
		t.Errorf("checks %q, want %q", got, want)
	}
	if got, want := own(s.names(t, record.KindCheckStatus)), []string{"web/a/d"}; !slices.Equal(got, want) {
		t.Errorf("statuses %q, want %q: that of a check that stays, no other", got, want)
	}
	if got := len(s.names(t, record.KindCheck)); got != 3+4 {
		t.Errorf("%d checks in all, want 7: neighbours keep theirs", got)
	}
}

// TestRegister_RemovesChecksItDoesNotKnow: a node whose view is behind must not leave checks of others standing.
func TestRegister_RemovesChecksItDoesNotKnow(t *testing.T) {
	s := newStore(t)
	behind := s.view
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("new")}
	s.register(t, in)
	op, _, err := RegisterOp(behind, web("a"), Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	if got := s.names(t, record.KindCheck); len(got) != 0 {
		t.Errorf("checks %q are left", got)
	}
}

func TestRegister_WritesThisRegionOnly(t *testing.T) {
	s := newStore(t)
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("x")}
	op, _, err := RegisterOp(s.view, in, Write{RequestID: "r", Seen: 3})
	if err != nil {
		t.Fatal(err)
	}
	if op.Tenant != 1 || op.RequestID != "r" || op.Seen != 3 {
		t.Errorf("op is of tenant %d, request %q, seen %d", op.Tenant, op.RequestID, op.Seen)
	}
	for _, o := range op.Txn.Then {
		scope := o.Key.Scope
		if o.Type == record.TxnDeleteRange {
			scope = o.Range.Scope
		}
		if scope != record.ScopeRegion {
			t.Errorf("operation %+v is not of this region", o)
		}
	}
}

func TestDeregister(t *testing.T) {
	s := newStore(t)
	k := ServiceOf("", "", "web").Instance("a")
	for _, id := range []string{"a", "ab"} {
		in := web(id)
		in.Checks = []*pb.Check{tcpCheck("x")}
		s.register(t, in)
	}
	s.setStatus(t, k, "x", pb.Health_HEALTH_PASSING)
	op, err := DeregisterOp(s.view, k, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	for _, kind := range []record.Kind{record.KindInstance, record.KindCheck, record.KindCheckStatus} {
		if got := s.names(t, kind); slices.ContainsFunc(got, func(n string) bool { return n == "web/a" || strings.HasPrefix(n, "web/a/") }) {
			t.Errorf("kind %d has %q left", kind, got)
		}
	}
	if _, ok := s.view.Instance(ServiceOf("", "", "web").Instance("ab")); !ok {
		t.Error("the neighbour went too")
	}
	_, err = s.run(t, op)
	wantFault(t, err, fault.NotFound, "", `service "web" has no instance "a"`)
	_, err = DeregisterOp(s.view, ServiceOf("", "", "web").Instance("a/b"), Write{})
	wantFault(t, err, fault.Invalid, "id", `contains "/"`)
}

// TestDeregister_RetryIsNotNotFound: a recognised retry answers for the first run.
func TestDeregister_RetryIsNotNotFound(t *testing.T) {
	s := newStore(t)
	s.register(t, web("a"))
	op, err := DeregisterOp(s.view, ServiceOf("", "", "web").Instance("a"), Write{RequestID: "once", Seen: s.view.At().Data})
	if err != nil {
		t.Fatal(err)
	}
	first := s.must(t, op)
	again := s.must(t, op)
	if !again.Duplicate || again.Revision != first.Revision {
		t.Errorf("retry: %+v, first %+v", again, first)
	}
}

func TestCheckStatus_NeverResurrects(t *testing.T) {
	s := newStore(t)
	k := ServiceOf("", "", "web").Instance("a")
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("x")}
	s.register(t, in)
	seen, _ := s.view.Instance(k)
	late, err := CheckStatusOp(seen, &pb.CheckStatus{CheckId: "x", Health: pb.Health_HEALTH_PASSING}, Write{})
	if err != nil {
		t.Fatal(err)
	}
	op, _ := DeregisterOp(s.view, k, Write{})
	s.must(t, op)

	_, err = s.run(t, late)
	wantFault(t, err, fault.Conflict, "", `check "web/a/x" does not exist`)
	if got := s.names(t, record.KindCheckStatus); len(got) != 0 {
		t.Fatalf("the late status wrote %q", got)
	}

	s.register(t, in) // the same names again, another check
	_, err = s.run(t, late)
	wantFault(t, err, fault.Conflict, "", "was made again")
	if i, _ := s.view.Instance(k); i.Health != pb.Health_HEALTH_CRITICAL {
		t.Errorf("health %v: a result of the check before counts for the new one", i.Health)
	}
	if _, err = CheckStatusOp(seen, &pb.CheckStatus{CheckId: "y", Health: 1}, Write{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown check: %v", err)
	}
	if _, err = CheckStatusOp(seen, &pb.CheckStatus{CheckId: "x"}, Write{}); !fault.Is(err, fault.Invalid) {
		t.Errorf("no health: %v", err)
	}
}

func TestCheckStatus_ClipsOutput(t *testing.T) {
	s := newStore(t)
	k := ServiceOf("", "", "web").Instance("a")
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("x")}
	s.register(t, in)
	i, _ := s.view.Instance(k)
	op, err := CheckStatusOp(i, &pb.CheckStatus{
		CheckId: "x", Health: pb.Health_HEALTH_WARNING, Output: "\xff\x00" + strings.Repeat("ö", 300),
	}, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	i, _ = s.view.Instance(k)
	output := i.Status[0].GetOutput()
	if len(output) > MaxOutput || !strings.HasPrefix(output, "\uFFFD\uFFFDö") || !strings.HasSuffix(output, "ö") {
		t.Errorf("output of %d bytes: %q", len(output), output)
	}
}

func TestDrain(t *testing.T) {
	s := newStore(t)
	k := ServiceOf("", "", "web").Instance("a")
	if _, err := DrainOp(s.view, k, time.Time{}, Write{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("no instance: %v", err)
	}
	in := web("a")
	in.Checks = []*pb.Check{tcpCheck("x")}
	s.register(t, in)
	until := time.UnixMilli(1_700_000_000_123)
	drain, err := DrainOp(s.view, k, until, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, drain)
	marked, _ := s.view.Instance(k)
	if !marked.Instance.GetDraining() || !marked.DrainUntil.Equal(until) || len(marked.Checks) != 1 {
		t.Fatalf("after the mark: %+v", marked)
	}
	if got := marked.Answer().GetDrainUntil(); !got.AsTime().Equal(until) {
		t.Errorf("the answer says %v", got)
	}
	if sv, _ := s.view.Service(k.Service); sv.Counts.Draining != 1 {
		t.Errorf("counts %+v", sv.Counts)
	}
	_, err = s.run(t, drain)
	wantFault(t, err, fault.Conflict, "", "expected was")

	s.register(t, in) // it came back: the removal must not happen
	_, err = s.run(t, made(t)(RemoveDrainedOp(marked, Write{})))
	wantFault(t, err, fault.Conflict, "", "expected was")

	drain, _ = DrainOp(s.view, k, time.Time{}, Write{})
	s.must(t, drain)
	marked, _ = s.view.Instance(k)
	if !marked.DrainUntil.IsZero() {
		t.Errorf("a drain without end is until %v", marked.DrainUntil)
	}
	s.must(t, made(t)(RemoveDrainedOp(marked, Write{})))
	if _, ok := s.view.Service(k.Service); ok {
		t.Error("the service is still there")
	}
	if got := s.names(t, record.KindCheck); len(got) != 0 {
		t.Errorf("checks %q are left", got)
	}
}

func TestExpectRevision(t *testing.T) {
	s := newStore(t)
	k := ServiceOf("", "", "web")
	_, err := DeleteServiceOp(s.view, ServiceKey{Name: "Web"}, 0, Write{})
	wantFault(t, err, fault.Invalid, "name", `use "web"`)
	gone, err := DeleteServiceOp(s.view, k, 0, Write{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.run(t, gone)
	wantFault(t, err, fault.NotFound, "", `service "web" has no definition`)

	put := func(expect uint64) error {
		op, _, err := PutServiceOp(s.view, &pb.Service{Name: "web"}, expect, Write{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.run(t, op)
		return err
	}
	wantFault(t, put(7), fault.Conflict, "", `the definition of service "web" does not exist (expected was revision 7)`)
	wantFault(t, put(0), 0, "", "")
	sv, _ := s.view.Service(k)
	wantFault(t, put(sv.DefinitionMeta.ModifyRevision), 0, "", "")
	err = put(sv.DefinitionMeta.ModifyRevision)
	wantFault(t, err, fault.Conflict, "", "is at revision")
	if f, _ := fault.As(err); f.Revision != s.view.At().Data {
		t.Errorf("the conflict names revision %d, the newest is %d", f.Revision, s.view.At().Data)
	}
	del, _ := DeleteServiceOp(s.view, k, 1, Write{})
	_, err = s.run(t, del)
	wantFault(t, err, fault.Conflict, "", "is at revision")
	del, _ = DeleteServiceOp(s.view, k, s.view.At().Data, Write{})
	s.must(t, del)
	if _, ok := s.view.Service(k); ok {
		t.Error("the definition is still there")
	}
}

func TestRoutes(t *testing.T) {
	s := newStore(t)
	op, _, err := PutRouteOp(s.view, &pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"}, 0, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	if _, ok := s.changes.Routes[NamespaceOf("", "")]; !ok {
		t.Errorf("changes %+v", s.changes)
	}
	rv, ok := s.view.Route("default", "default", "shop")
	if !ok || rv.Route.GetPrefix() != "/" || rv.Key != NamespaceOf("", "").Route("shop") || rv.Version != 1 {
		t.Fatalf("route %+v", rv)
	}
	del, err := DeleteRouteOp(s.view, rv.Key, rv.ModifyRevision, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, del)
	if got := slices.Collect(s.view.Routes("default", "default")); len(got) != 0 {
		t.Errorf("routes %v", got)
	}
	del, _ = DeleteRouteOp(s.view, rv.Key, 0, Write{})
	_, err = s.run(t, del)
	wantFault(t, err, fault.NotFound, "", `there is no route "shop"`)
}

func TestTenancy(t *testing.T) {
	s := newStore(t)
	op, out, err := CreateTenantOp(&pb.Tenant{Name: "acme", Description: "d", Id: 9}, [16]byte{0xab}, Write{})
	if err != nil || out.GetUid() != "ab000000000000000000000000000000" || out.GetId() != 0 {
		t.Fatal(out, err)
	}
	res := s.must(t, op)
	if tenant, ok := s.view.Tenant("acme"); !ok || tenant.GetId() != res.ID || tenant.GetUid() != out.GetUid() || tenant.GetMeta().GetVersion() != 1 {
		t.Errorf("tenant %v, result %+v", tenant, res)
	}
	if !s.changes.Tenancy {
		t.Errorf("changes %+v", s.changes)
	}
	_, err = s.run(t, op)
	wantFault(t, err, fault.Exists, "", `tenant "acme" exists already`)

	op, _, err = CreateNamespaceOp(s.view, &pb.Namespace{Tenant: "acme", Name: "shop"}, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	_, err = s.run(t, op)
	wantFault(t, err, fault.Exists, "", `namespace "shop" of tenant "acme" exists already`)
	names := keys(t, s.view.Namespaces("acme"), (*pb.Namespace).GetName)
	if !slices.Equal(names, []string{"default", "shop"}) {
		t.Errorf("namespaces %q", names)
	}

	in := web("a")
	in.Tenant, in.Namespace = "acme", "shop"
	s.register(t, in)
	del, _ := DeleteNamespaceOp(s.view, "acme", "shop", Write{})
	_, err = s.run(t, del)
	wantFault(t, err, fault.Conflict, "", `namespace "shop" of tenant "acme" is not empty (delete what is in it first)`)
	drop, _ := DeleteTenantOp("acme", Write{})
	_, err = s.run(t, drop)
	wantFault(t, err, fault.Conflict, "", `tenant "acme" is not empty`)

	out1, _ := DeregisterOp(s.view, ServiceOf("acme", "shop", "web").Instance("a"), Write{})
	s.must(t, out1)
	s.must(t, del)
	s.must(t, drop)
	if _, ok := s.view.Tenant("acme"); ok {
		t.Error("the tenant is still there")
	}
	_, err = s.run(t, drop)
	wantFault(t, err, fault.NotFound, "", `there is no tenant "acme"`)
	if _, err := s.view.Resolve("", "acme", ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("resolve: %v", err)
	}
}

func TestNodes(t *testing.T) {
	s := newStore(t)
	for _, name := range []string{"n2", "n1"} {
		op, err := PutNodeOp(&pb.Node{Name: name, Replica: 1, GrpcAddress: "10.0.0.1:8502"}, Write{})
		if err != nil {
			t.Fatal(err)
		}
		s.must(t, op)
	}
	if !s.changes.Nodes {
		t.Errorf("changes %+v", s.changes)
	}
	if got := s.view.Nodes(); len(got) != 2 || got[0].GetName() != "n1" || got[1].GetGrpcAddress() != "10.0.0.1:8502" {
		t.Errorf("nodes %v", got)
	}
}

func TestConfig(t *testing.T) {
	s := newStore(t)
	k := NamespaceOf("", "").Config("app/db")
	put := func(value string, c Condition) error {
		op, out, err := PutConfigOp(s.view, &pb.Config{Name: k.Name, Value: []byte(value), Format: pb.Format_FORMAT_JSON}, c, Write{
			Writer: record.Writer{Actor: "ada", Message: "why", Time: 5},
		})
		if err != nil {
			return err
		}
		if out.GetDigest() == "" || out.GetValue() != nil || out.GetTenant() != "default" {
			t.Errorf("answer %v", out)
		}
		_, err = s.run(t, op)
		return err
	}
	wantFault(t, put(`{"a":1}`, Condition{CreateOnly: true}), 0, "", "")
	wantFault(t, put(`{"a":1}`, Condition{CreateOnly: true}), fault.Exists, "", `config entry "app/db" exists already`)
	wantFault(t, put(`{"a":2}`, Condition{ExpectRevision: 99}), fault.Conflict, "", "is at revision")
	wantFault(t, put(`{"a":2}`, Condition{ExpectRevision: s.view.At().Data}), 0, "", "")
	wantFault(t, put(`{"a":2}`, Condition{ExpectRevision: 1, CreateOnly: true}), fault.Invalid, "expect_revision", "contradicts")
	wantFault(t, put("{\"a\":\n2,}", Condition{}), fault.Invalid, "config.value", "is not valid json: line 2, column 3")

	key, err := ConfigRecordKey(s.view, k)
	if err != nil {
		t.Fatal(err)
	}
	versions, err := state.History(s.kv, key, 0)
	if err != nil || len(versions) != 2 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	op, _, err := RollbackConfigOp(s.view, k, versions[1], 0, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, op)
	r, _, err := state.Get(s.kv, key, 0)
	if err != nil {
		t.Fatal(err)
	}
	got := ConfigAnswer(k, testRegion, r)
	digest, _ := Digest(pb.Format_FORMAT_JSON, []byte(`{ "a": 1.0 }`))
	if string(got.GetValue()) != `{"a":1}` || got.GetFormat() != pb.Format_FORMAT_JSON || got.GetDigest() != digest ||
		got.GetMeta().GetVersion() != 3 || got.GetMeta().GetRegion() != testRegion {
		t.Errorf("after the rollback: %v", got)
	}
	first := ConfigAnswer(k, testRegion, versions[1])
	if first.GetAuthor() != "ada" || first.GetMessage() != "why" || first.GetTime().GetNanos() != 5 {
		t.Errorf("the first version: %v", first)
	}

	del, err := DeleteConfigOp(s.view, k, 0, Write{})
	if err != nil {
		t.Fatal(err)
	}
	s.must(t, del)
	_, err = s.run(t, del)
	wantFault(t, err, fault.NotFound, "", `there is no config entry "app/db"`)
	versions, _ = state.History(s.kv, key, 0)
	_, _, err = RollbackConfigOp(s.view, k, versions[0], 0, Write{})
	wantFault(t, err, fault.Invalid, "to_revision", "is a deletion")

	large := &pb.Config{Name: "big", Value: make([]byte, MaxConfigValue+1)}
	_, _, err = PutConfigOp(s.view, large, Condition{}, Write{})
	wantFault(t, err, fault.TooLarge, "config.value", "the limit is 1048576")
	if bare := ConfigAnswer(k, testRegion, record.Record{}); bare.GetDigest() != "" {
		t.Error("an entry without its value has a digest")
	}
	rng, err := ConfigRange(s.view, "", "", "app/")
	if err != nil || rng.From != "app/" || rng.To != "app0" || rng.Kind != record.KindConfig {
		t.Errorf("range %+v, %v", rng, err)
	}
	_, err = ConfigRange(s.view, "", "nowhere", "")
	wantFault(t, err, fault.NotFound, "namespace", "namespace create nowhere")
	_, err = ConfigRange(s.view, "", "", "a\x00")
	wantFault(t, err, fault.Invalid, "prefix", "NUL")
}

func TestConfigTxn(t *testing.T) {
	s := newStore(t)
	put := func(name, value string) *pb.TxnOp {
		return &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: name, Value: []byte(value), Format: pb.Format_FORMAT_TOML}}}
	}
	get := func(name string) *pb.TxnOp { return &pb.TxnOp{Op: &pb.TxnOp_Get_{Get: &pb.TxnOp_Get{Name: name}}} }
	del := func(name string) *pb.TxnOp {
		return &pb.TxnOp{Op: &pb.TxnOp_Delete_{Delete: &pb.TxnOp_Delete{Name: name}}}
	}
	absent := &pb.Compare{Name: "a", Target: pb.Compare_TARGET_CREATE_REVISION}
	req := &pb.TxnRequest{
		Compare: []*pb.Compare{absent},
		Then:    []*pb.TxnOp{put("a", "x = 1"), get("a"), get("none")},
		Else:    []*pb.TxnOp{del("a"), get("a")},
	}
	run := func() *pb.TxnResponse {
		op, err := ConfigTxnOp(s.view, req, Write{})
		if err != nil {
			t.Fatal(err)
		}
		res, _ := s.run(t, op)
		return ConfigTxnAnswer(testRegion, req, res)
	}
	got := run()
	if !got.GetSucceeded() || len(got.GetResults()) != 3 || got.GetHeader().GetRevision() != s.view.At().Data {
		t.Fatalf("then: %v", got)
	}
	if c := got.GetResults()[0].GetConfig(); c.GetName() != "a" || c.GetMeta().GetModifyRevision() != s.view.At().Data {
		t.Errorf("put: %v", c)
	}
	if c := got.GetResults()[1].GetConfig(); string(c.GetValue()) != "x = 1" || c.GetFormat() != pb.Format_FORMAT_TOML || c.GetDigest() == "" {
		t.Errorf("get: %v", c)
	}
	if got.GetResults()[2].GetConfig() != nil {
		t.Errorf("get of nothing: %v", got.GetResults()[2])
	}
	got = run()
	if got.GetSucceeded() || len(got.GetResults()) != 2 || got.GetResults()[0].GetDeleted() != 1 || got.GetResults()[1].GetConfig() != nil {
		t.Errorf("else: %v", got)
	}

	tests := []struct {
		name  string
		req   *pb.TxnRequest
		kind  fault.Kind
		field string
		text  string
	}{
		{"compare name", &pb.TxnRequest{Compare: []*pb.Compare{{Target: 1}}}, fault.Invalid, "compare[0].name", "is empty"},
		{"compare target", &pb.TxnRequest{Compare: []*pb.Compare{{Name: "a"}}}, fault.Invalid, "compare[0].target", "no part"},
		{"compare target above", &pb.TxnRequest{Compare: []*pb.Compare{{Name: "a", Target: 9}}}, fault.Invalid, "compare[0].target", "no part"},
		{"compare operator", &pb.TxnRequest{Compare: []*pb.Compare{{Name: "a", Target: 1, Operator: -1}}}, fault.Invalid, "compare[0].operator", "not an operator"},
		{"no operation", &pb.TxnRequest{Then: []*pb.TxnOp{{}}}, fault.Invalid, "then[0]", "use put, get or delete"},
		{"put name", &pb.TxnRequest{Else: []*pb.TxnOp{put("..", "")}}, fault.Invalid, "else[0].put.name", `segment ".."`},
		{"put value", &pb.TxnRequest{Then: []*pb.TxnOp{put("a", "= 1")}}, fault.Invalid, "then[0].put.value", "is not valid toml: line 1"},
		{"get name", &pb.TxnRequest{Then: []*pb.TxnOp{get("")}}, fault.Invalid, "then[0].get.name", "is empty"},
		{"delete name", &pb.TxnRequest{Then: []*pb.TxnOp{del("a//b")}}, fault.Invalid, "then[0].delete.name", "empty segment"},
		{"twice", &pb.TxnRequest{Then: []*pb.TxnOp{put("a", ""), del("a")}}, fault.Invalid, "then[1]", `changes "a", as then[0] does`},
		{"too many", &pb.TxnRequest{Then: make([]*pb.TxnOp, 129)}, fault.Invalid, "then", "129 operations"},
		{"namespace", &pb.TxnRequest{Namespace: "x"}, fault.NotFound, "namespace", "no namespace"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ConfigTxnOp(s.view, tt.req, Write{})
			wantFault(t, err, tt.kind, tt.field, tt.text)
		})
	}
}

func TestOutcome_Statuses(t *testing.T) {
	want := map[record.Status]fault.Kind{
		record.StatusInvalid: fault.Invalid, record.StatusTooLarge: fault.TooLarge, record.StatusNotFound: fault.NotFound,
		record.StatusExists: fault.Exists, record.StatusNotEmpty: fault.Conflict, record.StatusCompacted: fault.Compacted,
		record.StatusFuture: fault.FutureRevision, record.StatusNoSpace: fault.Exhausted,
		record.StatusIdempotencyExpired: fault.IdempotencyExpired, record.StatusStale: fault.OutcomeUnknown,
		record.StatusQuota: fault.Exhausted, record.StatusDenied: fault.Denied, 200: fault.Internal,
	}
	for status, kind := range want {
		if err := Outcome(record.Op{}, record.Result{Status: status, Detail: "why"}); !fault.Is(err, kind) {
			t.Errorf("status %d is %v, want %v", status, err, kind)
		}
	}
	if err := Outcome(record.Op{}, record.Result{}); err != nil {
		t.Errorf("ok: %v", err)
	}
	// A recognised retry of a transaction whose compare failed tells no more than that.
	txn := &record.Txn{Compare: []record.Compare{unchanged(record.Key{}, 3)}}
	err := Outcome(record.Op{Txn: txn}, record.Result{Duplicate: true, Txn: &record.TxnResult{}})
	wantFault(t, err, fault.Conflict, "", "changed meanwhile")
}
