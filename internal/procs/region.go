package procs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "supercluster/api/gen/supercluster/v1"
)

// Region is one running region of ours: its processes and the gRPC address of the node that leads.
type Region struct {
	Servers []*Process
	Leader  string // gRPC address
	GRPC    []string
}

// StartRegion starts n `supercluster server` processes and waits until one of them leads and all answer.
func (g *Group) StartRegion(ctx context.Context, binary string, n int) (*Region, error) {
	const perNode = 6
	ports, err := FreePorts(n * perNode)
	if err != nil {
		return nil, err
	}
	members := make([]string, n)
	for i := range n {
		members[i] = fmt.Sprintf("n%d: \"127.0.0.1:%d\"", i+1, ports[i*perNode])
	}
	r := &Region{}
	for i := range n {
		p := ports[i*perNode:]
		config := fmt.Sprintf("region: dc1\nnode: n%d\ndata-dir: %q\nmembers: {%s}\nlisten: {raft: \"127.0.0.1:%d\", grpc: \"127.0.0.1:%d\", http: \"127.0.0.1:%d\", dns: \"127.0.0.1:%d\", probe: \"127.0.0.1:%d\", admin: \"127.0.0.1:%d\"}\nlog: {level: error}\n",
			i+1, filepath.Join(g.Dir, fmt.Sprintf("ours-%d-n%d", len(g.procs), i+1)), strings.Join(members, ", "), p[0], p[1], p[2], p[3], p[4], p[5])
		path := filepath.Join(g.Dir, fmt.Sprintf("ours-%d.yaml", len(g.procs)))
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		proc, err := g.Start("supercluster", binary, "server", "--config", path, "--bootstrap")
		if err != nil {
			return nil, err
		}
		r.Servers = append(r.Servers, proc)
		r.GRPC = append(r.GRPC, fmt.Sprintf("127.0.0.1:%d", p[1]))
	}
	return r, WaitUntil(ctx, "our region", r.findLeader, r.Servers...)
}

// findLeader asks every node; all must agree on one leader.
func (r *Region) findLeader(ctx context.Context) bool {
	leader := ""
	for i, address := range r.GRPC {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return false
		}
		status, err := pb.NewClusterServiceClient(conn).GetStatus(ctx, &pb.GetStatusRequest{})
		conn.Close()
		if err != nil || status.Leader == "" || (leader != "" && leader != status.Leader) {
			return false
		}
		leader = status.Leader
		if status.Node == leader {
			r.Leader = r.GRPC[i]
		}
	}
	return r.Leader != ""
}

// Dial opens n connections to an address.
func Dial(address string, n int) ([]*grpc.ClientConn, error) {
	var conns []*grpc.ClientConn
	for range n {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}
