package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
	"supercluster/internal/procs"
)

// askEvery is how often is asked while waiting: the servers need the processors.
const askEvery = 10 * time.Millisecond

// killing is the first part.
type killing struct {
	*runner
	fleet   *fleet.Fleet
	authors []*author
	readers []*reader
	// From each kill until records go both ways again: of servers that were started again, and of those that were not.
	flows, deadFlows []time.Duration
}

func (r *runner) killing(ctx context.Context) error {
	w, err := network(sites()...)
	if err != nil {
		return err
	}
	defer w.Close()
	for i, delay := range []time.Duration{40 * time.Millisecond, 80 * time.Millisecond, 150 * time.Millisecond} {
		a, b := sites()[i/2], sites()[(i+3)/2] // 1-2, 1-3, 2-3
		w.Both(a, b, wan.Line{Delay: delay, Loss: 0.001})
	}
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	k := &killing{runner: r}
	if k.fleet, err = fleet.Start(starting, w, r.binary, sites(), 3); err != nil {
		return err
	}
	defer k.fleet.Close()
	if err := k.fleet.Join(starting); err != nil {
		return err
	}
	for _, region := range k.fleet.Regions {
		k.authors = append(k.authors, newAuthor(region))
		k.readers = append(k.readers, newReader(region))
	}
	writing, stopWriting := context.WithCancel(ctx)
	defer stopWriting()
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	var writers, readers sync.WaitGroup
	for i := range k.authors {
		writers.Go(func() { k.authors[i].run(writing) })
		readers.Go(func() { k.readers[i].run(reading) })
	}
	err = k.rounds(ctx)
	stopWriting()
	writers.Wait()
	if err == nil {
		err = k.equal(ctx)
	}
	if err == nil {
		err = k.caughtUp(ctx)
	}
	stopReading()
	readers.Wait()
	if err != nil {
		return err
	}
	return k.judge(ctx)
}

// victims are whom a round kills: the server that sends a region's records to the next region, the one that takes over
// what a region gets, and the one that leads a region.
var victims = []struct {
	name string
	find func(k *killing, ctx context.Context, region int) (int, error)
}{{"exporter", (*killing).exporter}, {"importer", (*killing).importer}, {"leader", (*killing).leader}}

// rounds kills one after the other; each is back before the next is killed.
func (k *killing) rounds(ctx context.Context) error {
	for n := range k.kills {
		victim, region := victims[n%len(victims)], n/len(victims)%len(k.fleet.Regions)
		r := k.fleet.Regions[region]
		i, err := victim.find(k, ctx, region)
		if err != nil {
			return fmt.Errorf("the %s of %s: %w", victim.name, r.Name, err)
		}
		killed := time.Now()
		if err := r.Servers[i].Kill(); err != nil {
			return err
		}
		// Most are started again once the region writes without them, as a supervisor does: then the peers hear at once that
		// their connections are gone. The others stay dead until the peers found that out by themselves.
		dead := k.dead > 0 && n%k.dead == k.dead-1
		if err := k.authors[region].put(r.Name+"/after", fmt.Sprintf("after-%d", n), fmt.Sprint(n)); err != nil {
			return fmt.Errorf("a write after the %s of %s was killed: %w", victim.name, r.Name, err)
		}
		if !dead {
			err = r.Restart(i)
		}
		last := ""
		if err == nil {
			last, err = k.flow(ctx, region, n)
		}
		if err != nil {
			return fmt.Errorf("after the %s of %s was killed: %w", victim.name, r.Name, err)
		}
		took, how := time.Since(killed), "started again"
		if dead {
			how = "stayed dead"
			k.deadFlows = append(k.deadFlows, took)
			err = r.Restart(i)
		} else {
			k.flows = append(k.flows, took)
		}
		fmt.Printf("     kill %2d: %-8s of %s, %s, %s; records go both ways again after %v, the last %s\n",
			n+1, victim.name, r.Name, r.Nodes[i], how, took.Round(time.Millisecond), last)
		if err == nil {
			err = back(ctx, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exporter is the server of a region that the next region's leader is connected to.
func (k *killing) exporter(ctx context.Context, region int) (int, error) {
	from := k.fleet.Regions[(region+1)%len(k.fleet.Regions)]
	found := -1
	err := procs.WaitUntil(ctx, "a link", func(ctx context.Context) bool {
		for _, l := range links(ctx, from).GetLinks() {
			if l.GetRegion() == k.fleet.Regions[region].Name && l.GetState() == "up" {
				found = slices.Index(k.fleet.Regions[region].Nodes, l.GetServer())
			}
		}
		return found >= 0
	})
	return found, err
}

// importer is the server of a region that holds its links.
func (k *killing) importer(ctx context.Context, region int) (int, error) {
	found := -1
	err := procs.WaitUntil(ctx, "links", func(ctx context.Context) bool {
		found = slices.Index(k.fleet.Regions[region].Nodes, links(ctx, k.fleet.Regions[region]).GetNode())
		return found >= 0
	})
	return found, err
}

// links asks any node of a region for its links.
func links(ctx context.Context, r *fleet.Region) *pb.ListLinksResponse {
	for _, conn := range r.Conns {
		asking, cancel := context.WithTimeout(ctx, tryFor)
		answer, err := pb.NewFederationServiceClient(conn).ListLinks(asking, &pb.ListLinksRequest{})
		cancel()
		if err == nil {
			return answer
		}
	}
	return nil
}

func (k *killing) leader(ctx context.Context, region int) (int, error) {
	r, found := k.fleet.Regions[region], -1
	err := procs.WaitUntil(ctx, "a leader", func(ctx context.Context) bool {
		for _, status := range statuses(ctx, r) {
			if status != nil && status.GetNode() == status.GetLeader() {
				found = slices.Index(r.Nodes, status.GetNode())
			}
		}
		return found >= 0
	})
	return found, err
}

// statuses asks every node; nil for one that does not answer.
func statuses(ctx context.Context, r *fleet.Region) (all []*pb.GetStatusResponse) {
	for _, conn := range r.Conns {
		asking, cancel := context.WithTimeout(ctx, tryFor)
		status, err := pb.NewClusterServiceClient(conn).GetStatus(asking, &pb.GetStatusRequest{})
		cancel()
		if err != nil {
			status = nil
		}
		all = append(all, status)
	}
	return all
}

// back waits until every node of a region answers, follows one leader and has caught up.
func back(ctx context.Context, r *fleet.Region) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	target := uint64(0)
	return procs.WaitUntil(ctx, "all nodes of "+r.Name, func(ctx context.Context) bool {
		leaders, low, newest := map[string]bool{}, ^uint64(0), uint64(0)
		for _, status := range statuses(ctx, r) {
			if status == nil {
				return false
			}
			leaders[status.GetLeader()] = true
			low, newest = min(low, status.GetAppliedIndex()), max(newest, status.GetAppliedIndex())
		}
		sleep(ctx, askEvery)
		if target == 0 {
			target = newest
		}
		return len(leaders) == 1 && !leaders[""] && low >= target
	}, r.Servers...)
}

// flow waits until what is written in a region comes to every other one, and the other way round. It names what was waited
// for longest.
func (k *killing) flow(ctx context.Context, region, round int) (last string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var longest time.Duration
	for i, from := range k.fleet.Regions {
		name, value := from.Name+"/flow", fmt.Sprintf("%d-%d", round, i)
		if err := k.authors[i].put(name, fmt.Sprintf("flow-%s-%d", from.Name, round), value); err != nil {
			return "", fmt.Errorf("a write in %s: %w", from.Name, err)
		}
		for j, to := range k.fleet.Regions {
			if i == j || i != region && j != region {
				continue
			}
			began := time.Now()
			if err := shows(ctx, from, to, name, value); err != nil {
				return "", err
			}
			if took := time.Since(began); took > longest {
				longest, last = took, fmt.Sprintf("from %s to %s", from.Name, to.Name)
			}
		}
	}
	return last, nil
}

// shows waits until a region shows what was written in another one.
func shows(ctx context.Context, from, to *fleet.Region, name, value string) error {
	return procs.WaitUntil(ctx, "a record of "+from.Name+" in "+to.Name, func(ctx context.Context) bool {
		for _, conn := range to.Conns {
			asking, cancel := context.WithTimeout(ctx, tryFor)
			answer, err := pb.NewConfigServiceClient(conn).GetConfig(asking, &pb.GetConfigRequest{Name: name, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}})
			cancel()
			if err == nil && string(answer.GetConfig().GetValue()) == value {
				return true
			}
		}
		sleep(ctx, askEvery)
		return false
	})
}
