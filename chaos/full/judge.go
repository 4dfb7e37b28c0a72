package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/history"
)

// converge waits until every region is equal to its sources, by digest, and every watch has shown what was written last.
func (r *run) converge(ctx context.Context) error {
	begin := time.Now()
	var all sync.WaitGroup
	failed := make([]error, len(sites))
	for i, region := range r.fleet.Regions {
		all.Go(func() { failed[i] = region.Equal(ctx, equalIn) })
	}
	all.Wait()
	for i, err := range failed {
		if err != nil {
			r.violation("%v (%v after the last fault)\n%s", err, time.Since(begin).Round(time.Millisecond), r.fleet.Regions[i].Standing(ctx))
		}
	}
	for _, a := range r.work.authors {
		if _, err := txn(a.region, giveUp, "last-"+a.region.Name, &pb.TxnRequest{Then: []*pb.TxnOp{put(a.region.Name+"/last", "last")}}); err != nil {
			return fmt.Errorf("the last write of %s: %w", a.region.Name, err)
		}
	}
	for _, w := range r.work.watchers {
		for deadline := time.Now().Add(equalIn); len(w.missing()) > 0; sleep(ctx, backOff) {
			if time.Now().After(deadline) || ctx.Err() != nil {
				r.violation("the watch of %s does not show what %v wrote last", w.region.Name, w.missing())
				break
			}
		}
	}
	return ctx.Err()
}

func (w *watcher) missing() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(sites), func(site string) bool { return w.state[site+"/last"] > 0 })
}

// judge compares what clients were told with what every region has.
func (r *run) judge(ctx context.Context) error {
	if result, _ := porcupine.CheckOperationsVerbose(history.Model(), r.work.history.Operations(), time.Minute); result != porcupine.Ok {
		r.violation("the history of %d operations on registers is not linearizable (%v)", r.work.history.Len(), result)
	}
	r.violations = append(r.violations, r.work.problems...)
	var reference map[string]string
	for i, region := range r.fleet.Regions {
		versions, values, err := entries(ctx, region)
		if err != nil {
			return err
		}
		if i == 0 {
			reference = values
		}
		r.same(region.Name, reference, values)
		for _, a := range r.work.authors {
			if err := r.judgeAuthor(ctx, a, region, values, versions); err != nil {
				return err
			}
		}
		r.judgeWatch(region.Name, r.work.watchers[i], versions)
	}
	return nil
}

// entries lists the versions and values of all entries of a region.
func entries(ctx context.Context, r *fleet.Region) (versions map[string]uint64, values map[string]string, err error) {
	versions, values = map[string]uint64{}, map[string]string{}
	for token := ""; ; {
		answer, err := pb.NewConfigServiceClient(r.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{PageSize: 5000, PageToken: token})
		if err != nil {
			return nil, nil, err
		}
		for _, c := range answer.GetConfigs() {
			versions[c.GetName()], values[c.GetName()] = c.GetMeta().GetVersion(), string(c.GetValue())
		}
		if token = answer.GetNextPageToken(); token == "" {
			return versions, values, nil
		}
	}
}

func (r *run) same(name string, a, b map[string]string) {
	for key, value := range a {
		if got, ok := b[key]; !ok || got != value {
			r.violation("%s is %q in %s and %q in %s", key, value, sites[0], got, name)
		}
	}
	if len(a) != len(b) {
		r.violation("%s has %d entries, %s %d", sites[0], len(a), name, len(b))
	}
}

func (r *run) judgeAuthor(ctx context.Context, a *author, region *fleet.Region, values map[string]string, versions map[string]uint64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	back := slices.Contains(r.done, OldData) && a.region.Name == sites[oldRegion]
	for name, value := range a.Live {
		switch got, ok := values[name]; {
		case !ok:
			r.violation("%s, acknowledged by %s, is lost in %s", name, a.region.Name, region.Name)
		case got != value:
			r.violation("%s, acknowledged by %s, is %q in %s", name, a.region.Name, got, region.Name)
		case versions[name] != 1 && !back:
			r.violation("%s was written once and has version %d in %s", name, versions[name], region.Name)
		}
	}
	for name := range a.Gone {
		if _, ok := values[name]; ok {
			r.violation("%s, deleted in %s, is there in %s", name, a.region.Name, region.Name)
		}
	}
	have, err := instances(ctx, region, service(a.region.Name))
	if err != nil {
		return err
	}
	for id := range a.Instances {
		if !have[id] {
			r.violation("instance %s, acknowledged by %s, is lost in %s", id, a.region.Name, region.Name)
		}
	}
	return nil
}

func instances(ctx context.Context, r *fleet.Region, name string) (map[string]bool, error) {
	all := map[string]bool{}
	for token := ""; ; {
		answer, err := pb.NewRegistryServiceClient(r.Conns[0]).ListInstances(ctx, &pb.ListInstancesRequest{Service: name, PageSize: 1000, PageToken: token})
		if err != nil {
			return nil, err
		}
		for _, i := range answer.GetInstances() {
			all[i.GetId()] = true
		}
		if token = answer.GetNextPageToken(); token == "" {
			return all, nil
		}
	}
}

// judgeWatch demands that the events of a watch, one after the other, make what the region has.
func (r *run) judgeWatch(name string, w *watcher, versions map[string]uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.problems {
		r.violation("the watch of %s: %s", name, p)
	}
	for key, version := range versions {
		if w.state[key] != version {
			r.violation("the watch of %s ends at version %d of %s, the region at %d", name, w.state[key], key, version)
		}
	}
	if len(w.state) != len(versions) {
		r.violation("the watch of %s makes %d entries, the region has %d", name, len(w.state), len(versions))
	}
}
