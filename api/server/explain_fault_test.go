package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/registry"
)

// An address that two regions have is used once, as that of the nearer one. The other says why it is not.
func TestExplain_DuplicateAddress(t *testing.T) {
	h, ctx := twoRegions(t, reaching(func() *plan.Reach { return &plan.Reach{} })), t.Context()
	h.region.imported(t,
		&pb.Instance{Service: "web", Id: "copy", Address: "10.1.0.1", Port: 80},
		&pb.Instance{Service: "web", Id: "same-host", Address: "10.1.0.1", Port: 81},
	)
	const why = `instance "a" of region "dc1", which is nearer, has the same address`
	got, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web"})
	if err != nil {
		t.Fatal(err)
	}
	text := explained(got)
	for _, want := range []string{
		"\nendpoint 0 dc1/a 0.50 \"\"", "\nendpoint 0 dc2/copy 0.00 \"" + strings.ReplaceAll(why, `"`, `\"`) + "\"", "\nendpoint 1 dc2/same-host 0.33 \"\"",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("got\n%swhich lacks %q", text, want)
		}
	}
	look, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
	if err != nil || len(look.GetEndpoints()) != 5 || len(look.GetExcluded()) != 2 || look.GetExcluded()[1].GetReason() != why {
		t.Errorf("a lookup says %v, %v", look, err)
	}
}

// While nobody is healthy, in no region, lookup and explain give those last known and say so, over gRPC and over HTTP; or nobody,
// when the service is fail-closed.
func TestExplain_NobodyIsHealthy(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	in := &pb.Instance{
		Service: "web", Id: "a", Address: "10.1.0.1", Port: 80, Checks: []*pb.Check{{Id: "beat", Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: durationpb.New(time.Hour)}},
	}
	if _, err := h.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: in}); err != nil {
		t.Fatal(err)
	}
	h.region.imported(t, &pb.Instance{Service: "web", Id: "b", Address: "10.2.0.1", Port: 80, Draining: true})
	for view := range h.views.View().Instances("default", "default", registry.Filter{Service: "web"}) {
		if !view.Key.IsLocal() {
			continue
		}
		op, err := registry.CheckStatusOp(view, &pb.CheckStatus{CheckId: "beat", Health: pb.Health_HEALTH_CRITICAL, Output: "no answer"}, registry.Write{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.region.Propose(ctx, op); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = `local: none of 1 instances in region "dc1" is healthy and stays, nor elsewhere: "dc2" 0 of 1; `
	for _, tt := range []struct {
		closed    bool
		endpoints int
		rule      string
		says      string
	}{
		{false, 1, nobody + "those last known get the requests, since it is not fail-closed", "no protocol: http; the last known are used when no instance is healthy"},
		{true, 0, nobody + "it is fail-closed: nobody gets requests", "no protocol: http; nobody is used when no instance is healthy (fail-closed)"},
	} {
		if _, err := h.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web", FailClosed: tt.closed}}); err != nil {
			t.Fatal(err)
		}
		got, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web"})
		if err != nil || got.GetLastKnown() == tt.closed || got.GetRule() != tt.rule || len(got.GetTiers()) != tt.endpoints || got.GetDefinition().GetSays() != tt.says {
			t.Errorf("explain says %v, %v", got, err)
		}
		look, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
		if err != nil || look.GetLastKnown() == tt.closed || look.GetRule() != tt.rule || len(look.GetEndpoints()) != tt.endpoints {
			t.Errorf("a lookup says %v, %v", look, err)
		}
		over := h.do(t, http.MethodGet, "/api/v1/lookup/web", "")
		endpoints, _ := over.json["endpoints"].([]any)
		if over.json["last_known"] != !tt.closed || over.json["rule"] != tt.rule || len(endpoints) != tt.endpoints {
			t.Errorf("over HTTP: %d %s", over.status, over.text)
		}
	}
}
