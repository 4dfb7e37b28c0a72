package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"supercluster/internal/procs"
)

// startEtcd starts n etcd members and gives their client addresses.
func startEtcd(g *procs.Group, binary string, n int) ([]*procs.Process, []string, error) {
	ports, err := procs.FreePorts(2 * n)
	if err != nil {
		return nil, nil, err
	}
	var cluster []string
	for i := range n {
		cluster = append(cluster, fmt.Sprintf("n%d=http://127.0.0.1:%d", i+1, ports[2*i+1]))
	}
	var members []*procs.Process
	var clients []string
	for i := range n {
		client := fmt.Sprintf("127.0.0.1:%d", ports[2*i])
		p, err := g.Start("etcd", binary, "-name", fmt.Sprintf("n%d", i+1), "-data-dir", filepath.Join(g.Dir, fmt.Sprintf("etcd-%d", i)),
			"-client", "http://"+client, "-peer", fmt.Sprintf("http://127.0.0.1:%d", ports[2*i+1]), "-cluster", strings.Join(cluster, ","))
		if err != nil {
			return nil, nil, err
		}
		members, clients = append(members, p), append(clients, client)
	}
	return members, clients, nil
}
