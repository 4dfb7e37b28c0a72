// Command inproc is the in-process tier of chaos: three regions in one process, one of three nodes, with real Raft logs,
// real stores on a temporary folder and real QUIC between the regions, and faults by the hooks of their transports. Each
// seed is a plan, a run, a history and a judgement; the exit code is non-zero when a run is violated or void.
//
// It owns the world and what faults do to it. Plans are package schedule's, judgement is package check's, and how a plan is
// run over a world is package drive's. It never touches what it did not start.
package main

import (
	"time"

	"supercluster/chaos/drive"
)

func main() { drive.Main(tier()) }

func tier() *drive.Tier {
	return &drive.Tier{
		About: "Runs seeds of the in-process chaos tier.",
		Examples: "  go run ./chaos/inproc\n  go run ./chaos/inproc --seeds 1 --from 7 --out /var/tmp/chaos -v\n" +
			"  go run ./chaos/inproc --plan /var/tmp/chaos/seed-7/plan.json\n" +
			"  go run ./chaos/inproc --focus late-import --seeds 3\n",
		Seeds:   20,
		Leaves:  "plans, histories and reports",
		Options: options(), Focuses: focuses(),
		Overtime: 30 * time.Second,
		Pace: drive.Pace{
			Ask: 400 * time.Millisecond, KnowIn: 800 * time.Millisecond, AskAgain: 10 * time.Millisecond,
			RestLeast: 2 * time.Millisecond, RestMost: 9 * time.Millisecond,
			Follow: 500 * time.Millisecond, Resume: 20 * time.Millisecond, Calm: 500 * time.Millisecond,
		},
		World: newWorld,
	}
}
