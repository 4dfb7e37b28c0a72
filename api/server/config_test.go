package server

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

func TestConfig_PutGetDelete(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	put, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{
		Config:  &pb.Config{Name: "app/db", Value: []byte(`{"b":1,"a":2}`), Format: pb.Format_FORMAT_JSON},
		Options: &pb.WriteOptions{Message: "first"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if put.GetHeader().GetRevision() == 0 || len(put.GetConfig().GetDigest()) != 64 || put.GetConfig().GetValue() != nil ||
		put.GetConfig().GetMeta().GetModifyRevision() != put.GetHeader().GetRevision() {
		t.Errorf("put %v", put)
	}
	before := h.region.linearized
	got, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "app/db"})
	if err != nil {
		t.Fatal(err)
	}
	c := got.GetConfig()
	if string(c.GetValue()) != `{"b":1,"a":2}` || c.GetDigest() != put.GetConfig().GetDigest() || c.GetAuthor() != "dev" ||
		c.GetMessage() != "first" || c.GetMeta().GetVersion() != 1 || c.GetTime() == nil {
		t.Errorf("get %v", c)
	}
	if got.GetHeader().GetAge().AsDuration() != 0 || h.region.linearized != before {
		t.Errorf("the default read is not the region's linearizable one: %v", got.GetHeader())
	}
	local, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "app/db", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}})
	if err != nil || local.GetHeader().GetAge().AsDuration() == 0 {
		t.Errorf("a local read: %v, %v", local.GetHeader(), err)
	}
	_, err = h.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "app/db", ExpectRevision: 999})
	wantFault(t, err, fault.Conflict, "")
	if _, err := h.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "app/db"}); err != nil {
		t.Fatal(err)
	}
	_, err = h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "app/db"})
	wantFault(t, err, fault.NotFound, "name")
	old, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "app/db", Revision: put.GetHeader().GetRevision()})
	if err != nil || len(old.GetConfig().GetValue()) == 0 {
		t.Errorf("at its revision: %v, %v", old, err)
	}
	_, err = h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "app/db", Revision: 10_000})
	wantFault(t, err, fault.FutureRevision, "")
}

func TestConfig_Conditions(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	_, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("2")}, CreateOnly: true})
	wantFault(t, err, fault.Exists, "")
	_, err = h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("2")}, ExpectRevision: first + 1})
	if e := wantFault(t, err, fault.Conflict, ""); e.Revision != first {
		t.Errorf("the conflict names revision %d, want %d", e.Revision, first)
	}
	if _, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("2")}, ExpectRevision: first}); err != nil {
		t.Error(err)
	}
}

func TestConfig_RequestIDMakesRetriesSafe(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	req := &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("1")}, Options: &pb.WriteOptions{RequestId: "put-1"}}
	one, err := h.config.PutConfig(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	h.put(t, "a", "2")
	again, err := h.config.PutConfig(ctx, req)
	if err != nil || !again.GetHeader().GetDuplicate() || again.GetHeader().GetRevision() != one.GetHeader().GetRevision() {
		t.Errorf("the retry: %v, %v", again, err)
	}
	got, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "a"})
	if err != nil || string(got.GetConfig().GetValue()) != "2" {
		t.Errorf("after the retry: %v, %v", got, err)
	}
}

// Pages show one moment, whatever is written between them.
func TestConfig_PagesAreConsistent(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	for i := range 5 {
		h.put(t, fmt.Sprintf("app/%d", i), "old")
	}
	h.put(t, "other", "x")
	page, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: "app/", PageSize: 2})
	if err != nil || len(page.GetConfigs()) != 2 || page.GetNextPageToken() == "" || page.GetCount() != 5 {
		t.Fatalf("first page %v, %v", page, err)
	}
	at := page.GetHeader().GetRevision()
	h.put(t, "app/3", "new")
	h.put(t, "app/9", "new")
	if _, err := h.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "app/4"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for token := page.GetNextPageToken(); token != ""; {
		page, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: "app/", PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		if page.GetHeader().GetRevision() != at {
			t.Errorf("a later page is of revision %d, the first of %d", page.GetHeader().GetRevision(), at)
		}
		for _, c := range page.GetConfigs() {
			names = append(names, c.GetName()+"="+string(c.GetValue()))
		}
		token = page.GetNextPageToken()
	}
	if got := strings.Join(names, " "); got != "app/2=old app/3=old app/4=old" {
		t.Errorf("the other pages show %s", got)
	}
}

func TestConfig_ListForms(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.put(t, "a", "1")
	h.put(t, "b", "2")
	keys, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{KeysOnly: true})
	if err != nil || len(keys.GetConfigs()) != 2 || keys.GetConfigs()[0].GetValue() != nil || keys.GetConfigs()[0].GetMeta().GetModifyRevision() == 0 {
		t.Errorf("keys only: %v, %v", keys, err)
	}
	count, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{CountOnly: true})
	if err != nil || len(count.GetConfigs()) != 0 || count.GetCount() != 2 || count.GetNextPageToken() != "" {
		t.Errorf("count only: %v, %v", count, err)
	}
}

func TestPageTokens_AreChecked(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	for _, name := range []string{"a", "b", "c"} {
		h.put(t, name, "x")
		h.register(t, "svc-"+name, "i", "10.0.0.1", 80)
	}
	page, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, req := range map[string]*pb.ListConfigsRequest{
		"not base64":       {PageToken: "???"},
		"too short":        {PageToken: "AQ"},
		"another list":     {PageToken: page.GetNextPageToken(), Prefix: "a"},
		"another revision": {PageToken: page.GetNextPageToken(), Revision: 1},
	} {
		if _, err := h.config.ListConfigs(ctx, req); !fault.Is(fromGRPC(err), fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = h.registry.ListServices(ctx, &pb.ListServicesRequest{PageToken: page.GetNextPageToken()})
	wantFault(t, err, fault.Invalid, "page_token")

	var names []string
	for token, more := "", true; more; more = token != "" {
		list, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.GetServices() {
			names = append(names, s.GetName())
		}
		token = list.GetNextPageToken()
	}
	if got := strings.Join(names, " "); got != "svc-a svc-b svc-c" {
		t.Errorf("pages of services: %s", got)
	}
}

func TestConfig_HistoryAndRollback(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	h.put(t, "a", "2")
	gone, err := h.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.config.RollbackConfig(ctx, &pb.RollbackConfigRequest{Name: "a", ToRevision: gone.GetHeader().GetRevision()})
	wantFault(t, err, fault.Invalid, "to_revision")
	_, err = h.config.RollbackConfig(ctx, &pb.RollbackConfigRequest{Name: "a", ToRevision: 999})
	wantFault(t, err, fault.NotFound, "to_revision")
	back, err := h.config.RollbackConfig(ctx, &pb.RollbackConfigRequest{Name: "a", ToRevision: first})
	if err != nil || back.GetHeader().GetRevision() <= gone.GetHeader().GetRevision() {
		t.Fatalf("rollback %v, %v", back, err)
	}
	got, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "a"})
	if err != nil || string(got.GetConfig().GetValue()) != "1" || got.GetConfig().GetMeta().GetModifyRevision() != back.GetHeader().GetRevision() {
		t.Errorf("after the rollback: %v, %v", got, err)
	}
	hist, err := h.config.ListConfigHistory(ctx, &pb.ListConfigHistoryRequest{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for _, v := range hist.GetVersions() {
		shown = append(shown, fmt.Sprintf("%s %v", v.GetConfig().GetValue(), v.GetDeleted()))
	}
	if got := strings.Join(shown, ", "); got != "1 false,  true, 2 false, 1 false" {
		t.Errorf("history %s", got)
	}
	_, err = h.config.ListConfigHistory(ctx, &pb.ListConfigHistoryRequest{Name: "none"})
	wantFault(t, err, fault.NotFound, "name")
}

func TestTxn(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	put := func(name, value string) *pb.TxnOp {
		return &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: name, Value: []byte(value)}}}
	}
	get := func(name string) *pb.TxnOp {
		return &pb.TxnOp{Op: &pb.TxnOp_Get_{Get: &pb.TxnOp_Get{Name: name}}}
	}
	req := &pb.TxnRequest{
		Compare: []*pb.Compare{{Name: "a", Target: pb.Compare_TARGET_MODIFY_REVISION, Number: first}},
		Then:    []*pb.TxnOp{put("b", "2"), get("b"), {Op: &pb.TxnOp_Delete_{Delete: &pb.TxnOp_Delete{Name: "a"}}}},
		Else:    []*pb.TxnOp{get("a")},
	}
	resp, err := h.config.Txn(ctx, req)
	if err != nil || !resp.GetSucceeded() || len(resp.GetResults()) != 3 || resp.GetHeader().GetRevision() != first+1 {
		t.Fatalf("%v, %v", resp, err)
	}
	if string(resp.GetResults()[1].GetConfig().GetValue()) != "2" || resp.GetResults()[2].GetDeleted() != 1 {
		t.Errorf("results %v", resp.GetResults())
	}
	again, err := h.config.Txn(ctx, req)
	if err != nil || again.GetSucceeded() || len(again.GetResults()) != 1 || again.GetResults()[0].GetConfig() != nil {
		t.Errorf("a comparison that does not hold: %v, %v", again, err)
	}
	// A comparison of the value of what does not exist never holds.
	missing, err := h.config.Txn(ctx, &pb.TxnRequest{
		Compare: []*pb.Compare{{Name: "none", Target: pb.Compare_TARGET_VALUE, Value: nil}},
		Then:    []*pb.TxnOp{put("c", "3")},
	})
	if err != nil || missing.GetSucceeded() {
		t.Errorf("a value compare on a missing key: %v, %v", missing, err)
	}
	_, err = h.config.Txn(ctx, &pb.TxnRequest{Then: []*pb.TxnOp{put("a", "1"), put("a", "2")}})
	wantFault(t, err, fault.Invalid, "then[1]")
}

// What a transaction may touch is decided operation by operation: a reader's transaction of reads alone is still
// a write of the log, so it is denied at the door.
func TestTxn_Authorization(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Principal = as(access.RoleReader) })
	_, err := h.config.Txn(t.Context(), &pb.TxnRequest{Then: []*pb.TxnOp{{Op: &pb.TxnOp_Get_{Get: &pb.TxnOp_Get{Name: "a"}}}}})
	wantFault(t, err, fault.Denied, "")
	reqs := txnRequests(&pb.TxnRequest{
		Tenant: "shop", Compare: []*pb.Compare{{Name: "c"}},
		Then: []*pb.TxnOp{{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: "p"}}}},
		Else: []*pb.TxnOp{{Op: &pb.TxnOp_Delete_{Delete: &pb.TxnOp_Delete{Name: "d"}}}, {Op: &pb.TxnOp_Get_{Get: &pb.TxnOp_Get{Name: "g"}}}},
	})
	var got []string
	for _, r := range reqs {
		got = append(got, fmt.Sprintf("%s %s/%s/%s", r.Verb, r.Tenant, r.Namespace, r.Name))
	}
	if s := strings.Join(got, ", "); s != "get shop/default/c, put shop/default/p, delete shop/default/d, get shop/default/g" {
		t.Errorf("decides on %s", s)
	}
}

func TestBadInput(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	put := func(c *pb.Config) error {
		_, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: c})
		return err
	}
	reg := func(in *pb.Instance) error {
		_, err := h.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: in})
		return err
	}
	long := strings.Repeat("x", 600)
	tests := []struct {
		name  string
		err   error
		kind  fault.Kind
		field string
	}{
		{"no config", put(nil), fault.Invalid, "config"},
		{"no name", put(&pb.Config{}), fault.Invalid, "config.name"},
		{"NUL in a name", put(&pb.Config{Name: "a\x00b"}), fault.Invalid, "config.name"},
		{"dots in a name", put(&pb.Config{Name: "a/../b"}), fault.Invalid, "config.name"},
		{"long name", put(&pb.Config{Name: long}), fault.TooLarge, "config.name"},
		{"unknown tenant", put(&pb.Config{Tenant: "none", Name: "a"}), fault.NotFound, "config.tenant"},
		{"large value", put(&pb.Config{Name: "a", Value: make([]byte, 1<<20+1)}), fault.TooLarge, "config.value"},
		{"bad JSON", put(&pb.Config{Name: "a", Value: []byte("{"), Format: pb.Format_FORMAT_JSON}), fault.Invalid, "config.value"},
		{"bad YAML", put(&pb.Config{Name: "a", Value: []byte("a: [1"), Format: pb.Format_FORMAT_YAML}), fault.Invalid, "config.value"},
		{"bad TOML", put(&pb.Config{Name: "a", Value: []byte("a = "), Format: pb.Format_FORMAT_TOML}), fault.Invalid, "config.value"},
		{"unknown format", put(&pb.Config{Name: "a", Format: 99}), fault.Invalid, "config.format"},
		{"port 0", reg(&pb.Instance{Service: "web", Address: "10.0.0.1"}), fault.Invalid, "instance.port"},
		{"port 70000", reg(&pb.Instance{Service: "web", Address: "10.0.0.1", Port: 70000}), fault.Invalid, "instance.port"},
		{"host name as address", reg(&pb.Instance{Service: "web", Address: "host.example", Port: 80}), fault.Invalid, "instance.address"},
		{"upper case service", reg(&pb.Instance{Service: "Web", Address: "10.0.0.1", Port: 80}), fault.Invalid, "instance.service"},
		{"unspecified check", reg(&pb.Instance{Service: "web", Address: "10.0.0.1", Port: 80, Checks: []*pb.Check{{}}}), fault.Invalid, "instance.checks[0].type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantFault(t, tt.err, tt.kind, tt.field) })
	}
	_, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "a"}, Options: &pb.WriteOptions{RequestId: strings.Repeat("x", 65)}})
	wantFault(t, err, fault.TooLarge, "options.request_id")
}

// rawCodec sends bytes that no client library would make.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal([]byte, any) error   { return nil }
func (rawCodec) Name() string                  { return "proto" }

func TestBadInput_Bytes(t *testing.T) {
	h := newHarness(t)
	call := func(raw []byte) error {
		return h.conn.Invoke(t.Context(), pb.ConfigService_GetConfig_FullMethodName, &raw, &raw, grpc.ForceCodec(rawCodec{}))
	}
	e := wantFault(t, call([]byte{0x1a, 2, 0xff, 0xfe}), fault.Invalid, "")
	if !strings.Contains(e.Message, "UTF-8") {
		t.Errorf("invalid UTF-8: %v", e)
	}
	wantFault(t, call([]byte{0x1a, 200}), fault.Invalid, "")
	wantFault(t, call(append([]byte{0x7a, 0x80, 0x80, 2}, make([]byte, 32768)...)), fault.TooLarge, "")
	wantFault(t, call(bytes.Repeat([]byte{0}, maxMessage+1)), fault.TooLarge, "")
}

func TestPanics_AreInternalErrors(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Heartbeats = panicking{}; c.Log = nil })
	req := &pb.HeartbeatRequest{Targets: []*pb.HeartbeatTarget{{Service: "web", Instance: "a"}}}
	_, err := h.registry.Heartbeat(t.Context(), req)
	e := wantFault(t, err, fault.Internal, "")
	if strings.Contains(e.Message, "secret") || status.RequestID(err) == "" {
		t.Errorf("a panic answers %v with request id %q", e, status.RequestID(err))
	}
}

func TestRequestID_ComesBack(t *testing.T) {
	h := newHarness(t)
	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "mine-1")
	req := &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("1")}}
	if _, err := h.config.PutConfig(ctx, req, grpc.Header(&header)); err != nil || header.Get("x-request-id")[0] != "mine-1" {
		t.Errorf("header %v, %v", header, err)
	}
	if _, err := h.config.PutConfig(t.Context(), req, grpc.Header(&header)); err != nil || len(header.Get("x-request-id")) != 0 {
		t.Errorf("none was sent, and back came %v, %v", header, err)
	}
	_, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Name: "none"})
	if id := status.RequestID(err); id != "mine-1" {
		t.Errorf("the error carries id %q", id)
	}
	_, err = h.config.GetConfig(t.Context(), &pb.GetConfigRequest{Name: "none"})
	if id := status.RequestID(err); len(id) != 16 {
		t.Errorf("the error carries the minted id %q", id)
	}
	for _, bad := range []string{"a b", strings.Repeat("x", 65), "a\"b", "ä"} {
		if cleanRequestID(bad) != "" {
			t.Errorf("request id %q is taken", bad)
		}
	}
}

func TestHeartbeat(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Heartbeats = unknownSecond{} })
	resp, err := h.registry.Heartbeat(t.Context(), &pb.HeartbeatRequest{Targets: []*pb.HeartbeatTarget{
		{Service: "web", Instance: "a"}, {Service: "web", Instance: "b"},
	}})
	if err != nil || len(resp.GetUnknown()) != 1 || resp.GetUnknown()[0] != 1 {
		t.Errorf("%v, %v", resp, err)
	}
	_, err = newHarness(t).registry.Heartbeat(t.Context(), &pb.HeartbeatRequest{Targets: []*pb.HeartbeatTarget{{Service: "web", Instance: "a"}}})
	wantFault(t, err, fault.Unsupported, "")
}

func TestOutcomeUnknown_ReachesTheClient(t *testing.T) {
	h := newHarness(t)
	h.region.mu.Lock()
	h.region.proposeErr = fault.New(fault.OutcomeUnknown, "the leader went away")
	h.region.mu.Unlock()
	_, err := h.config.PutConfig(t.Context(), &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("1")}})
	wantFault(t, err, fault.OutcomeUnknown, "")
}

// A page ends before the answer grows over what clients take; the next one goes on.
func TestConfig_PagesAreBoundedInBytes(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	for i := range 5 {
		h.put(t, fmt.Sprintf("big/%d", i), strings.Repeat("x", 1<<20))
	}
	var sizes []int
	for token, more := "", true; more; more = token != "" {
		page, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		sizes, token = append(sizes, len(page.GetConfigs())), page.GetNextPageToken()
	}
	if fmt.Sprint(sizes) != "[3 2]" {
		t.Errorf("pages of %v entries, want [3 2]", sizes)
	}
	keys, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{KeysOnly: true})
	if err != nil || len(keys.GetConfigs()) != 5 {
		t.Errorf("without values: %d entries, %v", len(keys.GetConfigs()), err)
	}
	for range 4 {
		h.put(t, "big/0", strings.Repeat("y", 1<<20))
	}
	_, err = h.config.ListConfigHistory(ctx, &pb.ListConfigHistoryRequest{Name: "big/0"})
	wantFault(t, err, fault.TooLarge, "")
	for _, req := range []*pb.ListConfigHistoryRequest{{Name: "big/0", Limit: 2}, {Name: "big/0", KeysOnly: true}} {
		if _, err := h.config.ListConfigHistory(ctx, req); err != nil {
			t.Errorf("%v: %v", req, err)
		}
	}
}
