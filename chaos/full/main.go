// Command full is the tier of the chaos runs with real processes: three regions in network namespaces under workloads with
// recorded histories, while a plan of faults that a seed decides runs. Each fault proves that it took effect. At the end
// what clients were told is compared with what every region has.
//
// It exits non-zero for a violation, and for a run that proves nothing: a fault without evidence, or fewer than 100 checked
// operations a second. Data, logs, plan and history of such a run are kept. It needs root, for namespaces and disks.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"supercluster/chaos/clock"
	"supercluster/chaos/disk"
	"supercluster/chaos/wan"
)

type options struct {
	binary string
	wrong  string // the server whose clock can be wrong
	keep   string
}

// total is the report of all seeds.
type total struct {
	seeds, operations, violations, void int
	faults                              map[Kind]int
}

func main() {
	var opt options
	seeds := flag.Int("seeds", 1, "how many seeds are run")
	from := flag.Uint64("from", 1, "the first seed")
	replay := flag.String("plan", "", "a saved plan to run again, in place of seeds")
	flag.StringVar(&opt.binary, "binary", "bin/supercluster", "the server to test")
	flag.StringVar(&opt.keep, "keep", "", "where what is left of a failed run goes; default: a temporary folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sum, err := runAll(ctx, opt, *seeds, *from, *replay)
	if err != nil {
		fmt.Println("FAIL the run could not go on:", err)
		sum.void++
	}
	fmt.Printf("chaos: %d seeds, %d operations checked, %d violations, %d runs void\nfaults:", sum.seeds, sum.operations, sum.violations, sum.void)
	for _, kind := range kinds {
		fmt.Printf(" %s %d", kind, sum.faults[kind])
	}
	fmt.Println()
	if sum.violations+sum.void > 0 {
		os.Exit(1)
	}
}

func runAll(ctx context.Context, opt options, seeds int, from uint64, replay string) (sum total, err error) {
	sum.faults = map[Kind]int{}
	for _, missing := range []error{wan.Unavailable(), disk.Unavailable()} {
		if missing != nil {
			fmt.Println("SKIP the runs with real processes:", missing)
			if os.Getenv(wan.RequireEnv) != "" {
				return sum, missing
			}
			return sum, nil
		}
	}
	if opt.binary, err = filepath.Abs(opt.binary); err != nil {
		return sum, err
	}
	dir, err := os.MkdirTemp("", "supercluster-wrong-clock-")
	if err != nil {
		return sum, err
	}
	defer os.RemoveAll(dir)
	opt.wrong = filepath.Join(dir, "supercluster")
	if err := clock.Build(ctx, ".", "./cmd/supercluster", opt.wrong); err != nil {
		return sum, err
	}
	plans, err := plansOf(seeds, from, replay)
	for _, plan := range plans {
		if ctx.Err() != nil {
			return sum, ctx.Err()
		}
		one(ctx, opt, plan, &sum)
	}
	return sum, err
}

func plansOf(seeds int, from uint64, replay string) ([]Plan, error) {
	if replay != "" {
		plan, err := Load(replay)
		return []Plan{plan}, err
	}
	var plans []Plan
	for i := range seeds {
		plans = append(plans, Expand(from+uint64(i)))
	}
	return plans, nil
}

// one runs one plan and adds to the report.
func one(ctx context.Context, opt options, plan Plan, sum *total) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 4*time.Minute)
	defer cancel()
	r := &run{options: opt, plan: plan}
	err := r.do(ctx)
	sum.seeds++
	sum.operations += r.operations
	for _, f := range r.done {
		sum.faults[f]++
	}
	sum.violations += len(r.violations)
	result := "ok  "
	if err != nil {
		sum.void++
		result = "VOID"
	}
	if len(r.violations) > 0 {
		result = "FAIL"
	}
	fmt.Printf("%s seed %d: %d operations, %.0f a second, faults %v, %v\n", result, plan.Seed, r.operations, r.rate, r.done, time.Since(begin).Round(time.Second))
	if err != nil {
		fmt.Println("     this run proves nothing:", err)
	}
	for _, v := range r.violations[:min(len(r.violations), 10)] {
		fmt.Println("     VIOLATION:", v)
	}
	if r.kept != "" {
		fmt.Println("     plan, history, data and logs are in", r.kept)
	}
}
