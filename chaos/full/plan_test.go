package main

import (
	"path/filepath"
	"reflect"
	"testing"

	"supercluster/chaos/schedule"
)

// A seed always makes the same plan, twelve seeds have every kind, no plan puts more than one region back in time, and a plan
// comes back from its file as it was.
func TestPlans(t *testing.T) {
	seen := map[string]int{}
	for seed := uint64(1); seed <= 50; seed++ {
		p := schedule.Expand(seed, options())
		if !reflect.DeepEqual(p, schedule.Expand(seed, options())) || len(p.Nemeses) < 4 {
			t.Fatalf("seed %d: %+v", seed, p)
		}
		past := 0
		for i := range p.Nemeses {
			n := &p.Nemeses[i]
			if seen[n.Kind]++; strikes[n.Kind] == nil {
				t.Errorf("nothing does %s", n)
			}
			if n.Kind == oldData || n.Kind == oldBackup || n.Kind == clone {
				past++
			}
		}
		if past > 1 {
			t.Errorf("seed %d puts %d regions back in time", seed, past)
		}
		if seed == 12 && len(seen) != len(strikes) {
			t.Errorf("%d of %d kinds in twelve seeds", len(seen), len(strikes))
		}
		path := filepath.Join(t.TempDir(), "plan.json")
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		if again, err := schedule.Load(path); err != nil || !reflect.DeepEqual(*again, p) || runnable(again) != nil {
			t.Errorf("%+v came back as %+v, %v", p, again, err)
		}
	}
	if len(options().Kinds) != len(strikes) {
		t.Errorf("%d kinds, %d are done", len(options().Kinds), len(strikes))
	}
}

// Plans of another tier, or with what this one does not have, are refused.
func TestRunnable(t *testing.T) {
	for name, change := range map[string]func(*schedule.Plan){
		"tier":    func(p *schedule.Plan) { p.Tier = "inproc" },
		"kind":    func(p *schedule.Plan) { p.Nemeses[0].Kind = "flood" },
		"target":  func(p *schedule.Plan) { p.Nemeses[0].Targets = nil },
		"regions": func(p *schedule.Plan) { p.Regions = p.Regions[:2] },
	} {
		p := schedule.Expand(1, options())
		if change(&p); runnable(&p) == nil {
			t.Errorf("%s: the plan is taken", name)
		}
	}
}
