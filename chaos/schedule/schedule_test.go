package schedule

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func options() Options {
	return Options{
		Tier: "test", Phases: Phases{Warm: 1000, Faults: 5000, Heal: 30000, Final: 30000}, Count: 6, Together: 3,
		Regions: []Region{{"dc1", []string{"n1", "n2", "n3"}}, {"dc2", []string{"n1"}}, {"dc3", []string{"n1"}}},
		Kinds: []Kind{
			{Name: "kill", Target: OnNode, Min: 300, Max: 1000, Exclusive: true},
			{Name: "isolate", Target: OnNode, Min: 300, Max: 1000, Exclusive: true},
			{Name: "delay", Target: OnNodes, Min: 500, Max: 2000, Parameters: []Range{{"delay_ms", 5, 50}}},
			{Name: "cut", Target: OnRegions, Min: 500, Max: 2000},
			{Name: "restart", Target: OnRegion, Min: 300, Max: 900, Exclusive: true},
		},
		Workload: Workload{Clients: 4, Groups: 8, Keys: 2, Watches: 2, Mix: []Weight{{"put", 3}, {"get", 1}}},
	}
}

func TestGolden(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plan.json")
	p := Expand(7, options())
	if err := p.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "seed7.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("seed 7 gives another plan than it did: saved plans stay, but seeds that people wrote down do not mean the same any more\n%s", got)
	}
	again, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(*again, p) {
		t.Errorf("a saved plan is another when it is loaded: %+v", again)
	}
}

// Over many seeds: every kind occurs, exclusive ones never overlap, no more than allowed run together, and all fit.
func TestPlansKeepTheRules(t *testing.T) {
	o, seen := options(), map[string]int{}
	for seed := range uint64(500) {
		p := Expand(seed, o)
		if err := p.valid(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(p.Nemeses) < 3 {
			t.Fatalf("seed %d has only %d nemeses", seed, len(p.Nemeses))
		}
		for i := range p.Nemeses {
			n := &p.Nemeses[i]
			seen[n.Kind]++
			together := 1
			for j := range p.Nemeses {
				if other := &p.Nemeses[j]; i != j && other.Start <= n.Start && n.Start < other.End() {
					together++
					if exclusive(o.Kinds, n.Kind) && exclusive(o.Kinds, other.Kind) && meet(n.Targets, other.Targets) {
						t.Fatalf("seed %d: %s and %s take nodes of one region away", seed, n, other)
					}
				}
			}
			if together > o.Together {
				t.Fatalf("seed %d: %d nemeses run together", seed, together)
			}
		}
	}
	for _, k := range o.Kinds {
		if seen[k.Name] < 200 {
			t.Errorf("%s is in only %d of 500 plans", k.Name, seen[k.Name])
		}
	}
}

func TestBadPlansAreRefused(t *testing.T) {
	for name, change := range map[string]func(p *Plan){
		"format":    func(p *Plan) { p.Format = 2 },
		"regions":   func(p *Plan) { p.Regions = nil },
		"workload":  func(p *Plan) { p.Workload.Clients = 0 },
		"too late":  func(p *Plan) { p.Nemeses[0].Start = p.Phases.Faults },
		"no length": func(p *Plan) { p.Nemeses[0].Duration = 0 },
	} {
		p := Expand(1, options())
		change(&p)
		path := filepath.Join(t.TempDir(), "plan.json")
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil {
			t.Errorf("%s: the plan is taken", name)
		}
	}
}

func TestPick(t *testing.T) {
	w := options().Workload
	counts := map[string]int{}
	for n := range w.Sum() {
		counts[w.Pick(n)]++
	}
	if counts["put"] != 3 || counts["get"] != 1 {
		t.Errorf("the mix is %v", counts)
	}
}

// With turns a few seeds have every kind, each as often as the others, and a kind hits only what it may.
func TestTurns(t *testing.T) {
	o, seen := options(), map[string]int{}
	o.Turns, o.Count = true, 3
	o.Kinds[4].Among = [][]string{{"dc2"}, {"dc3"}}
	for seed := range uint64(10) {
		for _, n := range Expand(seed, o).Nemeses {
			if seen[n.Kind]++; n.Kind == o.Kinds[4].Name && n.Targets[0] == "dc1" {
				t.Errorf("seed %d: %s", seed, &n)
			}
		}
	}
	for _, k := range o.Kinds {
		if seen[k.Name] != 6 {
			t.Errorf("%s is %d times in ten plans of three nemeses", k.Name, seen[k.Name])
		}
	}
}
