package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"supercluster/chaos/clock"
	"supercluster/chaos/disk"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
)

var sites = []string{"dc1", "dc2", "dc3"}

const (
	diskRegion = 1 // the region whose server has a disk of its own
	diskSize   = 2 << 30
	warm       = 2 * time.Second
	after      = 2 * time.Second // of writing, without faults
	equalIn    = 30 * time.Second
	floor      = 100 // operations a second; a run below proves nothing
)

// run is one plan under way, and what was found.
type run struct {
	options
	plan Plan

	wan   *wan.WAN
	fleet *fleet.Fleet
	disk  *disk.Disk
	work  *work

	done       []Kind
	violations []string
	operations int
	rate       float64
	kept       string
}

func (r *run) violation(format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// do runs the plan; an error means that the run proves nothing.
func (r *run) do(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "supercluster-disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if r.disk, err = disk.New(dir, diskSize); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.disk.Close()) }()
	if r.wan, err = wan.New(sites...); err != nil {
		return err
	}
	defer r.wan.Close()
	for i, a := range sites {
		r.wan.Both(a, sites[(i+1)%len(sites)], wan.Line{Delay: 10 * time.Millisecond})
	}
	// A server refuses certificates that are not valid yet, so those of the run are older than its clocks are wrong.
	earlier := []string{"env", clock.Setting(-2 * skew), r.wrong}
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	r.fleet, err = fleet.StartSites(starting, r.wan, r.binary, []fleet.Site{
		{Name: sites[0], Nodes: 3, Init: earlier},
		{Name: sites[1], Nodes: 1, Init: earlier, Data: func(int) string { return filepath.Join(r.disk.Dir, "data") }},
		{Name: sites[2], Nodes: 1, Init: earlier},
	})
	if err != nil {
		return err
	}
	defer r.fleet.Close()
	if err := r.fleet.Join(starting); err != nil {
		return err
	}
	err = r.load(ctx)
	if err != nil || len(r.violations) > 0 {
		r.preserve()
	}
	return err
}

// load is the time under load, and the judgement.
func (r *run) load(ctx context.Context) error {
	r.work = newWork(r.fleet, r.plan.Seed)
	working, stop := context.WithCancel(ctx)
	defer stop()
	var workers sync.WaitGroup
	workers.Go(func() { r.work.run(working) })
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	var watchers sync.WaitGroup
	for _, w := range r.work.watchers {
		watchers.Go(func() { w.run(watching) })
	}
	begin := time.Now()
	sleep(ctx, warm)
	err := r.faults(ctx)
	if err == nil {
		sleep(ctx, after)
	}
	stop()
	workers.Wait()
	r.operations = r.work.operations()
	r.rate = float64(r.operations) / time.Since(begin).Seconds()
	if err == nil {
		err = r.converge(ctx)
	}
	stopWatching()
	watchers.Wait()
	if err == nil && r.rate < floor {
		err = fmt.Errorf("%.0f operations a second, at least %d are needed", r.rate, floor)
	}
	if err != nil {
		return err
	}
	return r.judge(ctx)
}

// faults runs the faults of the plan, one after the other.
func (r *run) faults(ctx context.Context) error {
	for _, f := range r.plan.Faults {
		sleep(ctx, f.Pause)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		evidence, err := nemeses[f.Kind](r, ctx, f)
		if err != nil {
			return fmt.Errorf("%s in %s: %w", f.Kind, sites[f.Region], err)
		}
		if evidence == "" {
			return fmt.Errorf("%s in %s did not take effect", f.Kind, sites[f.Region])
		}
		r.done = append(r.done, f.Kind)
	}
	return nil
}

// preserve keeps what is left of a run.
func (r *run) preserve() {
	to := r.keep
	if to == "" {
		to, _ = os.MkdirTemp("", "supercluster-chaos-")
	}
	to = filepath.Join(to, fmt.Sprintf("seed-%d", r.plan.Seed))
	r.kept = to
	_ = os.MkdirAll(to, 0o700)
	_ = r.plan.Save(filepath.Join(to, "plan.json"))
	_ = r.work.save(filepath.Join(to, "history.json"))
	_ = os.CopyFS(filepath.Join(to, "group"), os.DirFS(r.fleet.Group.Dir))
	_ = os.CopyFS(filepath.Join(to, sites[diskRegion]), os.DirFS(filepath.Join(r.disk.Dir, "data")))
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
