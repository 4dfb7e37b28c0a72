package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/disk"
)

// diskSize leaves more room than a server wants to see free. The files are sparse.
const diskSize = 2 << 30

// losses cuts the power of all nodes of a region again and again.
func (r *runner) losses(ctx context.Context, nodes, losses int) error {
	dir, err := os.MkdirTemp("", "supercluster-disks-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var disks []*disk.Disk
	defer func() {
		for _, d := range disks {
			err = errors.Join(err, d.Close())
		}
		r.Check(err == nil, "the disks are gone again %v", err)
	}()
	for i := range nodes {
		d, err := disk.New(filepath.Join(dir, fmt.Sprint(i)), diskSize)
		if err != nil {
			return err
		}
		disks = append(disks, d)
	}
	g, err := r.start(ctx, nodes, func(i int) string { return filepath.Join(disks[i].Dir, "data") })
	if err != nil {
		return err
	}
	defer g.close(r, r.Failed())
	random := rand.New(rand.NewPCG(r.seed, uint64(nodes)))
	var longest time.Duration
	for n := range losses {
		took, err := r.loss(ctx, g, disks, n, random)
		if err != nil {
			return fmt.Errorf("loss %d: %w", n+1, err)
		}
		longest = max(longest, took)
	}
	for i := range nodes {
		problem, err := g.ledger.compare(ctx, g.conns[i], pb.Consistency_CONSISTENCY_LOCAL)
		r.Check(problem == "" && err == nil, "%s has every one of %d acknowledged writes after %d power losses (back within %v) %s %s",
			g.Nodes[i], g.ledger.len(), losses, longest.Round(time.Millisecond), problem, because(err))
	}
	r.acked += g.ledger.len()
	return nil
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// loss is one: write, cut the power of all disks at once, start again, compare.
func (r *runner) loss(ctx context.Context, g *region, disks []*disk.Disk, n int, random *rand.Rand) (time.Duration, error) {
	before := g.ledger.len()
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var under sync.WaitGroup
	under.Go(func() { g.ledger.write(writing, n, g.conns) })
	time.Sleep(300*time.Millisecond + time.Duration(random.IntN(400))*time.Millisecond)
	for deadline := time.Now().Add(startFor); g.ledger.len() == before && time.Now().Before(deadline); time.Sleep(askEvery) {
	}
	failed := make([]error, len(disks))
	g.ledger.cut(true)
	defer g.ledger.cut(false)
	var cut sync.WaitGroup
	for i, d := range disks {
		cut.Go(func() { _, failed[i] = d.PowerLoss() })
	}
	cut.Wait()
	stop()
	for _, p := range g.Servers {
		failed = append(failed, p.Kill())
	}
	under.Wait()
	if acked := g.ledger.len() - before; acked == 0 {
		failed = append(failed, errors.New("nothing was acknowledged before: the loss proves nothing"))
	}
	if err := errors.Join(failed...); err != nil {
		return 0, err
	}
	begin := time.Now()
	var nodes []int
	for i, d := range disks {
		if err := errors.Join(d.Remount(), g.Restart(i)); err != nil {
			return 0, err
		}
		nodes = append(nodes, i)
	}
	if err := g.back(ctx, nodes...); err != nil {
		r.Check(false, "power loss %d: %v", n+1, err)
		return 0, err
	}
	took := time.Since(begin)
	problem, err := g.ledger.compare(ctx, g.conns[n%len(g.conns)], pb.Consistency_CONSISTENCY_LINEARIZABLE)
	if err == nil && problem != "" {
		r.Check(false, "power loss %d: %s", n+1, problem)
		err = errors.New(problem)
	}
	return took, err
}
