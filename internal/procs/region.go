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
	Nodes   []string // node names
	GRPC    []string // gRPC addresses, in the order of Nodes
	Leader  string   // gRPC address of the node that led at the start

	group *Group
	args  [][]string // command lines for a restart
}

// portsPerNode is how many listeners a server has.
const portsPerNode = 6

// StartRegion starts n `supercluster server` processes and waits until one of them leads and all answer.
func (g *Group) StartRegion(ctx context.Context, binary string, n int) (*Region, error) {
	ports, err := FreePorts(n * portsPerNode)
	if err != nil {
		return nil, err
	}
	members := make([]string, n)
	for i := range n {
		members[i] = fmt.Sprintf("n%d: \"127.0.0.1:%d\"", i+1, ports[i*portsPerNode])
	}
	r := &Region{group: g}
	for i := range n {
		p := ports[i*portsPerNode:]
		node := fmt.Sprintf("n%d", i+1)
		config := fmt.Sprintf(serverConfig, node, filepath.Join(g.Dir, fmt.Sprintf("region-%d-%s", p[0], node)), strings.Join(members, ", "), p[0], p[1], p[2], p[3], p[4], p[5])
		path := filepath.Join(g.Dir, fmt.Sprintf("region-%d-%s.yaml", p[0], node))
		if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
			return nil, err
		}
		args := []string{binary, "server", "--config", path}
		proc, err := g.Start(node, append(args, "--bootstrap")...)
		if err != nil {
			return nil, err
		}
		r.Servers, r.Nodes, r.args = append(r.Servers, proc), append(r.Nodes, node), append(r.args, args)
		r.GRPC = append(r.GRPC, fmt.Sprintf("127.0.0.1:%d", p[1]))
	}
	return r, WaitUntil(ctx, "our region", r.findLeader, r.Servers...)
}

// serverConfig is the configuration file of one node.
const serverConfig = `region: dc1
node: %s
data-dir: %q
members: {%s}
listen: {raft: "127.0.0.1:%d", grpc: "127.0.0.1:%d", http: "127.0.0.1:%d", dns: "127.0.0.1:%d", probe: "127.0.0.1:%d", admin: "127.0.0.1:%d"}
log: {level: warn}
`

// Restart starts a node again on the folder it had.
func (r *Region) Restart(i int) error {
	proc, err := r.group.Start(r.Nodes[i], r.args[i]...)
	if err == nil {
		r.Servers[i] = proc
	}
	return err
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
