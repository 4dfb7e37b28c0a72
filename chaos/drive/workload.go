package drive

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

// Regions are those of every tier: one of three servers, which can lose one, and two of one, so that records go by a third.
func Regions() []schedule.Region {
	return []schedule.Region{
		{Name: "dc1", Nodes: []string{"n1", "n2", "n3"}}, {Name: "dc2", Nodes: []string{"n1"}}, {Name: "dc3", Nodes: []string{"n1"}},
	}
}

// Workload is what clients do in every tier.
func Workload() schedule.Workload {
	return schedule.Workload{
		Clients: 3, Groups: 6, Keys: 3, Watches: 2,
		Mix: []schedule.Weight{
			{Kind: history.CallPut, Weight: 15},
			{Kind: history.CallGet, Weight: 25},
			{Kind: history.CallDelete, Weight: 5},
			{Kind: history.CallCAS, Weight: 15},
			{Kind: history.CallTxn, Weight: 10},
			{Kind: history.CallConfig, Weight: 5},
			{Kind: history.CallService, Weight: 10},
			{Kind: history.CallLookup, Weight: 15},
		},
	}
}

// name is the name of the tier in plans.
func (t *Tier) name() string { return t.Options.Tier }

// Plans are those of n seeds from the first one; with a focus, of its one kind of fault.
func (t *Tier) Plans(focus string, from uint64, n int) ([]schedule.Plan, error) {
	o := t.Options
	if focus != "" {
		var ok bool
		if o, ok = t.Focuses[focus]; !ok {
			return nil, fmt.Errorf("there is no focus %q; there are %s", focus, strings.Join(slices.Sorted(maps.Keys(t.Focuses)), ", "))
		}
	}
	var all []schedule.Plan
	for i := range n {
		all = append(all, schedule.Expand(from+uint64(i), o))
	}
	return all, nil
}

// Runnable says whether the tier can run a saved plan.
func (t *Tier) Runnable(p *schedule.Plan) error {
	if p.Tier != t.name() {
		return fmt.Errorf("the plan is for the tier %q; this is %q", p.Tier, t.name())
	}
	kinds := slices.Clone(t.Options.Kinds)
	for _, o := range t.Focuses {
		kinds = append(kinds, o.Kinds...)
	}
	for i := range p.Nemeses {
		n := &p.Nemeses[i]
		if !slices.ContainsFunc(kinds, func(k schedule.Kind) bool { return k.Name == n.Kind }) || len(n.Targets) == 0 {
			return fmt.Errorf("this tier has no nemesis %q, or it has no target", n.Kind)
		}
	}
	same := func(a, b schedule.Region) bool { return a.Name == b.Name && slices.Equal(a.Nodes, b.Nodes) }
	if t.Fixed && !slices.EqualFunc(p.Regions, t.Options.Regions, same) {
		return fmt.Errorf("this tier runs the regions %v", t.Options.Regions)
	}
	return nil
}
