// Command inproc is the in-process tier of chaos: three regions in one process, one of three nodes, with real Raft logs,
// real stores on a temporary folder and real QUIC between the regions, and faults by the hooks of their transports. Each
// seed is a plan, a run, a history and a judgement; the exit code is non-zero when a run is violated or void.
//
// It owns no rules: plans are package schedule's, judgement is package check's. It never touches what it did not start.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"supercluster/chaos/check"
	"supercluster/chaos/history"
	"supercluster/chaos/report"
	"supercluster/chaos/schedule"
)

// settings are the flags.
type settings struct {
	seeds   int
	from    uint64
	plan    string
	focus   string
	out     string
	verbose bool
}

func main() {
	var s settings
	flag.IntVar(&s.seeds, "seeds", 20, "how many seeds to run")
	flag.Uint64Var(&s.from, "from", 1, "the first seed")
	flag.StringVar(&s.plan, "plan", "", "run this saved plan instead of seeds")
	flag.StringVar(&s.focus, "focus", "", "run seeds of this one kind of fault: isolate, or one that ordinary seeds do not have; see docs/chaos.md")
	flag.StringVar(&s.out, "out", "", "the folder for plans, histories and reports; default: a temporary one, kept when a run does not pass")
	flag.BoolVar(&s.verbose, "v", false, "tell every report in full")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Runs seeds of the in-process chaos tier.\n\n"+
			"  go run ./chaos/inproc\n  go run ./chaos/inproc --seeds 1 --from 7 --out /var/tmp/chaos -v\n"+
			"  go run ./chaos/inproc --plan /var/tmp/chaos/seed-7/plan.json\n"+
			"  go run ./chaos/inproc --focus late-import --seeds 3\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chaos inproc:", err)
		os.Exit(1)
	}
}

// run runs all seeds; an error when one did not pass.
func (s *settings) run(ctx context.Context) error {
	plans, err := s.plans()
	if err != nil {
		return err
	}
	keep := s.out != ""
	if !keep {
		if s.out, err = os.MkdirTemp("", "chaos-inproc-"); err != nil {
			return fmt.Errorf("make a folder for the reports: %w", err)
		}
	}
	began, bad, checked, faults, violations := time.Now(), 0, 0, 0, 0
	for i := range plans {
		r, err := s.one(ctx, &plans[i])
		if err != nil {
			return fmt.Errorf("seed %d could not run: %w; what it wrote is in %s", plans[i].Seed, err, s.out)
		}
		if !r.Passed() {
			bad++
		}
		checked, faults, violations = checked+r.Checked, faults+len(r.Faults), violations+r.Violations
	}
	fmt.Printf("chaos inproc: %d seeds, %d passed, %d not; %d checked operations, %d faults, %d violations in %v\n",
		len(plans), len(plans)-bad, bad, checked, faults, violations, time.Since(began).Round(time.Second))
	if bad > 0 {
		return fmt.Errorf("%d of %d runs did not pass; plans, histories and reports are in %s", bad, len(plans), s.out)
	}
	if !keep {
		return os.RemoveAll(s.out)
	}
	return nil
}

func (s *settings) plans() ([]schedule.Plan, error) {
	if s.plan != "" {
		p, err := schedule.Load(s.plan)
		if err != nil {
			return nil, err
		}
		return []schedule.Plan{*p}, runnable(p)
	}
	o := options()
	if s.focus != "" {
		var err error
		if o, err = focused(s.focus); err != nil {
			return nil, err
		}
	}
	var all []schedule.Plan
	for n := range s.seeds {
		all = append(all, schedule.Expand(s.from+uint64(n), o))
	}
	return all, nil
}

// one saves a plan, runs it, and judges its history.
func (s *settings) one(ctx context.Context, p *schedule.Plan) (*report.Report, error) {
	dir := filepath.Join(s.out, fmt.Sprintf("seed-%d", p.Seed))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the seed: %w", err)
	}
	plan, path := filepath.Join(dir, "plan.json"), filepath.Join(dir, "history.jsonl")
	if err := p.Save(plan); err != nil {
		return nil, err
	}
	if err := execute(ctx, p, path); err != nil {
		return nil, err
	}
	lines, err := history.Read(path)
	if err != nil {
		return nil, err
	}
	r, err := report.Make(p, lines, check.Options{Limit: time.Minute, Converge: 30 * time.Second, Slack: 50 * time.Millisecond, Federated: true})
	if err != nil {
		return nil, err
	}
	r.Plan, r.History = plan, path
	if s.verbose || !r.Passed() {
		if err := r.WriteText(os.Stdout); err != nil {
			return nil, err
		}
	} else {
		fmt.Println(r.Line())
	}
	return r, r.Save(filepath.Join(dir, "report.json"))
}
