// Command full is the tier of the chaos runs with real processes: three regions in network namespaces, one of three servers,
// under the plans that package schedule makes of seeds. Each seed is a plan, a run, a history and a judgement; the exit code
// is non-zero when a run is violated or void.
//
// It owns no rules: plans are package schedule's, judgement is package check's. It needs root, for namespaces and disks.
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
	"supercluster/chaos/clock"
	"supercluster/chaos/disk"
	"supercluster/chaos/history"
	"supercluster/chaos/report"
	"supercluster/chaos/schedule"
	"supercluster/chaos/wan"
)

// settings are the flags.
type settings struct {
	binary  string
	wrong   string // the server whose clock can be wrong
	seeds   int
	from    uint64
	plan    string
	out     string
	verbose bool
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "bin/supercluster", "the server to test")
	flag.IntVar(&s.seeds, "seeds", 1, "how many seeds to run")
	flag.Uint64Var(&s.from, "from", 1, "the first seed")
	flag.StringVar(&s.plan, "plan", "", "run this saved plan instead of seeds")
	flag.StringVar(&s.out, "out", "", "the folder for plans, histories, reports, and data and logs of runs that do not pass; default: a temporary one, kept when a run does not pass")
	flag.BoolVar(&s.verbose, "v", false, "tell every report in full")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Runs seeds of the chaos tier with real processes, as root.\n\n"+
			"  go run ./chaos/full --seeds 12\n  go run ./chaos/full --from 7 --out /var/tmp/chaos -v\n"+
			"  go run ./chaos/full --plan /var/tmp/chaos/seed-7/plan.json\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := s.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "chaos full:", err)
		os.Exit(1)
	}
}

// unavailable says why this tier cannot run here.
func unavailable() error {
	if err := wan.Unavailable(); err != nil {
		return err
	}
	return disk.Unavailable()
}

// run runs all seeds; an error when one did not pass.
func (s *settings) run(ctx context.Context) error {
	if missing := unavailable(); missing != nil {
		if os.Getenv(wan.RequireEnv) != "" {
			return missing
		}
		fmt.Println("SKIP the runs with real processes:", missing)
		return nil
	}
	plans, err := s.plans()
	if err != nil {
		return err
	}
	if s.binary, err = filepath.Abs(s.binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "chaos-clock-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s.wrong = filepath.Join(dir, "supercluster")
	if err := clock.Build(ctx, ".", "./cmd/supercluster", s.wrong); err != nil {
		return err
	}
	return s.all(ctx, plans)
}

func (s *settings) all(ctx context.Context, plans []schedule.Plan) (err error) {
	keep := s.out != ""
	if !keep {
		if s.out, err = os.MkdirTemp("", "chaos-full-"); err != nil {
			return fmt.Errorf("make a folder for the reports: %w", err)
		}
	}
	began, bad, checked, faults, violations := time.Now(), 0, 0, 0, 0
	for i := range plans {
		r, err := s.one(ctx, &plans[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad++
			fmt.Printf("VOID seed %d could not run: %v\n", plans[i].Seed, err)
			continue
		}
		if !r.Passed() {
			bad++
		}
		checked, faults, violations = checked+r.Checked, faults+len(r.Faults), violations+r.Violations
	}
	fmt.Printf("chaos full: %d seeds, %d passed, %d not; %d checked operations, %d faults, %d violations in %v\n",
		len(plans), len(plans)-bad, bad, checked, faults, violations, time.Since(began).Round(time.Second))
	if bad > 0 {
		return fmt.Errorf("%d of %d runs did not pass; plans, histories, reports, data and logs are in %s", bad, len(plans), s.out)
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
	var all []schedule.Plan
	for n := range s.seeds {
		all = append(all, schedule.Expand(s.from+uint64(n), options()))
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
	w, err := newWorld(p, s, path)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.run(ctx); err != nil {
		w.preserve(dir)
		return nil, fmt.Errorf("%w; what it left is in %s", err, dir)
	}
	r, err := judge(p, path)
	if err != nil {
		return nil, err
	}
	if r.Plan, r.History = plan, path; !r.Passed() {
		w.preserve(dir)
	}
	if s.verbose || !r.Passed() {
		err = r.WriteText(os.Stdout)
	} else {
		fmt.Println(r.Line())
	}
	if err != nil {
		return nil, err
	}
	return r, r.Save(filepath.Join(dir, "report.json"))
}

func judge(p *schedule.Plan, path string) (*report.Report, error) {
	lines, err := history.Read(path)
	if err != nil {
		return nil, err
	}
	return report.Make(p, lines, check.Options{Limit: time.Minute, Converge: 30 * time.Second, Slack: 50 * time.Millisecond, Federated: true})
}
