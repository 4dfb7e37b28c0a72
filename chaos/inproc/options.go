package main

import (
	"supercluster/chaos/crashfs"
	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
)

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
	diskStall  = "disk-stall"  // nothing can be written to the disk of a node
	diskFull   = "disk-full"   // the disk of a node says that it has little room
	powerLoss  = "power-loss"  // nodes stop at an instant, their disks lose what was not synced, and they start again
)

// The kinds that only a focused run has: each waits for one thing to go wrong.
const (
	overrun     = "overrun"      // watches read so slowly that the buffer of recent changes is over before they are there
	trim        = "trim"         // and what everybody has seen is compacted and purged meanwhile
	lateImport  = "late-import"  // imports of a region are proposed once more, late: as by one who led before
	forge       = "forge"        // a region shows others heads of theirs that they never signed
	stallImport = "stall-import" // the log of a region takes no imports for a while
)

// focuses are what seeds of focused runs expand with: the regions, clients and watches of any seed, and faults of one kind.
func focuses() map[string]schedule.Options {
	kind := func(name string, parameters ...schedule.Range) schedule.Kind {
		return schedule.Kind{Name: name, Target: schedule.OnRegion, Min: 1200, Max: 2500, Parameters: parameters}
	}
	slow := []schedule.Range{{Name: "pause_ms", Min: 80, Max: 150}, {Name: "ring", Min: 8, Max: 16}}
	all := map[string]schedule.Options{}
	for _, k := range []schedule.Kind{
		kind(overrun, slow...), kind(trim, slow...), kind(forge),
		kind(lateImport, schedule.Range{Name: "back", Min: 2, Max: 5}),
		kind(stallImport, schedule.Range{Name: "delay_ms", Min: 500, Max: 900}),
		unpowered(crashfs.InOrder, []string{"dc1"}, []string{"dc2"}, []string{"dc3"}),
		// A kind of every seed: the leader of a region is among those that it hits.
		{Name: isolate, Target: schedule.OnNode, Min: 800, Max: 1200, Exclusive: true},
	} {
		o := options()
		o.Kinds, o.Count, o.Together = []schedule.Kind{k}, 5, 2
		o.Phases.Heal, o.Phases.Final = 10_000, 10_000
		all[k.Name] = o
	}
	return all
}

// unpowered is a power loss of a node, or of all of a region. Some of what was not synced may be left: see crashfs.Keep.
func unpowered(most crashfs.Keep, among ...[]string) schedule.Kind {
	return schedule.Kind{
		Name: powerLoss, Among: among, Min: 300, Max: 900, Exclusive: true,
		Parameters: []schedule.Range{{Name: "kept", Min: 0, Max: int64(most)}},
	}
}

func options() schedule.Options {
	kind := func(name string, on schedule.Target, least, most schedule.Millis, alone bool, parameters ...schedule.Range) schedule.Kind {
		return schedule.Kind{Name: name, Target: on, Min: least, Max: most, Exclusive: alone, Parameters: parameters}
	}
	return schedule.Options{
		Tier:    "inproc",
		Phases:  schedule.Phases{Warm: 1000, Faults: 5000, Heal: 30_000, Final: 30_000},
		Regions: drive.Regions(),
		Count:   8, Together: 3,
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
			kind(diskStall, schedule.OnNode, 400, 1500, true), kind(diskFull, schedule.OnNode, 300, 900, true),
			unpowered(crashfs.Each, []string{"dc1/n1"}, []string{"dc1/n2"}, []string{"dc1/n3"}, []string{"dc1"}, []string{"dc2"}, []string{"dc3"}),
		},
		Workload: drive.Workload(),
	}
}
