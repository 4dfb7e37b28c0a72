package drive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"supercluster/chaos/check"
	"supercluster/chaos/history"
	"supercluster/chaos/report"
	"supercluster/chaos/schedule"
)

// limits bound the checks, of every tier.
var limits = check.Options{Limit: time.Minute, Converge: 30 * time.Second, Slack: 50 * time.Millisecond, Federated: true}

// one runs a plan in a folder of its own and tells its report.
func (c *command) one(ctx context.Context, p *schedule.Plan) (*report.Report, error) {
	dir := filepath.Join(c.out, fmt.Sprintf("seed-%d", p.Seed))
	r, err := c.tier.Run(ctx, p, dir)
	if err != nil {
		return nil, err
	}
	if c.verbose || !r.Passed() {
		err = r.WriteText(c.print)
	} else {
		_, err = fmt.Fprintln(c.print, r.Line())
	}
	return r, err
}

// Run saves a plan, runs it over a world and judges its history. An error means that the run proves nothing.
func (t *Tier) Run(ctx context.Context, p *schedule.Plan, dir string) (*report.Report, error) {
	if err := t.Runnable(p); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a folder for the seed: %w", err)
	}
	plan, path := filepath.Join(dir, "plan.json"), filepath.Join(dir, "history.jsonl")
	if err := p.Save(plan); err != nil {
		return nil, err
	}
	r, err := t.lived(ctx, p, dir, path)
	if err != nil {
		return nil, err
	}
	r.Plan, r.History = plan, path
	return r, r.Save(filepath.Join(dir, "report.json"))
}

// lived lets a world live through a plan, and judges what was written down of it.
func (t *Tier) lived(ctx context.Context, p *schedule.Plan, dir, path string) (*report.Report, error) {
	log, err := history.Create(path)
	if err != nil {
		return nil, err
	}
	run := &Run{Plan: p, Log: log, tier: t}
	world, err := t.World(run)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	defer world.Close()
	if err := errors.Join(run.live(ctx, world), log.Close()); err != nil {
		keep(world, dir)
		return nil, fmt.Errorf("%w; what it left is in %s", err, dir)
	}
	lines, err := history.Read(path)
	if err != nil {
		return nil, err
	}
	r, err := report.Make(p, lines, limits)
	if err == nil && !r.Passed() {
		keep(world, dir)
	}
	return r, err
}

func keep(world World, dir string) {
	if k, ok := world.(Keeper); ok {
		k.Keep(dir)
	}
}
