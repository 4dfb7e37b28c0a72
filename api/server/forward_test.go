package server

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry/access"
)

// exchange is a Homes: names that begin with a region's name and a slash are that region's, others are here.
type exchange struct {
	self    string
	peers   map[string]*Server // by name
	ids     map[string][16]byte
	covered map[[16]byte]uint64

	mu    sync.Mutex
	calls []*federation.ForwardedCall
	// lost has the answer of a call get lost, down has no call get through.
	lost, down bool
	life       uint64 // beyond the first
	ended      chan struct{}
}

func (e *exchange) home(name string) federation.Home {
	for region, id := range e.ids {
		if strings.HasPrefix(name, region+"/") {
			return federation.Home{Region: id, Name: region, Here: region == e.self, Known: true}
		}
	}
	return federation.Home{Region: e.ids[e.self], Name: e.self, Here: true, Known: true}
}

func (e *exchange) Self() ([16]byte, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ids[e.self], 1 + e.life
}

func (e *exchange) Life(context.Context) (uint64, <-chan struct{}, error) {
	_, n := e.Self()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended == nil {
		e.ended = make(chan struct{})
	}
	return n, e.ended, nil
}

// mint begins the next incarnation.
func (e *exchange) mint() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.life++
	if e.ended != nil {
		close(e.ended)
		e.ended = nil
	}
}

func (e *exchange) Home(_, _ uint32, name string) federation.Home { return e.home(name) }

func (e *exchange) FreshHome(_, _ uint32, name string) (federation.Home, error) {
	return e.home(name), nil
}

func (e *exchange) Homes(_, _ uint32, prefix string) []federation.Home {
	if prefix != "" {
		return []federation.Home{e.home(prefix)}
	}
	return []federation.Home{e.home(""), e.home("dc2/")}
}

func (e *exchange) Seen([16]byte, uint64) uint64 { return 1 }

func (e *exchange) Await(_ context.Context, region [16]byte, _, revision uint64, _ ...record.Class) error {
	if e.covered[region] < revision {
		return fault.New(fault.Deadline, "not yet")
	}
	return nil
}

func (e *exchange) Forward(ctx context.Context, region [16]byte, c *federation.ForwardedCall) ([]byte, error) {
	e.mu.Lock()
	e.calls = append(e.calls, c)
	down, lost := e.down, e.lost
	e.lost = false
	e.mu.Unlock()
	if down {
		return nil, fault.New(fault.Unavailable, `region "dc2" cannot be reached`)
	}
	there := *c
	there.OriginName, there.Tenant = e.self, 1
	answer, err := e.peers[e.name(region)].Forwarded(ctx, &there)
	if lost {
		return nil, fault.New(fault.OutcomeUnknown, "the link ended")
	}
	return answer, err
}

func (e *exchange) name(region [16]byte) string {
	for n, id := range e.ids {
		if id == region {
			return n
		}
	}
	return ""
}

// pair is two servers of regions dc1 and dc2 that hand each other calls.
func pair(t *testing.T, change ...func(*Config)) (a, b *harness, x, y *exchange) {
	t.Helper()
	ids := map[string][16]byte{"dc1": {1}, "dc2": {2}}
	x = &exchange{self: "dc1", ids: ids, peers: map[string]*Server{}, covered: map[[16]byte]uint64{}}
	y = &exchange{self: "dc2", ids: ids, peers: map[string]*Server{}, covered: map[[16]byte]uint64{}}
	a = newHarness(t, append([]func(*Config){func(c *Config) { c.Homes, c.Sources = x, ages{{2}: 7 * time.Second} }}, change...)...)
	b = newHarness(t, append([]func(*Config){func(c *Config) {
		c.Homes, c.RegionName, c.ForwardedRole = y, "dc2", ForwardedUpTo(access.RoleOperator)
	}}, change...)...)
	x.peers["dc2"], y.peers["dc1"] = b.Server, a.Server
	return a, b, x, y
}

func putConfig(name, value string, o *pb.WriteOptions) *pb.PutConfigRequest {
	return &pb.PutConfigRequest{Config: &pb.Config{Name: name, Value: []byte(value)}, Options: o}
}

func TestForward_WritesGoHome(t *testing.T) {
	a, b, x, _ := pair(t)
	ctx := t.Context()
	got, err := a.config.PutConfig(ctx, putConfig("dc2/a", "1", nil))
	if err != nil {
		t.Fatal(err)
	}
	h := got.GetHeader()
	if h.GetRegion() != "dc2" || !h.GetForwarded() || h.GetRevision() == 0 || got.GetConfig().GetSource().GetRegion() != "dc2" {
		t.Errorf("answer %v", got)
	}
	tokens, err := sessionsOf(h.GetSessionToken())
	if err != nil || tokens[0] != (session{region: [16]byte{2}, shard: record.ShardData, incarnation: 1, revision: h.GetRevision()}) {
		t.Errorf("token %v (%v)", tokens, err)
	}
	there, err := b.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "dc2/a"})
	if err != nil || string(there.GetConfig().GetValue()) != "1" || there.GetConfig().GetAuthor() != "dev@dc1" {
		t.Errorf("at the home: %v, %v", there, err)
	}
	_, err = a.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "dc2/a"})
	wantFault(t, err, fault.NotFound, "name")
	if c := x.calls[0]; c.RequestID == "" || c.Principal != "dev" {
		t.Errorf("it carried %+v", c)
	}
	own, err := a.config.PutConfig(ctx, putConfig("b", "1", nil))
	if err != nil || own.GetHeader().GetRegion() != "dc1" || own.GetHeader().GetForwarded() || own.GetHeader().GetSessionToken() == "" {
		t.Errorf("of its own: %v, %v", own, err)
	}
	if len(x.calls) != 1 {
		t.Errorf("%d calls", len(x.calls))
	}
	// Everything with a home goes there, and only that.
	if _, err := a.config.Txn(ctx, &pb.TxnRequest{Then: []*pb.TxnOp{{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: "dc2/t"}}}}}); err != nil {
		t.Error(err)
	}
	if _, err := a.config.RollbackConfig(ctx, &pb.RollbackConfigRequest{Name: "dc2/a", ToRevision: h.GetRevision()}); err != nil {
		t.Error(err)
	}
	if _, err := a.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "dc2/a"}); err != nil {
		t.Error(err)
	}
	if len(x.calls) != 4 {
		t.Errorf("%d calls", len(x.calls))
	}
	_, err = a.config.Txn(ctx, &pb.TxnRequest{Then: []*pb.TxnOp{
		{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: "dc2/t"}}}, {Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: "t"}}},
	}})
	if e := wantFault(t, err, fault.Invalid, ""); !strings.Contains(e.Message, "dc2") {
		t.Errorf("two homes: %v", e)
	}
	a.register(t, "web", "a", "10.1.0.1", 80)
	if len(x.calls) != 4 {
		t.Error("registering an instance asked another region")
	}
}

// A forwarded write is one trace: the span of the home is a child of that of the region that was asked.
func TestForward_Trace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	a, _, _, _ := pair(t, func(c *Config) { c.Tracer = provider.Tracer("test") })
	if _, err := a.config.PutConfig(t.Context(), putConfig("dc2/a", "1", nil)); err != nil {
		t.Fatal(err)
	}
	ended := spans.Ended() // the home's first
	if len(ended) != 2 || ended[0].Parent().SpanID() != ended[1].SpanContext().SpanID() {
		t.Errorf("%d spans, the first of %s", len(ended), ended[0].Parent().SpanID())
	}
}

func TestForward_RunsOnce(t *testing.T) {
	a, b, x, _ := pair(t)
	ctx := t.Context()
	o := &pb.WriteOptions{RequestId: "r1", SeenRevision: 1}
	x.lost = true
	_, err := a.config.PutConfig(ctx, putConfig("dc2/a", "1", o))
	wantFault(t, err, fault.OutcomeUnknown, "")
	again, err := a.config.PutConfig(ctx, putConfig("dc2/a", "1", o))
	if err != nil || !again.GetHeader().GetDuplicate() {
		t.Fatal(again, err)
	}
	got, err := b.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "dc2/a"})
	if err != nil || got.GetConfig().GetMeta().GetVersion() != 1 {
		t.Errorf("at the home: %v, %v", got, err)
	}
	// Without an id the region mints one.
	if _, err := a.config.PutConfig(ctx, putConfig("dc2/a", "2", nil)); err != nil {
		t.Fatal(err)
	}
	m := &pb.PutConfigRequest{}
	if err := proto.Unmarshal(x.calls[2].Request, m); err != nil || len(m.GetOptions().GetRequestId()) < 20 {
		t.Errorf("request %v (%v)", m, err)
	}
}

func TestForward_ErrorsKeepWhatTheySay(t *testing.T) {
	a, _, x, _ := pair(t)
	ctx := t.Context()
	first, err := a.config.PutConfig(ctx, putConfig("dc2/a", "1", nil))
	if err != nil {
		t.Fatal(err)
	}
	stale := putConfig("dc2/a", "2", nil)
	stale.ExpectRevision = first.GetHeader().GetRevision() + 7
	_, err = a.config.PutConfig(ctx, stale)
	if e := wantFault(t, err, fault.Conflict, ""); e.Revision != first.GetHeader().GetRevision() || e.Hint == "" {
		t.Errorf("conflict %+v", e)
	}
	bad := putConfig("dc2/b", "{", nil)
	bad.Config.Format = pb.Format_FORMAT_JSON
	_, err = a.config.PutConfig(ctx, bad)
	wantFault(t, err, fault.Invalid, "config.value")
	x.down = true
	_, err = a.config.PutConfig(ctx, putConfig("dc2/a", "3", nil))
	if e := wantFault(t, err, fault.Unavailable, ""); !strings.Contains(e.Message, "dc2") {
		t.Errorf("down: %v", e)
	}
}

func TestForward_Never(t *testing.T) {
	a, _, x, _ := pair(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-forward", "never")
	_, err := a.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "dc2/a", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME}})
	if e := wantFault(t, err, fault.NotHome, ""); !strings.Contains(e.Message, `"dc2"`) {
		t.Errorf("read: %v", e)
	}
	a.region.proposeErr = fault.New(fault.NotHome, "the home of it is region 02")
	_, err = a.config.PutConfig(ctx, putConfig("dc2/a", "1", nil))
	if e := wantFault(t, err, fault.NotHome, ""); !strings.Contains(e.Message, `"dc2"`) {
		t.Errorf("write: %v", e)
	}
	if len(x.calls) != 0 {
		t.Errorf("%d calls", len(x.calls))
	}
}

// A region that is asked and is not the home says so; it asks nobody.
func TestForward_OneHop(t *testing.T) {
	a, _, _, y := pair(t)
	y.ids = map[string][16]byte{"dc1": {1}, "dc2": {2}, "dc3": {3}}
	y.self = "dc3" // what is dc2's for the one is not for the other
	_, err := a.config.PutConfig(t.Context(), putConfig("dc2/a", "1", nil))
	wantFault(t, err, fault.NotHome, "")
	if len(y.calls) != 0 {
		t.Errorf("it was forwarded again: %d", len(y.calls))
	}
}

func TestForward_TheHomeDecides(t *testing.T) {
	a, b, x, _ := pair(t, func(c *Config) { c.ForwardedRole = ForwardedAs([]string{"ops@dc1"}, []string{"*@dc1"}) })
	_, err := a.config.PutConfig(t.Context(), putConfig("dc2/a", "1", nil))
	if e := wantFault(t, err, fault.Denied, ""); !strings.Contains(e.Message, `"dev@dc1"`) {
		t.Errorf("a reader: %v", e)
	}
	_, err = a.config.GetConfig(t.Context(), &pb.GetConfigRequest{Name: "dc2/a", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME}})
	wantFault(t, err, fault.NotFound, "name")
	for _, tt := range []struct {
		origin, name string
		claimed      access.Role
		want         access.Role
	}{
		{"dc1", "ops", access.RoleOperator, access.RoleOperator},
		{"dc1", "ops", access.RoleReader, access.RoleReader},
		{"dc1", "eve", access.RoleOperator, access.RoleReader},
		{"dc3", "ops", access.RoleOperator, access.RoleAnonymous},
	} {
		if got := b.cfg.ForwardedRole(tt.origin, tt.name, tt.claimed); got != tt.want {
			t.Errorf("%+v is %s", tt, got)
		}
	}
	if _, err := b.Forwarded(t.Context(), &federation.ForwardedCall{
		OriginName: "dc3", Principal: "ops", Role: "operator", Method: x.calls[0].Method, Request: x.calls[0].Request, Tenant: 1,
	}); !fault.Is(err, fault.Denied) {
		t.Errorf("a stranger: %v", err)
	}
	for _, method := range []string{pb.TenantService_CreateTenant_FullMethodName, pb.RegistryService_RegisterInstance_FullMethodName, "/no/such"} {
		if _, err := b.Forwarded(t.Context(), &federation.ForwardedCall{
			OriginName: "dc1", Principal: "ops", Role: "operator", Method: method, Tenant: 1,
		}); !fault.Is(err, fault.Unsupported) {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestRead_Levels(t *testing.T) {
	a, b, x, _ := pair(t)
	ctx := t.Context()
	put, err := b.config.PutConfig(ctx, putConfig("dc2/a", "1", nil))
	if err != nil {
		t.Fatal(err)
	}
	get := func(o *pb.ReadOptions) (*pb.GetConfigResponse, error) {
		return a.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "dc2/a", Read: o})
	}
	got, err := get(&pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME})
	if err != nil || got.GetHeader().GetRegion() != "dc2" || string(got.GetConfig().GetValue()) != "1" {
		t.Errorf("home: %v, %v", got, err)
	}
	// The copy of dc2 is 7 s old.
	_, err = get(&pb.ReadOptions{MaxAge: durationpb.New(time.Second)})
	if e := wantFault(t, err, fault.Unavailable, ""); !strings.Contains(e.Message, "7s") {
		t.Errorf("bounded: %v", e)
	}
	if got, err = get(&pb.ReadOptions{MaxAge: durationpb.New(time.Second), Forward: true}); err != nil || got.GetHeader().GetRegion() != "dc2" {
		t.Errorf("bounded, forwarded: %v, %v", got, err)
	}
	_, err = get(&pb.ReadOptions{MaxAge: durationpb.New(10 * time.Second)})
	wantFault(t, err, fault.NotFound, "name") // young enough; the fake regions exchange nothing
	_, err = get(&pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_BOUNDED})
	wantFault(t, err, fault.Invalid, "read.max_age")
	token := put.GetHeader().GetSessionToken()
	_, err = get(&pb.ReadOptions{Session: token})
	wantFault(t, err, fault.Deadline, "")
	x.covered[[16]byte{2}] = put.GetHeader().GetRevision()
	_, err = get(&pb.ReadOptions{Session: token})
	wantFault(t, err, fault.NotFound, "name")
	for _, bad := range []string{"x", "AQ", token + "AA", strings.Repeat(token+",", maxTokens) + token} {
		if _, err = get(&pb.ReadOptions{Session: bad}); !fault.Is(fromGRPC(err), fault.Invalid) {
			t.Errorf("token %q: %v", bad, err)
		}
	}
	_, err = a.config.ListConfigs(ctx, &pb.ListConfigsRequest{Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME}})
	wantFault(t, err, fault.Invalid, "prefix")
	_, err = a.registry.Lookup(ctx, &pb.LookupRequest{Service: "web", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME}})
	wantFault(t, err, fault.Invalid, "region")
}

// The token of a write of this region waits for this node's view.
func TestRead_SessionOfThisRegion(t *testing.T) {
	h := newHarness(t)
	put, err := h.registry.PutRoute(t.Context(), &pb.PutRouteRequest{Route: &pb.Route{Name: "r", Hosts: []string{"*"}, Service: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	token := put.GetHeader().GetSessionToken()
	got, err := h.registry.GetRoute(t.Context(), &pb.GetRouteRequest{Name: "r", Read: &pb.ReadOptions{Session: token}})
	if err != nil || got.GetRoute().GetSource().GetRevision() != put.GetHeader().GetRevision() {
		t.Errorf("%v, %v", got, err)
	}
	if a := h.do(t, "GET", "/api/v1/routes/r?read.session="+token, ""); a.status != 200 {
		t.Errorf("over HTTP: %d %s", a.status, a.text)
	}
}

func TestRead_BoundedCatalogue(t *testing.T) {
	h := twoRegions(t)
	old := &pb.ReadOptions{MaxAge: durationpb.New(time.Second)}
	_, err := h.registry.Lookup(t.Context(), &pb.LookupRequest{Service: "web", Read: old})
	wantFault(t, err, fault.Unavailable, "")
	_, err = h.registry.ListInstances(t.Context(), &pb.ListInstancesRequest{Service: "web", Read: old})
	wantFault(t, err, fault.Unavailable, "")
	got, err := h.registry.ListInstances(t.Context(), &pb.ListInstancesRequest{Service: "web", Region: "dc1", Read: old})
	if err != nil || len(got.GetInstances()) != 2 {
		t.Errorf("of dc1: %v, %v", got, err)
	}
	got, err = h.registry.ListInstances(t.Context(), &pb.ListInstancesRequest{Service: "web", Region: "dc2"})
	if err != nil || len(got.GetInstances()) != 3 {
		t.Errorf("of dc2: %v, %v", got, err)
	}
	_, err = h.registry.ListInstances(t.Context(), &pb.ListInstancesRequest{Service: "web", Region: "dc9"})
	wantFault(t, err, fault.NotFound, "region")
}
