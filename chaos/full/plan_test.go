package main

import (
	"path/filepath"
	"reflect"
	"testing"
)

// A seed always makes the same plan, twelve seeds have every kind, and a plan comes back from its file as it was.
func TestPlan(t *testing.T) {
	seen := map[Kind]bool{}
	for seed := uint64(1); seed <= 12; seed++ {
		plan := Expand(seed)
		if !reflect.DeepEqual(plan, Expand(seed)) || len(plan.Faults) != perPlan {
			t.Fatalf("seed %d: %+v, then %+v", seed, plan, Expand(seed))
		}
		for _, f := range plan.Faults {
			seen[f.Kind] = true
			if nemeses[f.Kind] == nil || f.Region == f.Other || f.For <= 0 {
				t.Errorf("seed %d: %+v", seed, f)
			}
		}
		path := filepath.Join(t.TempDir(), "plan.json")
		if err := plan.Save(path); err != nil {
			t.Fatal(err)
		}
		if again, err := Load(path); err != nil || !reflect.DeepEqual(again, plan) {
			t.Errorf("%+v came back as %+v, %v", plan, again, err)
		}
	}
	if len(seen) != len(kinds) || len(kinds) != len(nemeses) {
		t.Errorf("%d of %d kinds in twelve seeds, %d can be done", len(seen), len(kinds), len(nemeses))
	}
}

// What a watch showed is compared with what is there, both ways.
func TestJudge_Watch(t *testing.T) {
	w := &watcher{state: map[string]uint64{"a": 2, "b": 1}, gone: map[string]uint64{}}
	for _, tt := range []struct {
		versions map[string]uint64
		want     int
	}{
		{map[string]uint64{"a": 2, "b": 1}, 0},
		{map[string]uint64{"a": 3, "b": 1}, 1},
		{map[string]uint64{"a": 2, "b": 1, "c": 1}, 2},
		{map[string]uint64{"a": 2}, 1},
	} {
		r := &run{}
		r.judgeWatch("dc1", w, tt.versions)
		if len(r.violations) != tt.want {
			t.Errorf("%v: %q", tt.versions, r.violations)
		}
	}
}
