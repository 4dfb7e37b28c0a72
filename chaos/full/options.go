package main

import (
	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
)

// The kinds of nemesis of this tier.
const (
	kill       = "kill"          // a server gets SIGKILL and starts again
	killAll    = "kill-region"   // all servers of a region
	killRelay  = "kill-relay"    // two regions do not hear each other, and a server of the third, which relays, is killed
	stop       = "pause"         // a server gets SIGSTOP, and SIGCONT later
	isolate    = "isolate"       // a server and the rest of its region do not hear each other
	mute       = "mute"          // the rest does not hear a server
	deafen     = "deafen"        // a server does not hear the rest
	cutLink    = "cut-link"      // two regions do not hear each other
	cutOneWay  = "cut-one-way"   // the second region does not hear the first
	weather    = "weather"       // what goes between two regions is late, lost and reordered
	slowWatch  = "slow-watch"    // the watches of a region read nothing for a while
	diskStall  = "disk-stall"    // nothing can be written to a server's disk
	diskFull   = "disk-full"     // a server's disk has little room
	powerLoss  = "power-loss"    // a server's disk loses what was not synced: of the only server, of one of three
	tornWrite  = "torn-write"    // the logs of a server that was killed end with half a record
	wrongClock = "clock"         // a server's clock is an hour off
	oldData    = "old-data"      // all servers of a region go back to a copy of their data folders
	oldBackup  = "old-backup"    // a region is restored from a backup as a new incarnation
	clone      = "cloned-region" // a second copy of a region lives
)

// The servers with disks of their own.
const (
	onlyDisk  = "dc2/n1" // of a region of one
	thirdDisk = "dc1/n3" // of a region of three
)

// options are what this tier runs. Kinds that put a region back in time stand so far apart that a plan has one at most.
func options() schedule.Options {
	kind := func(name string, on schedule.Target, among ...[]string) schedule.Kind {
		return schedule.Kind{Name: name, Target: on, Among: among, Min: 1000, Max: 3000}
	}
	each := [][]string{{"dc1/n1"}, {"dc1/n2"}, {"dc1/n3"}, {"dc2/n1"}, {"dc3/n1"}}
	disks := [][]string{{onlyDisk}, {thirdDisk}}
	ahead := kind(wrongClock, "", each...)
	ahead.Parameters = []schedule.Range{{Name: "ahead", Min: 0, Max: 1}}
	return schedule.Options{
		Tier:    "full",
		Phases:  schedule.Phases{Warm: 2000, Faults: 18_000, Heal: 30_000, Final: 30_000},
		Regions: drive.Regions(),
		Count:   5, Turns: true, Together: 1,
		Kinds: []schedule.Kind{
			kind(oldData, schedule.OnRegion), kind(kill, "", each...), kind(cutLink, schedule.OnRegions), kind(isolate, schedule.OnNode),
			kind(diskStall, "", disks...), kind(slowWatch, schedule.OnRegion),
			kind(oldBackup, schedule.OnRegion), kind(killAll, schedule.OnRegion), kind(cutOneWay, schedule.OnRegions), kind(mute, schedule.OnNode),
			kind(diskFull, "", disks...), kind(stop, "", each...),
			kind(clone, "", []string{twinOf}), kind(killRelay, schedule.OnRegions), kind(weather, schedule.OnRegions),
			kind(deafen, schedule.OnNode), kind(powerLoss, "", disks...), kind(tornWrite, "", each...), ahead,
		},
		Workload: drive.Workload(),
	}
}
