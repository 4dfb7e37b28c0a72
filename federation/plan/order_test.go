package plan

import (
	"strings"
	"testing"
	"time"
)

func TestFor_OrderOfRegions(t *testing.T) {
	const ms = time.Millisecond
	region := func(alias byte, state State, cost time.Duration) RegionReach {
		return RegionReach{ID: [16]byte{alias}, State: state, Cost: cost}
	}
	// dc9 is 2, dc2 is 3, dc3 is 4.
	tests := []struct {
		name  string
		reach *Reach
		want  string // regions, and behind a stroke the end of the rule
	}{
		{"nothing is known", nil, "dc1 dc2 dc3 dc9"},
		{"nothing is said", &Reach{}, "dc1 dc2 dc3 dc9"},
		{"by cost", &Reach{Regions: []RegionReach{region(2, StateUp, 10*ms), region(3, StateUp, 30*ms), region(4, StateUp, 20*ms)}}, "dc1 dc9 dc3 dc2"},
		{"a cost of nothing is one", &Reach{Regions: []RegionReach{region(2, StateUp, 0), region(3, StateUp, ms)}}, "dc1 dc9 dc2 dc3"},
		{"holes stand behind, by name", &Reach{Regions: []RegionReach{region(2, StateUp, 90*ms), region(4, StateUp, -1)}}, "dc1 dc9 dc2 dc3"},
		{"equal costs by name", &Reach{Regions: []RegionReach{region(2, StateUp, ms), region(3, StateUp, ms), region(4, StateUp, ms)}}, "dc1 dc2 dc3 dc9"},
		{"suspect stays where it is", &Reach{Regions: []RegionReach{region(2, StateSuspect, ms), region(3, StateUp, 2*ms)}}, "dc1 dc9 dc2 dc3"},
		{"away is last, in order", &Reach{Regions: []RegionReach{region(2, StateAway, 2*ms), region(3, StateAway, ms)}}, "dc1 dc3 dc2 dc9"},
		{"an island demotes nobody", &Reach{Island: true, Regions: []RegionReach{region(2, StateAway, ms), region(3, StateUp, 2*ms), region(4, StateUp, 3*ms)}}, "dc1 dc9 dc2 dc3"},
	}
	all := []instance{{id: "a", address: "10.1.0.1", port: 80}}
	for scope := range uint32(3) {
		all = append(all, instance{id: "a", address: "10.2.0.1", port: 80 + scope, scope: scope + 2})
	}
	v := view(t, nil, all...)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, ok := For(v, tt.reach, Client{}, Query{Service: web})
			var tiers, regions []string
			for _, tier := range p.Tiers {
				tiers = append(tiers, tier.Localities[0].Region)
			}
			for _, r := range p.Regions {
				regions = append(regions, r.Reach.Region)
			}
			if got := strings.Join(tiers, " "); !ok || got != tt.want || strings.Join(regions, " ") != tt.want {
				t.Errorf("tiers %s, regions %v, want %s", got, regions, tt.want)
			}
		})
	}
}

// The rule says who is not up, and an island says so.
func TestFor_RuleNamesStates(t *testing.T) {
	v := view(t, nil, instance{id: "a", address: "10.1.0.1", port: 80},
		instance{id: "b", address: "10.2.0.1", port: 80, scope: 2}, instance{id: "c", address: "10.2.0.2", port: 80, scope: 3})
	r := &Reach{Island: true, Regions: []RegionReach{{ID: [16]byte{2}, State: StateSuspect}, {ID: [16]byte{3}, State: StateAway, Cost: 1}}}
	p, _ := For(v, r, Client{}, Query{Service: web})
	const want = `local: 1 of 1 instances in region "dc1"; then "dc9" 1 of 1 (suspect), "dc2" 1 of 1 (away); this region reaches no other, so it demotes none`
	if p.Rule != want || !p.Island {
		t.Errorf("rule %s, want %s", p.Rule, want)
	}
}

// An address that two regions have goes with the nearer one, also when that changes.
func TestFor_AddressFollowsTheNearer(t *testing.T) {
	v := view(t, nil, instance{id: "b", address: "10.2.0.1", port: 80, scope: 2}, instance{id: "c", address: "10.2.0.1", port: 80, scope: 3})
	for _, tt := range []struct {
		reach *Reach
		want  string
	}{{nil, "c"}, {&Reach{Regions: []RegionReach{{ID: [16]byte{3}, State: StateAway, Cost: 1}}}, "b"}} {
		p, _ := For(v, tt.reach, Client{}, Query{Service: web})
		if len(p.Tiers) != 1 || p.Tiers[0].Localities[0].Endpoints[0].Instance != tt.want || len(p.Excluded) != 1 {
			t.Errorf("%s, want %s alone", text(p), tt.want)
		}
	}
}
