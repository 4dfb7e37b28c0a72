package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
	"supercluster/chaos/tally"
	"supercluster/internal/procs"
)

// runner is one run: what it started and what it found.
type runner struct {
	options
	tally.Tally

	group   *procs.Group
	region  *procs.Region
	writers *writers
	proxy   *proxy
	gaps    []time.Duration // from each kill to the first write that was sent after it and acknowledged
}

func (r *runner) run(ctx context.Context) error {
	binary, err := filepath.Abs(r.binary)
	if err != nil {
		return err
	}
	if r.group, err = procs.NewGroup(); err != nil {
		return err
	}
	defer r.group.Close()
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if r.region, err = r.group.StartRegion(starting, binary, 3); err != nil {
		return err
	}
	if r.writers, err = newWriters(r.region); err != nil {
		return err
	}
	defer r.writers.close()
	if r.proxy, err = startProxy(starting, r.group, r.region, binary, procs.FindEnvoy(r.envoy, ".")); err != nil {
		return err
	}
	if r.proxy == nil && os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") != "" {
		r.Check(false, "there is no Envoy: run `make tools`, or set ENVOY_BIN")
	}

	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{}, 2)
	go func() { r.writers.run(loading, r.options.writers); done <- struct{}{} }()
	go func() { r.proxy.run(loading); done <- struct{}{} }()
	if err = r.killLeaders(ctx); err == nil {
		err = r.moveEnvoy(ctx)
	}
	stop()
	<-done
	<-done
	if err != nil {
		return err
	}
	r.judgeGaps()
	r.judgeHistory()
	r.proxy.judge(r)
	return r.judgeAcknowledged(ctx)
}

// killLeaders kills the leader, waits until writes go on, starts it again and waits until it is back.
func (r *runner) killLeaders(ctx context.Context) error {
	for n := range r.kills {
		i, err := r.leader(ctx)
		if err != nil {
			return err
		}
		killed := r.writers.history.Now()
		if err := r.region.Servers[i].Kill(); err != nil {
			return err
		}
		gone := func(context.Context) bool { return r.writers.lastAcked.Load() > killed }
		waiting, cancel := context.WithTimeout(ctx, 30*time.Second)
		err = procs.WaitUntil(waiting, "a write after the leader was killed", gone)
		cancel()
		if err != nil {
			return err
		}
		gap := time.Duration(r.writers.history.Now() - killed)
		r.gaps = append(r.gaps, gap)
		fmt.Printf("     kill %2d: %s, writes go on after %v, %d operations so far\n", n+1, r.region.Nodes[i], gap.Round(time.Millisecond), r.writers.history.Len())
		if err := r.region.Restart(i); err != nil {
			return err
		}
		if err := r.waitAll(ctx); err != nil {
			return err
		}
	}
	return nil
}

// leader finds the index of the node that the others call leader.
func (r *runner) leader(ctx context.Context) (int, error) {
	found := -1
	err := procs.WaitUntil(ctx, "a leader", func(ctx context.Context) bool {
		for _, conn := range r.writers.servers.Conns {
			asking, cancel := context.WithTimeout(ctx, tryFor)
			status, err := pb.NewClusterServiceClient(conn).GetStatus(asking, &pb.GetStatusRequest{})
			cancel()
			if err != nil {
				return false
			}
			for i, node := range r.region.Nodes {
				if node == status.Leader && node == status.Node {
					found = i
				}
			}
		}
		return found >= 0
	})
	return found, err
}

// waitAll waits until every node answers, follows one leader and has caught up.
func (r *runner) waitAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var newest uint64
	return procs.WaitUntil(ctx, "all three nodes", func(ctx context.Context) bool {
		leaders := map[string]bool{}
		low := uint64(1<<63 - 1)
		target := newest
		for _, conn := range r.writers.servers.Conns {
			asking, stop := context.WithTimeout(ctx, tryFor)
			status, err := pb.NewClusterServiceClient(conn).GetStatus(asking, &pb.GetStatusRequest{})
			stop()
			if err != nil {
				return false
			}
			leaders[status.Leader] = true
			low, newest = min(low, status.AppliedIndex), max(newest, status.AppliedIndex)
		}
		return len(leaders) == 1 && !leaders[""] && target > 0 && low >= target
	}, r.region.Servers...)
}

func (r *runner) judgeGaps() {
	sorted := append([]time.Duration(nil), r.gaps...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	within := sort.Search(len(sorted), func(i int) bool { return sorted[i] > time.Second })
	allowed := len(sorted) / 20
	r.Check(len(sorted)-within <= allowed, "writes go on within 1 s after %d of %d kills (p50 %v)", within, len(sorted), sorted[len(sorted)/2].Round(time.Millisecond))
	r.Check(sorted[len(sorted)-1] <= 2*time.Second, "and never later than 2 s (max %v)", sorted[len(sorted)-1].Round(time.Millisecond))
}

func (r *runner) judgeHistory() {
	result, info := r.writers.history.Check(2 * time.Minute)
	ok := result == porcupine.Ok
	r.Check(ok, "the history of %d operations is linearizable (%v); %d writes of unknown outcome, %d retries", r.writers.history.Len(), result, r.writers.unknown.Load(), r.writers.servers.Retried())
	if ok {
		return
	}
	path := r.report
	if path == "" {
		path = filepath.Join(os.TempDir(), "supercluster-history.html")
	}
	if err := porcupine.VisualizePath(history.Model(), info, path); err == nil {
		fmt.Println("     see", path)
	}
}

// judgeAcknowledged reads every unique entry whose write was acknowledged.
func (r *runner) judgeAcknowledged(ctx context.Context) error {
	present := map[string]bool{}
	token := ""
	for {
		answer, err := pb.NewConfigServiceClient(r.writers.servers.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: "acked/", KeysOnly: true, PageSize: 5000, PageToken: token})
		if err != nil {
			return fmt.Errorf("list what was acknowledged: %w", err)
		}
		for _, c := range answer.Configs {
			present[c.Name] = true
		}
		if token = answer.NextPageToken; token == "" {
			break
		}
	}
	var lost []string
	for _, name := range r.writers.acked {
		if !present[name] {
			lost = append(lost, name)
		}
	}
	r.Check(len(lost) == 0, "every one of %d acknowledged unique writes is there %s", len(r.writers.acked), strings.Join(lost, " "))
	return nil
}
