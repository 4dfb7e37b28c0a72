package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/procs"
)

const (
	startFor = 30 * time.Second
	askEvery = 10 * time.Millisecond
)

// region is the servers of a part of the run and what was written to them.
type region struct {
	*procs.Region
	group  *procs.Group
	conns  []*grpc.ClientConn
	ledger *ledger
}

// start starts n servers, on data folders of the caller's choice if data is given.
func (r *runner) start(ctx context.Context, n int, data func(int) string) (*region, error) {
	group, err := procs.NewGroup()
	if err != nil {
		return nil, err
	}
	g := &region{group: group, ledger: newLedger()}
	err = within(ctx, startFor, func(ctx context.Context) error {
		g.Region, err = group.StartRegionAt(ctx, r.binary, n, procs.Place{Data: data})
		return err
	})
	if err == nil {
		g.conns, err = g.ConnectEach()
	}
	if err != nil {
		group.Close()
		return nil, err
	}
	return g, nil
}

// close ends the servers; what they left is kept when something failed.
func (g *region) close(r *runner, failedBefore int) {
	for _, c := range g.conns {
		c.Close()
	}
	if r.Failed() > failedBefore {
		to := r.keep
		if to == "" {
			to, _ = os.MkdirTemp("", "supercluster-chaos-")
		}
		for i, folder := range g.Folders {
			_ = os.CopyFS(filepath.Join(to, g.Nodes[i]), os.DirFS(folder))
		}
		for _, p := range g.Servers {
			_ = os.WriteFile(filepath.Join(to, p.Name+".log"), []byte(p.Tail()), 0o600)
		}
		fmt.Println("     data and logs are in", to)
	}
	g.group.Close()
}

// applied asks a node how far it is; false while it does not answer.
func (g *region) applied(ctx context.Context, i int) (uint64, bool) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	status, err := pb.NewClusterServiceClient(g.conns[i]).GetStatus(ctx, &pb.GetStatusRequest{})
	return status.GetAppliedIndex(), err == nil && status.GetLeader() != ""
}

// back waits until nodes have all that any node has now.
func (g *region) back(ctx context.Context, nodes ...int) error {
	var waited []*procs.Process
	for _, i := range nodes {
		waited = append(waited, g.Servers[i])
	}
	return within(ctx, startFor, func(ctx context.Context) error {
		target := uint64(0)
		return procs.WaitUntil(ctx, "the nodes", func(ctx context.Context) bool {
			newest, low := uint64(0), ^uint64(0)
			for _, i := range nodes {
				applied, ok := g.applied(ctx, i)
				if !ok {
					time.Sleep(askEvery)
					return false
				}
				newest, low = max(newest, applied), min(low, applied)
			}
			if target == 0 {
				target = newest
			}
			return low >= target && g.linearizable(ctx, nodes[0])
		}, waited...)
	})
}

// linearizable reports whether a node answers a read that needs the leader.
func (g *region) linearizable(ctx context.Context, i int) bool {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	_, err := pb.NewConfigServiceClient(g.conns[i]).ListConfigs(ctx, &pb.ListConfigsRequest{
		CountOnly: true, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE},
	})
	return err == nil
}
