package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"supercluster/chaos/check"
	"supercluster/chaos/history"
	"supercluster/chaos/report"
	"supercluster/chaos/schedule"
)

// One short run from end to end: a cut, a kill and slow watches, seen and judged.
func TestRun(t *testing.T) {
	o := options()
	p := schedule.Expand(1, o)
	p.Phases.Warm, p.Phases.Faults = 300, 1500
	p.Nemeses = []schedule.Nemesis{
		{Kind: cutLink, Start: 0, Duration: 600, Targets: []string{"dc1", "dc2"}},
		{Kind: kill, Start: 100, Duration: 500, Targets: []string{"dc1/n2"}},
		{Kind: slowWatch, Start: 200, Duration: 700, Targets: []string{"dc3"}, Parameters: map[string]int64{"pause_ms": 50}},
		{Kind: reorder, Start: 700, Duration: 600, Targets: []string{"dc1/n1"}, Parameters: map[string]int64{"delay_ms": 8}},
	}
	path := filepath.Join(t.TempDir(), "history.jsonl")
	if err := execute(context.Background(), &p, path); err != nil {
		t.Fatal(err)
	}
	lines, err := history.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Make(&p, lines, check.Options{Limit: time.Minute, Converge: 30 * time.Second, Slack: 50 * time.Millisecond, Federated: true})
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

func TestPlansOfOtherTiersAreRefused(t *testing.T) {
	p := schedule.Expand(1, options())
	if err := runnable(&p); err != nil {
		t.Error(err)
	}
	p.Nemeses[0].Kind = "flood"
	if err := runnable(&p); err == nil {
		t.Error("an unknown nemesis is taken")
	}
	p.Tier = "elsewhere"
	if err := runnable(&p); err == nil {
		t.Error("a plan of another tier is taken")
	}
}

// A call of a history is a transaction about the same records.
func TestOperation(t *testing.T) {
	call := history.Call{
		Compare: []history.Entry{{Key: configKey + "dc1/a", Value: ""}, {Key: serviceKey + "dc1-web/i1", Value: "7"}},
		Steps:   []history.Step{{Do: history.DoPut, Key: configKey + "dc1/a", Value: "8"}, {Do: history.DoDelete, Key: serviceKey + "dc1-web/i1"}},
	}
	op := operation(&call, "id", 5)
	if len(op.Txn.Compare) != 2 || len(op.Txn.Then) != 2 || op.RequestID != "id" || op.Seen != 5 {
		t.Fatalf("%+v", op)
	}
	for i, want := range []string{configKey + "dc1/a", serviceKey + "dc1-web/i1"} {
		if key, _ := keyOf(op.Txn.Then[i].Key); key != want {
			t.Errorf("step %d is about %s, want %s", i, key, want)
		}
	}
}
