package drive

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"supercluster/chaos/schedule"
)

// command is the program of a tier.
type command struct {
	tier    *Tier
	print   io.Writer
	seeds   int
	from    uint64
	plan    string
	focus   string
	out     string
	verbose bool
}

// Main is the program of a tier, with its own flags beside those of every tier. It returns when every run has passed;
// otherwise the process ends with a non-zero code.
func Main(t *Tier) {
	c := command{tier: t, print: os.Stdout}
	c.flags(flag.CommandLine)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.run(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "chaos %s: %v\n", t.name(), err)
		os.Exit(1)
	}
}

func (c *command) flags(f *flag.FlagSet) {
	f.IntVar(&c.seeds, "seeds", c.tier.Seeds, "how many seeds to run")
	f.Uint64Var(&c.from, "from", 1, "the first seed")
	f.StringVar(&c.plan, "plan", "", "run this saved plan instead of seeds")
	f.StringVar(&c.out, "out", "", "the folder for "+c.tier.Leaves+"; default: a temporary one, kept when a run does not pass")
	f.BoolVar(&c.verbose, "v", false, "tell every report in full")
	if len(c.tier.Focuses) > 0 {
		f.StringVar(&c.focus, "focus", "", "run seeds of this one kind of fault: isolate, or one that ordinary seeds do not have; see docs/chaos.md")
	}
	f.Usage = func() {
		fmt.Fprintf(f.Output(), "%s\n\n%s\n", c.tier.About, c.tier.Examples)
		f.PrintDefaults()
	}
}

// run runs all seeds; an error when one did not pass.
func (c *command) run(ctx context.Context) error {
	plans, err := c.plans()
	if err != nil {
		return err
	}
	runs := func() error { return c.all(ctx, plans) }
	if c.tier.Around != nil {
		return c.tier.Around(ctx, runs)
	}
	return runs()
}

func (c *command) plans() ([]schedule.Plan, error) {
	if c.plan == "" {
		if c.seeds < 1 {
			return nil, fmt.Errorf("%d seeds prove nothing: give --seeds 1 or more", c.seeds)
		}
		return c.tier.Plans(c.focus, c.from, c.seeds)
	}
	p, err := schedule.Load(c.plan)
	if err != nil {
		return nil, err
	}
	return []schedule.Plan{*p}, c.tier.Runnable(p)
}

func (c *command) all(ctx context.Context, plans []schedule.Plan) (err error) {
	keep := c.out != ""
	if !keep {
		if c.out, err = os.MkdirTemp("", "chaos-"+c.tier.name()+"-"); err != nil {
			return fmt.Errorf("make a folder for the reports: %w", err)
		}
	}
	began, bad, checked, faults, violations := time.Now(), 0, 0, 0, 0
	for i := range plans {
		r, err := c.one(ctx, &plans[i])
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			bad++
			fmt.Fprintf(c.print, "VOID seed %d could not run: %v\n", plans[i].Seed, err)
			continue
		}
		if !r.Passed() {
			bad++
		}
		checked, faults, violations = checked+r.Checked, faults+len(r.Faults), violations+r.Violations
	}
	fmt.Fprintf(c.print, "chaos %s: %d seeds, %d passed, %d not; %d checked operations, %d faults, %d violations in %v\n",
		c.tier.name(), len(plans), len(plans)-bad, bad, checked, faults, violations, time.Since(began).Round(time.Second))
	if bad > 0 {
		return fmt.Errorf("%d of %d runs did not pass; %s are in %s", bad, len(plans), c.tier.Leaves, c.out)
	}
	if !keep {
		return os.RemoveAll(c.out)
	}
	return nil
}
