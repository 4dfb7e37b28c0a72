package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"supercluster/chaos/schedule"
)

// A seed always makes the same plan, twelve seeds have every kind, no plan puts more than one region back in time, and a plan
// comes back from its file as it was.
func TestPlans(t *testing.T) {
	seen, hash := map[string]int{}, sha256.New()
	plans, err := tier(&programs{}).Plans("", 1, 50)
	if err != nil {
		t.Fatal(err)
	}
	for i := range plans {
		p := plans[i]
		b, _ := json.Marshal(p)
		hash.Write(b)
		if len(p.Nemeses) < 4 {
			t.Fatalf("seed %d: %+v", p.Seed, p)
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
			t.Errorf("seed %d puts %d regions back in time", p.Seed, past)
		}
		if p.Seed == 12 && len(seen) != len(strikes) {
			t.Errorf("%d of %d kinds in twelve seeds", len(seen), len(strikes))
		}
		path := filepath.Join(t.TempDir(), "plan.json")
		if err := p.Save(path); err != nil {
			t.Fatal(err)
		}
		if again, err := schedule.Load(path); err != nil || !reflect.DeepEqual(*again, p) || tier(&programs{}).Runnable(again) != nil {
			t.Errorf("%+v came back as %+v, %v", p, again, err)
		}
	}
	if len(options().Kinds) != len(strikes) {
		t.Errorf("%d kinds, %d are done", len(options().Kinds), len(strikes))
	}
	if got := fmt.Sprintf("%x", hash.Sum(nil)); got != "4030e9b4c3cfc0742f6d619bfb398a1ce1765282d596646176ef9f798ec40bb6" {
		t.Errorf("seeds 1 to 50 make other plans than they did: seeds that people wrote down do not mean the same any more: %s", got)
	}
}
