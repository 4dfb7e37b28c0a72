package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"supercluster/chaos/check"
	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

// LeastRate is how many checked operations a second a run needs.
const LeastRate = 100

// Report is one run.
type Report struct {
	Tier       string         `json:"tier"`
	Seed       uint64         `json:"seed"`
	Plan       string         `json:"plan,omitempty"`    // the file of the plan
	History    string         `json:"history,omitempty"` // and of the history
	Took       time.Duration  `json:"took_ns"`
	Operations []Count        `json:"operations"`
	Checked    int            `json:"checked"` // operations with an answer
	Rate       float64        `json:"checked_per_second"`
	Faults     []Fault        `json:"faults"`
	Checks     []check.Result `json:"checks"`
	Violations int            `json:"violations"`
	Void       []string       `json:"void,omitempty"` // why the run proves nothing
}

// Count is how the calls of one kind ended.
type Count struct {
	Kind    string `json:"kind"`
	OK      int    `json:"ok"`
	Fail    int    `json:"fail"`
	Unknown int    `json:"unknown"`
}

// Fault is one nemesis of the plan and what was seen of it.
type Fault struct {
	Kind     string `json:"kind"`
	What     string `json:"what"`
	Effect   bool   `json:"effect"`
	Evidence string `json:"evidence"`
}

// Make judges a history and makes its report. The plan says which faults there must have been.
func Make(p *schedule.Plan, lines []history.Line, o check.Options) (*Report, error) {
	ops, err := history.Operations(lines)
	if err != nil {
		return nil, err
	}
	r := &Report{Tier: p.Tier, Seed: p.Seed, Faults: faults(p, lines)}
	if r.Checks, err = check.All(lines, o); err != nil {
		return nil, err
	}
	r.count(ops)
	if len(lines) > 0 {
		r.Took = time.Duration(lines[len(lines)-1].At)
	}
	working := worked(lines)
	if working > 0 {
		r.Rate = float64(r.Checked) / working.Seconds()
	}
	r.judge()
	return r, nil
}

// worked is how long clients worked.
func worked(lines []history.Line) time.Duration {
	if at, ok := history.MarkedAt(lines, history.MarkQuiet); ok {
		return time.Duration(at)
	}
	if len(lines) == 0 {
		return 0
	}
	return time.Duration(lines[len(lines)-1].At)
}

func (r *Report) count(ops []history.Operation) {
	by := map[string]*Count{}
	for i := range ops {
		op := &ops[i]
		c := by[op.Call.Kind]
		if c == nil {
			c = &Count{Kind: op.Call.Kind}
			by[op.Call.Kind] = c
		}
		switch op.Outcome {
		case history.OK:
			c.OK++
			r.Checked++
		case history.Fail:
			c.Fail++
		default:
			c.Unknown++
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(by)) {
		r.Operations = append(r.Operations, *by[kind])
	}
}

// faults puts what the history says about each nemesis beside the plan.
func faults(p *schedule.Plan, lines []history.Line) []Fault {
	all := make([]Fault, len(p.Nemeses))
	for i := range p.Nemeses {
		all[i] = Fault{Kind: p.Nemeses[i].Kind, What: p.Nemeses[i].String(), Evidence: "it never ended"}
	}
	for i := range lines {
		if f := lines[i].Fault; f != nil && f.Ended && f.Number >= 0 && f.Number < len(all) {
			all[f.Number].Effect, all[f.Number].Evidence = f.Effect, f.Evidence
		}
	}
	return all
}

func (r *Report) judge() {
	for i := range r.Checks {
		c := &r.Checks[i]
		r.Violations += c.Violated
		if c.Undecided != "" {
			r.Void = append(r.Void, fmt.Sprintf("%s is undecided: %s", c.Name, c.Undecided))
		}
	}
	for i := range r.Faults {
		if f := &r.Faults[i]; !f.Effect {
			r.Void = append(r.Void, fmt.Sprintf("%s had no effect: %s", f.What, f.Evidence))
		}
	}
	if len(r.Faults) == 0 {
		r.Void = append(r.Void, "there was no fault")
	}
	if r.Rate < LeastRate {
		r.Void = append(r.Void, fmt.Sprintf("%.0f checked operations a second are fewer than %d", r.Rate, LeastRate))
	}
}

// Passed reports whether the run proves that nothing is wrong.
func (r *Report) Passed() bool { return r.Violations == 0 && len(r.Void) == 0 }

// Line sums a run up.
func (r *Report) Line() string {
	verdict := "ok  "
	switch {
	case r.Violations > 0:
		verdict = "FAIL"
	case len(r.Void) > 0:
		verdict = "VOID"
	}
	return fmt.Sprintf("%s seed %d: %d checked operations (%.0f a second), %d faults (%s), %d violations", verdict, r.Seed, r.Checked, r.Rate,
		len(r.Faults), kinds(r.Faults), r.Violations)
}

func kinds(all []Fault) string {
	counts := map[string]int{}
	for _, f := range all {
		counts[f.Kind]++
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
	}
	return strings.Join(parts, ", ")
}

// WriteText tells everything for people.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, r.Line())
	fmt.Fprintf(&b, "  plan %s, history %s, %v\n", r.Plan, r.History, r.Took.Round(time.Millisecond))
	for _, c := range r.Operations {
		fmt.Fprintf(&b, "  %-8s %6d ok %6d failed %6d unknown\n", c.Kind, c.OK, c.Fail, c.Unknown)
	}
	for _, f := range r.Faults {
		mark := "seen   "
		if !f.Effect {
			mark = "UNSEEN "
		}
		fmt.Fprintf(&b, "  %s%s: %s\n", mark, f.What, f.Evidence)
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "  %-24s %6d examined %4d violations %s\n", c.Name, c.Examined, c.Violated, c.Undecided)
		for _, e := range c.Examples {
			fmt.Fprintf(&b, "    %s\n", e)
		}
	}
	for _, v := range r.Void {
		fmt.Fprintf(&b, "  void: %s\n", v)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Save writes the report as JSON.
func (r *Report) Save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save the report: %w", err)
	}
	return nil
}
