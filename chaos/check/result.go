package check

import (
	"fmt"
	"time"

	"supercluster/chaos/history"
)

// maxExamples bounds the violations that are told in full.
const maxExamples = 10

// Result is what a checker found.
type Result struct {
	Name      string `json:"name"`
	Examined  int    `json:"examined"`
	Violated  int    `json:"violations"`
	Undecided string `json:"undecided,omitempty"` // why nothing is known
	// Examples tells the first violations.
	Examples []string `json:"examples,omitempty"`
}

// Passed reports whether the checker decided that nothing is wrong.
func (r *Result) Passed() bool { return r.Violated == 0 && r.Undecided == "" }

func (r *Result) violated(format string, args ...any) {
	r.Violated++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// decide leaves a result without anything examined undecided.
func (r *Result) decide() Result {
	if r.Examined == 0 && r.Undecided == "" {
		r.Undecided = "the history has nothing for it to examine"
	}
	return *r
}

// Options bound the checks.
type Options struct {
	Limit     time.Duration // of the search for a linear order, for each region
	Converge  time.Duration // from healing until digests are equal
	Slack     time.Duration // by which a declared age may be too small: clocks are read at different moments
	Federated bool          // the history has several regions that exchange records
}

// All runs every checker on a history.
func All(lines []history.Line, o Options) ([]Result, error) {
	ops, err := history.Operations(lines)
	if err != nil {
		return nil, err
	}
	var all []Result
	regions := regionsOf(ops)
	for _, region := range regions {
		all = append(all, Linearizable(ops, region, o.Limit), Revisions(ops, region), Watches(lines, ops, region))
	}
	if !o.Federated {
		return all, nil
	}
	for _, to := range regions {
		for _, from := range regions {
			if to != from {
				all = append(all, Feed(lines, to, from))
			}
		}
	}
	return append(all, Converged(lines, o.Converge), Same(lines), Fences(lines), Recovered(lines), Staleness(lines, ops, o.Slack)), nil
}

func regionsOf(ops []history.Operation) (all []string) {
	seen := map[string]bool{}
	for i := range ops {
		if r := ops[i].Region; !seen[r] {
			seen[r] = true
			all = append(all, r)
		}
	}
	return all
}
