package main

import (
	"fmt"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

// tier is the name of this tier in plans.
const tier = "inproc"

// The kinds of nemesis of this tier.
const (
	kill       = "kill"        // a node tells nobody and ends; it starts again
	isolate    = "isolate"     // a node and the rest of its region do not hear each other
	mute       = "mute"        // the rest does not hear a node
	deafen     = "deafen"      // a node does not hear the rest
	delay      = "delay"       // frames between two nodes come late
	duplicate  = "duplicate"   // frames of a node come twice
	reorder    = "reorder"     // frames of a node overtake each other
	slowWatch  = "slow-watch"  // the watches of a region read slowly
	cutLink    = "cut-link"    // two regions do not hear each other
	cutOneWay  = "cut-one-way" // the second region does not hear the first
	slowLink   = "slow-link"   // what a region sends to others comes late
	killRelay  = "kill-relay"  // two regions do not hear each other, and the third, which relays, stops exchanging
	restartAll = "restart"     // all nodes of a region end and start again
)

func options() schedule.Options {
	kind := func(name string, on schedule.Target, least, most schedule.Millis, alone bool, parameters ...schedule.Range) schedule.Kind {
		return schedule.Kind{Name: name, Target: on, Min: least, Max: most, Exclusive: alone, Parameters: parameters}
	}
	return schedule.Options{
		Tier:   tier,
		Phases: schedule.Phases{Warm: 1000, Faults: 5000, Heal: 30_000, Final: 30_000},
		Regions: []schedule.Region{
			{Name: "dc1", Nodes: []string{"n1", "n2", "n3"}}, {Name: "dc2", Nodes: []string{"n1"}}, {Name: "dc3", Nodes: []string{"n1"}},
		},
		Count: 8, Together: 3,
		Kinds: []schedule.Kind{
			kind(kill, schedule.OnNode, 400, 1200, true), kind(isolate, schedule.OnNode, 400, 1200, true),
			kind(mute, schedule.OnNode, 400, 1200, true), kind(deafen, schedule.OnNode, 400, 1200, true),
			kind(delay, schedule.OnNodes, 600, 2000, false, schedule.Range{Name: "delay_ms", Min: 5, Max: 40}),
			kind(duplicate, schedule.OnNode, 600, 2000, false, schedule.Range{Name: "percent", Min: 20, Max: 100}),
			kind(reorder, schedule.OnNode, 600, 2000, false, schedule.Range{Name: "delay_ms", Min: 2, Max: 20}),
			kind(slowWatch, schedule.OnRegion, 800, 2500, false, schedule.Range{Name: "pause_ms", Min: 20, Max: 100}),
			kind(cutLink, schedule.OnRegions, 600, 2500, false), kind(cutOneWay, schedule.OnRegions, 600, 2500, false),
			kind(slowLink, schedule.OnRegion, 800, 2500, false, schedule.Range{Name: "delay_ms", Min: 10, Max: 80}),
			kind(killRelay, schedule.OnRegions, 2200, 3000, true),
			kind(restartAll, schedule.OnRegion, 300, 900, true),
		},
		Workload: schedule.Workload{
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
		},
	}
}

// runnable says whether this tier can run a saved plan.
func runnable(p *schedule.Plan) error {
	if p.Tier != tier {
		return fmt.Errorf("the plan is for the tier %q; this is %q", p.Tier, tier)
	}
	known := map[string]bool{}
	for _, k := range options().Kinds {
		known[k.Name] = true
	}
	for i := range p.Nemeses {
		if !known[p.Nemeses[i].Kind] {
			return fmt.Errorf("this tier has no nemesis %q", p.Nemeses[i].Kind)
		}
	}
	return nil
}
