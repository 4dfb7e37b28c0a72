// Command etcd is one member of etcd, built from its Go module, as the peer of the write and read benchmarks.
// It runs as a process of its own and takes etcd's own defaults for everything that it is not told.
package main

import (
	"flag"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	name := flag.String("name", "n1", "member name")
	dir := flag.String("data-dir", "", "data directory")
	client := flag.String("client", "http://127.0.0.1:23791", "client URL")
	peer := flag.String("peer", "http://127.0.0.1:23801", "peer URL")
	cluster := flag.String("cluster", "", "initial cluster: name=url,...")
	flag.Parse()

	cfg := embed.NewConfig()
	cfg.Name = *name
	cfg.Dir = *dir
	cfg.LogLevel = "error"
	cfg.ListenClientUrls = urls(*client)
	cfg.AdvertiseClientUrls = urls(*client)
	cfg.ListenPeerUrls = urls(*peer)
	cfg.AdvertisePeerUrls = urls(*peer)
	cfg.InitialCluster = *cluster
	if *cluster == "" {
		cfg.InitialCluster = *name + "=" + *peer
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Fatalf("start etcd: %v", err)
	}
	select {
	case <-e.Server.ReadyNotify():
	case <-time.After(30 * time.Second):
		log.Fatal("etcd did not become ready within 30 s")
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	select {
	case <-stop:
	case err := <-e.Err():
		log.Fatalf("etcd stopped: %v", err)
	}
	e.Close()
}

func urls(text string) []url.URL {
	u, err := url.Parse(text)
	if err != nil {
		log.Fatalf("cannot read the URL %q: %v", text, err)
	}
	return []url.URL{*u}
}
