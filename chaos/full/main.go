// Command full is the tier of the chaos runs with real processes: three regions in network namespaces, one of three servers,
// under the plans that package schedule makes of seeds. Each seed is a plan, a run, a history and a judgement; the exit code
// is non-zero when a run is violated or void.
//
// It owns the processes and what faults do to them. Plans are package schedule's, judgement is package check's, and how a
// plan is run over a world is package drive's. It needs root, for namespaces and disks.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"supercluster/chaos/clock"
	"supercluster/chaos/disk"
	"supercluster/chaos/drive"
	"supercluster/chaos/wan"
)

// programs are the servers of a run.
type programs struct {
	right string
	wrong string // the one whose clock can be wrong
}

func main() {
	p := &programs{}
	flag.StringVar(&p.right, "binary", "bin/supercluster", "the server to test")
	drive.Main(tier(p))
}

func tier(p *programs) *drive.Tier {
	return &drive.Tier{
		About: "Runs seeds of the chaos tier with real processes, as root.",
		Examples: "  go run ./chaos/full --seeds 12\n  go run ./chaos/full --from 7 --out /var/tmp/chaos -v\n" +
			"  go run ./chaos/full --plan /var/tmp/chaos/seed-7/plan.json\n",
		Seeds:   1,
		Leaves:  "plans, histories, reports, data and logs",
		Options: options(), Fixed: true, Turns: true,
		Overtime: 2 * time.Minute, // servers start again meanwhile
		Pace: drive.Pace{
			Ask: askFor, KnowIn: 8 * time.Second, AskAgain: 100 * time.Millisecond,
			RestLeast: 4 * time.Millisecond, RestMost: 15 * time.Millisecond,
			Follow: 4 * time.Second, Resume: 50 * time.Millisecond, Calm: time.Second,
		},
		Around: p.around,
		World:  p.world,
	}
}

// unavailable says why this tier cannot run here.
func unavailable() error {
	if err := wan.Unavailable(); err != nil {
		return err
	}
	return disk.Unavailable()
}

// around builds the server whose clock can be wrong; where this tier cannot run it says so.
func (p *programs) around(ctx context.Context, runs func() error) (err error) {
	if missing := unavailable(); missing != nil {
		if os.Getenv(wan.RequireEnv) != "" {
			return missing
		}
		fmt.Println("SKIP the runs with real processes:", missing)
		return nil
	}
	if p.right, err = filepath.Abs(p.right); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "chaos-clock-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p.wrong = filepath.Join(dir, "supercluster")
	if err := clock.Build(ctx, ".", "./cmd/supercluster", p.wrong); err != nil {
		return err
	}
	return runs()
}
