package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"supercluster/chaos/crashfs"
	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
)

// struck are the nodes that a target names: one, or all of a region.
func (w *world) struck(target string) (*site, []*node) {
	s, n := w.target(target)
	if !strings.Contains(target, "/") {
		return s, s.nodes
	}
	return s, []*node{n}
}

// powerLost cuts the power of nodes, all at one instant, and starts them again from what their disks have kept.
func (w *world) powerLost(ctx context.Context, n *schedule.Nemesis) effect {
	s, nodes := w.struck(n.Targets[0])
	s.power.Lock()
	defer s.power.Unlock()
	_ = drive.Wait(ctx, n.Duration.Duration(), "something to lose", func(context.Context) string { // the evidence tells
		return nothingToLose(nodes)
	})
	began, leader, gone := time.Now(), ledBy(nodes), unheard(nodes)
	s.network.add(gone)
	lives, err := cutPower(nodes)
	s.network.remove(gone)
	if err != nil {
		return effect{Evidence: err.Error()}
	}
	keep, random := crashfs.Keep(n.Parameters["kept"]), rand.New(rand.NewPCG(w.run.Plan.Seed, uint64(n.Start)))
	var lost crashfs.Losses
	for i, x := range nodes {
		l, err := x.wake(lives[i], keep, random)
		if err != nil {
			return effect{Evidence: fmt.Sprintf("what is left of %s: %v", x.name, err)}
		}
		lost.Dropped, lost.Kept, lost.Names = lost.Dropped+l.Dropped, lost.Kept+l.Kept, lost.Names+l.Names
	}
	drive.Pause(ctx, time.Until(began.Add(n.Duration.Duration())))
	stuck := restart(ctx, nodes)
	return effect{Seen: lost.Dropped+int64(lost.Names) > 0, Stuck: stuck, Evidence: fmt.Sprintf(
		"%d nodes%s lost %d bytes and %d names that were not synced, %d such bytes were left; ready after %v",
		len(nodes), leader, lost.Dropped, lost.Names, lost.Kept, time.Since(began).Round(time.Millisecond))}
}

// nothingToLose names a node all of whose writes are synced.
func nothingToLose(nodes []*node) string {
	for _, x := range nodes {
		if l := x.live(); l == nil || l.disk.Unsynced() == 0 {
			return x.name + " has nothing to lose"
		}
	}
	return ""
}

// cutPower ends lives of nodes that nobody in their region hears any more. First no client, watch or other region hears
// them, then their disks are cut: whatever was heard of them is on the disks.
func cutPower(nodes []*node) ([]*life, error) {
	lives := make([]*life, len(nodes))
	disks := make([]*crashfs.Disk, len(nodes))
	for i, x := range nodes {
		if lives[i] = x.take(); lives[i] == nil {
			return nil, fmt.Errorf("%s did not run", x.name)
		}
		lives[i].dark.Store(true)
		disks[i] = lives[i].disk
	}
	crashfs.Cut(disks...)
	var all sync.WaitGroup
	for _, l := range lives {
		all.Go(l.stop)
	}
	all.Wait()
	return lives, nil
}

// restart starts nodes again and waits until they are ready; it says what is wrong.
func restart(ctx context.Context, nodes []*node) string {
	for _, x := range nodes {
		if err := x.start(false); err != nil {
			return fmt.Sprintf("%s did not start again: %v", x.name, err)
		}
	}
	for _, x := range nodes {
		if err := x.waitReady(ctx); err != nil {
			return fmt.Sprintf("%s is not back: %v", x.name, err)
		}
	}
	return ""
}
