package procs

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "supercluster/api/gen/supercluster/v1"
)

// Region is one running region of ours: its processes and the gRPC address of the node that leads.
type Region struct {
	Servers []*Process
	Nodes   []string // node names
	GRPC    []string // gRPC addresses, in the order of Nodes
	Folders []string // data folders
	Configs []string // configuration files
	Leader  string   // gRPC address of the node that led at the start

	group *Group
	place Place
	args  [][]string // command lines for a restart
}

// Place is where a region runs, and what makes it a region among others. The zero Place is one region by itself, here.
type Place struct {
	Name     string // of the region; dc1 if empty
	Identity string // folder of its identity; none if empty
	// Data gives the data folder of node n; nil: one in the folder of the group.
	Data func(n int) string
	// Reach gives the address under which node from finds node to, which listens on address; nil: that address.
	Reach func(from, to int, address string) (string, error)
	// Federation gives where node n listens for other regions, and where they reach it; for a region with an identity.
	Federation func(n int) (listen, public string, err error)
	// Inside runs what starts processes and opens sockets, for example in a network namespace; nil: here.
	Inside func(fn func() error) error
	// Dial reaches the loopback of the place; nil: that of this process.
	Dial func(ctx context.Context, address string) (net.Conn, error)
}

func (p *Place) inside(fn func() error) error {
	if p.Inside == nil {
		return fn()
	}
	return p.Inside(fn)
}

// windowSize is that of the connections of a load, as large as the server's.
const windowSize = 1 << 20

// Connect opens n connections to an address at the place.
func (p *Place) Connect(address string, n int) ([]*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// Fixed windows: the estimator that they switch off sends a ping for each read, and a server answers it.
		grpc.WithInitialWindowSize(windowSize), grpc.WithInitialConnWindowSize(windowSize),
	}
	if p.Dial != nil {
		address = "passthrough:///" + address
		options = append(options, grpc.WithContextDialer(p.Dial))
	}
	var conns []*grpc.ClientConn
	for range n {
		conn, err := grpc.NewClient(address, options...)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// Dial opens n connections to an address.
func Dial(address string, n int) ([]*grpc.ClientConn, error) { return (&Place{}).Connect(address, n) }

// portsPerNode is how many TCP listeners a server has.
const portsPerNode = 6

// StartRegion starts n `supercluster server` processes and waits until one of them leads and all answer.
func (g *Group) StartRegion(ctx context.Context, binary string, n int) (*Region, error) {
	return g.StartRegionAt(ctx, binary, n, Place{})
}

// StartRegionAt is StartRegion at a place.
func (g *Group) StartRegionAt(ctx context.Context, binary string, n int, place Place) (*Region, error) {
	if place.Name == "" {
		place.Name = "dc1"
	}
	var ports []int
	err := place.inside(func() (err error) {
		ports, err = FreePorts(n * portsPerNode)
		return err
	})
	if err != nil {
		return nil, err
	}
	r := &Region{group: g, place: place, Servers: make([]*Process, n), Folders: make([]string, n), Configs: make([]string, n)}
	for i := range n {
		r.Nodes = append(r.Nodes, fmt.Sprintf("n%d", i+1))
		r.GRPC = append(r.GRPC, loopback(ports[i*portsPerNode+1]))
	}
	for i := range n {
		members, err := r.members(i, ports)
		if err != nil {
			return nil, err
		}
		if r.Configs[i], err = r.configure(i, ports[i*portsPerNode:], members); err != nil {
			return nil, err
		}
		r.args = append(r.args, []string{binary, "server", "--config", r.Configs[i]})
		if err := r.start(i, "--bootstrap"); err != nil {
			return nil, err
		}
	}
	return r, WaitUntil(ctx, "our region "+place.Name, r.findLeader, r.Servers...)
}

// Twin starts a region of one node once more, with its configuration and a data folder of its own, at a place where its
// addresses are free. It ends with the group.
func (r *Region) Twin(ctx context.Context, place Place, folder string) (*Region, error) {
	text, err := os.ReadFile(r.Configs[0])
	if err != nil {
		return nil, err
	}
	config := map[string]any{}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	config["data-dir"] = folder
	if text, err = json.MarshalIndent(config, "", " "); err != nil {
		return nil, err
	}
	path := folder + ".json"
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	twin := &Region{
		group: r.group, place: place, Servers: make([]*Process, 1), Nodes: r.Nodes[:1], GRPC: r.GRPC[:1], Folders: []string{folder},
		Configs: []string{path}, args: [][]string{{r.args[0][0], "server", "--config", path}},
	}
	if err := twin.start(0); err != nil {
		return nil, err
	}
	return twin, WaitUntil(ctx, "a second copy of region "+place.Name, twin.findLeader, twin.Servers...)
}

// members are the addresses of all nodes as one of them finds them.
func (r *Region) members(from int, ports []int) (map[string]string, error) {
	all := map[string]string{}
	for to, name := range r.Nodes {
		all[name] = loopback(ports[to*portsPerNode])
		if from == to || r.place.Reach == nil {
			continue
		}
		var err error
		if all[name], err = r.place.Reach(from, to, all[name]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// configure writes the configuration file of a node and gives its path.
func (r *Region) configure(i int, ports []int, members map[string]string) (path string, err error) {
	base := filepath.Join(r.group.Dir, fmt.Sprintf("%s-%d-%s", r.place.Name, ports[0], r.Nodes[i]))
	r.Folders[i] = base
	if r.place.Data != nil {
		r.Folders[i] = r.place.Data(i)
	}
	listen := map[string]string{}
	for n, key := range []string{"raft", "grpc", "http", "dns", "probe", "admin"} {
		listen[key] = loopback(ports[n])
	}
	config := map[string]any{
		"region": r.place.Name, "node": r.Nodes[i], "data-dir": r.Folders[i], "members": members, "listen": listen,
		"log": map[string]string{"level": "warn"},
	}
	if r.place.Identity != "" {
		var public string
		if listen["federation"], public, err = r.place.Federation(i); err != nil {
			return "", err
		}
		if host, _, err := net.SplitHostPort(listen["federation"]); err == nil {
			listen["probe"] = net.JoinHostPort(host, fmt.Sprint(ports[4])) // other regions probe it
		}
		config["identity"] = map[string]string{"dir": r.place.Identity}
		config["advertise"] = map[string]string{"federation": public}
	}
	text, err := json.MarshalIndent(config, "", " ")
	if err != nil {
		return "", err
	}
	return base + ".json", os.WriteFile(base+".json", text, 0o600)
}

func (r *Region) start(i int, flags ...string) error {
	return r.place.inside(func() error {
		p, err := r.group.Start(r.place.Name+"-"+r.Nodes[i], append(append([]string(nil), r.args[i]...), flags...)...)
		if err == nil {
			r.Servers[i] = p
		}
		return err
	})
}

// Restart starts a node again on the folder it had.
func (r *Region) Restart(i int) error { return r.start(i) }

// RestartAs is Restart with another program and more in its environment.
func (r *Region) RestartAs(i int, binary string, environment ...string) error {
	own := r.args[i]
	defer func() { r.args[i] = own }()
	r.args[i] = append(append([]string{"env"}, environment...), append([]string{binary}, own[1:]...)...)
	return r.start(i)
}

// Connect opens n connections to a node.
func (r *Region) Connect(node, n int) ([]*grpc.ClientConn, error) {
	return r.place.Connect(r.GRPC[node], n)
}

// ConnectEach opens a connection to each node, in their order.
func (r *Region) ConnectEach() (all []*grpc.ClientConn, err error) {
	for i := range r.GRPC {
		conns, err := r.Connect(i, 1)
		if err != nil {
			return nil, err
		}
		all = append(all, conns...)
	}
	return all, nil
}

// findLeader asks every node; all must agree on one leader.
func (r *Region) findLeader(ctx context.Context) bool {
	leader := ""
	for i := range r.GRPC {
		conns, err := r.Connect(i, 1)
		if err != nil {
			return false
		}
		status, err := pb.NewClusterServiceClient(conns[0]).GetStatus(ctx, &pb.GetStatusRequest{})
		conns[0].Close()
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
