package server

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/internal/fault"
)

// explained writes an answer down, endpoints with their records aside.
func explained(r *pb.ExplainResponse) string {
	var b strings.Builder
	for _, x := range r.GetRegions() {
		fmt.Fprintf(&b, "region %s %s cost %v age %v %d/%d: %s\n", x.GetRegion(), x.GetState(), x.GetCost().AsDuration(), x.GetAge().AsDuration(),
			x.GetServing(), x.GetInstances(), x.GetWhy())
	}
	for _, t := range r.GetTiers() {
		for _, l := range t.GetLocalities() {
			fmt.Fprintf(&b, "tier %d %s/%s %d*%d %.2f\n", t.GetPriority(), t.GetRegion(), l.GetZone(), l.GetEndpoints(), l.GetWeight(), l.GetShare())
		}
	}
	for _, e := range r.GetEndpoints() {
		fmt.Fprintf(&b, "endpoint %d %s/%s %.2f %q", e.GetEndpoint().GetPriority(), e.GetEndpoint().GetRegion(), e.GetEndpoint().GetInstance(), e.GetShare(), e.GetExcluded())
		for _, rec := range e.GetRecords() {
			fmt.Fprintf(&b, " [%s %s %s: %s]", rec.GetKind(), rec.GetName(), rec.GetSource().GetRegion(), rec.GetSays())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// reaching sets what is known of the regions.
func reaching(reach func() *plan.Reach) func(*Config) {
	return func(c *Config) { c.Reach = reach }
}

func TestExplain(t *testing.T) {
	h, ctx := twoRegions(t, reaching(func() *plan.Reach {
		return &plan.Reach{Regions: []plan.RegionReach{{ID: [16]byte{2}, State: plan.StateSuspect, Cost: 40 * time.Millisecond, Why: "not heard of for 3s"}}}
	})), t.Context()
	if _, err := h.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"}}); err != nil {
		t.Fatal(err)
	}
	got, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}})
	if err != nil {
		t.Fatal(err)
	}
	const want = `region dc1 REGION_STATE_UP cost 0s age 0s 2/2: this region comes first
region dc2 REGION_STATE_SUSPECT cost 40ms age 7s 2/3: by its cost; it is suspect, which moves nothing yet (not heard of for 3s)
tier 0 dc1/ 2*200 1.00
tier 1 dc2/ 2*200 1.00
endpoint 0 dc1/a 0.50 "" [instance web/a dc1: 10.1.0.1 port 80, weight 100]
endpoint 0 dc1/z 0.50 "" [instance web/z dc1: 10.1.0.2 port 80, weight 100]
endpoint 1 dc2/a 0.50 "" [instance web/a dc2: 10.2.0.1 port 80, weight 100]
endpoint 1 dc2/b 0.50 "" [instance web/b dc2: 10.2.0.2 port 80, weight 100]
endpoint 0 dc2/gone 0.00 "draining: it ends what is in flight and gets nothing new" [instance web/gone dc2: 10.2.0.3 port 80, weight 100, draining]
`
	if text := explained(got); text != want {
		t.Errorf("got\n%swant\n%s", text, want)
	}
	for _, e := range got.GetEndpoints() {
		for _, rec := range e.GetRecords() {
			requireSource(t, rec.GetSource(), e.GetEndpoint().GetRegion(), got.GetHeader())
		}
	}
	if routes := got.GetRoutes(); len(routes) != 1 || routes[0].GetCluster() != "web" || routes[0].GetRecord().GetSource().GetRevision() == 0 {
		t.Errorf("routes %v", routes)
	}
	one, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web", Instance: "b"})
	if err != nil || len(one.GetEndpoints()) != 1 || len(one.GetTiers()) != 2 {
		t.Errorf("one instance: %v, %v", one.GetEndpoints(), err)
	}
	look, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
	if err != nil || look.GetRule() != got.GetRule() || len(look.GetEndpoints()) != 4 {
		t.Errorf("a lookup says %v, %v", look, err)
	}
}

// A region that is away, an island, and a cost that nobody knows are said as what they are.
func TestExplain_StatesOfRegions(t *testing.T) {
	var reach atomic.Pointer[plan.Reach]
	h, ctx := twoRegions(t, reaching(reach.Load)), t.Context()
	tests := []struct {
		reach plan.Reach
		want  string
	}{
		{plan.Reach{}, "its cost is not known, so it stands by its name behind those whose cost is"},
		{plan.Reach{Regions: []plan.RegionReach{{ID: [16]byte{2}, State: plan.StateAway}}}, "it is away, so it stands behind all that are not"},
		{
			plan.Reach{Island: true, Regions: []plan.RegionReach{{ID: [16]byte{2}, State: plan.StateAway}}},
			"by its cost; it is away, which counts for nothing while this region reaches nobody",
		},
	}
	for n := range tests {
		reach.Store(&tests[n].reach)
		got, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web"})
		if err != nil || len(got.GetRegions()) != 2 || got.GetRegions()[1].GetWhy() != tests[n].want || got.GetIsland() != tests[n].reach.Island {
			t.Errorf("%v, %v, want %s", got.GetRegions(), err, tests[n].want)
		}
	}
}

func TestExplain_Refusals(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	_, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "none"})
	wantFault(t, err, fault.NotFound, "service")
	_, err = h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web", Port: "admin"})
	wantFault(t, err, fault.NotFound, "port")
	_, err = h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web", Region: "dc7"})
	wantFault(t, err, fault.NotFound, "region")
}

// A service of many instances is explained up to a limit, and says how many are left out.
func TestExplain_IsBounded(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	for n := range maxExplained + 3 {
		h.register(t, "web", fmt.Sprintf("i%d", n), fmt.Sprintf("10.1.%d.%d", n>>8, n&0xff), 80)
	}
	got, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web"})
	if err != nil || len(got.GetEndpoints()) != maxExplained || got.GetEndpointsLeftOut() != 3 {
		t.Fatalf("%d endpoints, %d left out, %v", len(got.GetEndpoints()), got.GetEndpointsLeftOut(), err)
	}
	if one, err := h.registry.Explain(ctx, &pb.ExplainRequest{Service: "web", Instance: fmt.Sprintf("i%d", maxExplained+2)}); err != nil || len(one.GetEndpoints()) != 1 {
		t.Errorf("one of them: %v, %v", one.GetEndpoints(), err)
	}
}
