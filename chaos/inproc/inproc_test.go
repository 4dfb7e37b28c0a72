package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"supercluster/chaos/drive"
	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

// One short run from end to end: a cut, a kill, power losses and slow watches, a disk that stands still and one that is full, seen and judged.
func TestRun(t *testing.T) {
	p := schedule.Expand(1, options())
	p.Phases.Warm, p.Phases.Faults = 300, 1500
	p.Nemeses = []schedule.Nemesis{
		{Kind: cutLink, Start: 0, Duration: 600, Targets: []string{"dc1", "dc2"}},
		{Kind: kill, Start: 100, Duration: 500, Targets: []string{"dc1/n2"}},
		{Kind: slowWatch, Start: 200, Duration: 700, Targets: []string{"dc3"}, Parameters: map[string]int64{"pause_ms": 50}},
		{Kind: powerLoss, Start: 200, Duration: 400, Targets: []string{"dc3"}, Parameters: map[string]int64{"kept": 1}},
		{Kind: powerLoss, Start: 800, Duration: 400, Targets: []string{"dc1"}, Parameters: map[string]int64{"kept": 2}},
		{Kind: diskStall, Start: 900, Duration: 400, Targets: []string{"dc2/n1"}},
		{Kind: diskFull, Start: 700, Duration: 300, Targets: []string{"dc3/n1"}},
		{Kind: reorder, Start: 700, Duration: 600, Targets: []string{"dc1/n1"}, Parameters: map[string]int64{"delay_ms": 8}},
	}
	r, err := tier().Run(context.Background(), &p, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	_ = r.WriteText(&text)
	if t.Log(text.String()); r.Violations > 0 {
		t.Errorf("%d violations", r.Violations)
	}
	for _, f := range r.Faults {
		if !f.Effect {
			t.Errorf("%s was not seen", f.What)
		}
	}
	if r.Checked < 100 {
		t.Errorf("only %d operations were answered", r.Checked)
	}
}

// Seeds that people wrote down mean what they meant, with and without a focus.
func TestSeedsStay(t *testing.T) {
	golden := map[string]string{
		"":          "ae82153c3a3b878c28a5a2f3cbf1db757759e59409cd6e2a249ebed43319b76f",
		forge:       "3aa053a2ec636057d11963fac702522930375f73b8050088415e695341d33b5d",
		isolate:     "4af27295d1c0d0d93213db54d665c223ea140e0f99ec1b0a1dea9a590cecd3a3",
		lateImport:  "99807d7273eed919fa939a11edde8566525c382baeee4d81161c253bb9642ab5",
		powerLoss:   "754488476e210b514a1842907f90847239a96e12227006dfc69714cf5415094e",
		overrun:     "c2c6b806b06a5399559b1e75896f06e24c23867d9600cadc29a0e86dd87fd2cc",
		stallImport: "1a2cb7ee504608b5ece8ff3229eab48f08a9b44cc9da6d15d2e50f0aaa260893",
		trim:        "69ec42001ad19d39264fa6bfea2fa81816bf753e7e2393b3a40af3752c4cd9f8",
	}
	if have := slices.Collect(maps.Keys(focuses())); len(have) != len(golden)-1 {
		t.Errorf("there are the focuses %v", have)
	}
	for focus, want := range golden {
		plans, err := tier().Plans(focus, 1, 50)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.New()
		for i := range plans {
			b, _ := json.Marshal(plans[i])
			hash.Write(b)
		}
		if got := fmt.Sprintf("%x", hash.Sum(nil)); got != want {
			t.Errorf("focus %q: seeds 1 to 50 make other plans than they did: %s", focus, got)
		}
	}
}

// A call of a history is a transaction about the same records.
func TestOperation(t *testing.T) {
	s := &site{name: "dc1", scopes: map[string]uint32{"dc1": 1}}
	a, i1 := drive.ConfigKey+"dc1/a", drive.ServiceKey+"dc1-web/i1"
	op := s.operation(&drive.Write{RequestID: "id", Seen: 5, Call: &history.Call{
		Compare: []history.Entry{{Key: a, Value: ""}, {Key: i1, Value: "7"}},
		Steps:   []history.Step{{Do: history.DoPut, Key: a, Value: "8"}, {Do: history.DoDelete, Key: i1}},
	}})
	if len(op.Txn.Compare) != 2 || len(op.Txn.Then) != 2 || op.RequestID != "id" || op.Seen != 5 {
		t.Fatalf("%+v", op)
	}
	for i, want := range []string{a, i1} {
		if key, _ := nameOf(op.Txn.Then[i].Key); key != want {
			t.Errorf("step %d is about %s, want %s", i, key, want)
		}
	}
}
