package dns

import (
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/registry"
)

// The next answer follows what is known of the regions, whatever was cached; and its TTL what may soon change.
func TestRegions_FollowTheirOrder(t *testing.T) {
	s := regions(t)
	r := newResponder(t, func() *registry.View { return s.view })
	var reach *plan.Reach
	r.reach = func() *plan.Reach { return reach }
	region := func(alias byte, state plan.State, cost int) plan.RegionReach {
		return plan.RegionReach{ID: [16]byte{alias}, State: state, Cost: time.Duration(cost) * time.Millisecond}
	}
	steps := []struct {
		what  string
		reach *plan.Reach
		want  string
		ttl   uint32
	}{
		{"nothing is known: by name", nil, "10.2.1.1", 3},
		{"dc3 costs less", &plan.Reach{Regions: []plan.RegionReach{region(2, plan.StateUp, 1), region(3, plan.StateUp, 2)}}, "10.3.1.1", 3},
		{"dc3 is suspect", &plan.Reach{Regions: []plan.RegionReach{region(2, plan.StateSuspect, 1), region(3, plan.StateUp, 2)}}, "10.3.1.1", 1},
		{"dc3 is away", &plan.Reach{Regions: []plan.RegionReach{region(2, plan.StateAway, 1), region(3, plan.StateUp, 2)}}, "10.2.1.1", 3},
		{"both are away", &plan.Reach{Regions: []plan.RegionReach{region(2, plan.StateAway, 1), region(3, plan.StateAway, 2)}}, "10.3.1.1", 1},
		{"and back", nil, "10.2.1.1", 3},
	}
	for _, step := range steps {
		reach = step.reach
		for range 2 { // the second one is cached
			got := ask(t, r, question("db.service.sc.internal.", mdns.TypeA), viaUDP)
			if addresses(got) != step.want || got.Answer[0].Header().Ttl != step.ttl {
				t.Errorf("%s: %v, want %s with TTL %d", step.what, got.Answer, step.want, step.ttl)
			}
		}
	}
}

// What was last known is an answer, marked as an old one.
func TestAnswers_LastKnownIsMarked(t *testing.T) {
	s := example(t)
	r := newResponder(t, func() *registry.View { return s.view })
	s.health("down", "d1", "tcp", pb.Health_HEALTH_CRITICAL)
	m := question("down.service.sc.internal.", mdns.TypeA)
	m.SetEdns0(1232, false)
	got := ask(t, r, m, viaUDP)
	marked := false
	for _, o := range got.IsEdns0().Option {
		if e, ok := o.(*mdns.EDNS0_EDE); ok && e.InfoCode == mdns.ExtendedErrorCodeStaleAnswer {
			marked = true
		}
	}
	if len(got.Answer) != 1 || !marked {
		t.Errorf("marked %v: %v", marked, got)
	}
}
