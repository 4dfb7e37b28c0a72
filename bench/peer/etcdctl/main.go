// Command etcdctl is etcd's own client, built from its Go module, for `make-mirror` as the peer of the federation
// benchmark.
package main

import "go.etcd.io/etcd/etcdctl/v3/ctlv3"

func main() { ctlv3.MustStart() }
