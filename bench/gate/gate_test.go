package gate_test

import (
	"slices"
	"strings"
	"testing"

	"supercluster/bench/gate"
	"supercluster/bench/measure"
)

const unit = "op/s"

func TestJudge(t *testing.T) {
	row := func(ours, peer float64) []measure.Row {
		return []measure.Row{{Name: "other", Unit: unit}, measure.NewRow("put", unit, ours, peer, "etcd", 0, "")}
	}
	alone := func(ours float64) []measure.Row { return []measure.Row{{Name: "put", Unit: unit, Ours: ours}} }
	for name, c := range map[string]struct {
		want  gate.Want
		count float64
		rows  []measure.Row
		why   string // empty: the rule is kept
	}{
		"there, with nothing":          {want: gate.Present, rows: row(0, 0)},
		"no row at all":                {want: gate.Present, why: "no such row"},
		"another unit":                 {want: gate.Present, rows: []measure.Row{{Name: "put", Unit: "us p50"}}, why: "no such row"},
		"both show something":          {want: gate.Some, rows: row(1, 1)},
		"ours shows nothing":           {want: gate.Some, rows: row(0, 1), why: "ours shows nothing"},
		"the peer shows nothing":       {want: gate.Some, rows: row(1, 0), why: "etcd shows nothing"},
		"no peer is named":             {want: gate.Some, rows: alone(1)},
		"none failed":                  {want: gate.Exactly, rows: alone(0)},
		"one failed":                   {want: gate.Exactly, rows: alone(1), why: "ours is 1, must be 0"},
		"all clients of both":          {want: gate.Exactly, count: 100, rows: row(100, 100)},
		"one client of ours is absent": {want: gate.Exactly, count: 100, rows: row(99, 100), why: "ours is 99, must be 100"},
		"one of the peer is absent":    {want: gate.Exactly, count: 100, rows: row(100, 99), why: "etcd is 99, must be 100"},
		"ahead":                        {want: gate.Ahead, rows: row(101, 100)},
		"even":                         {want: gate.Ahead, rows: row(100, 100), why: "100 against 100, ratio 1.00"},
		"behind":                       {want: gate.Ahead, rows: row(50, 100), why: "not ahead of etcd: 50 against 100, ratio 0.50"},
		"not compared":                 {want: gate.Ahead, rows: row(50, 0), why: "not ahead"},
		"order of what is not there":   {want: gate.Ahead, why: "no such row"},
	} {
		t.Run(name, func(t *testing.T) {
			broken := gate.Judge([]gate.Rule{{Row: "put", Unit: unit, Want: c.want, Count: c.count}}, c.rows)
			switch {
			case c.why == "" && len(broken) > 0:
				t.Errorf("refused: %v", broken[0])
			case c.why != "" && len(broken) == 0:
				t.Errorf("passes, must fail with %q", c.why)
			case c.why != "" && !strings.Contains(broken[0].Error(), c.why):
				t.Errorf("got %q, want %q", broken[0].Error(), c.why)
			}
		})
	}
}

// A breach is told for each rule that is broken, not only for the first.
func TestJudgeTellsAll(t *testing.T) {
	rules := []gate.Rule{{Row: "a", Unit: unit}, {Row: "b", Unit: unit}, {Row: "c", Unit: unit}}
	broken := gate.Judge(rules, []measure.Row{{Name: "b", Unit: unit}})
	if len(broken) != 2 || broken[0].Rule != rules[0] || broken[1].Rule != rules[2] {
		t.Errorf("got %v, want a and c", broken)
	}
}

// An order fails when it is lost twice; a count that is wrong at the second time fails at once.
func TestSecond(t *testing.T) {
	breach := func(row string, want gate.Want) gate.Breach {
		return gate.Breach{Rule: gate.Rule{Row: row, Unit: unit, Want: want}}
	}
	lost, other, count := breach("put", gate.Ahead), breach("read", gate.Ahead), breach("failed", gate.Exactly)
	for name, c := range map[string]struct{ first, again, want []gate.Breach }{
		"lost once":          {first: []gate.Breach{lost}},
		"lost twice":         {first: []gate.Breach{lost}, again: []gate.Breach{lost}, want: []gate.Breach{lost}},
		"each lost once":     {first: []gate.Breach{lost}, again: []gate.Breach{other}},
		"a count goes wrong": {first: []gate.Breach{lost}, again: []gate.Breach{count}, want: []gate.Breach{count}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := gate.Second(c.first, c.again); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
