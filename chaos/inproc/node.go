package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/chaos/crashfs"
	"supercluster/federation"
	"supercluster/region"
)

// node is one node of a region, running or not.
type node struct {
	site *site
	name string
	base string // its folders are below
	port int    // of its federation socket

	mu   sync.Mutex
	turn int   // how often its power was lost: each time what is left is in a new folder
	on   *life // nil while it does not run
}

// dir is the folder that it starts from.
func (n *node) dir() string { return filepath.Join(n.base, fmt.Sprint(n.turn)) }

// life is a node from its start to its end.
type life struct {
	region     *region.Region
	federation *federation.Federation
	cancel     context.CancelFunc
	ended      chan struct{}
	failed     error // once ended
	disk       *crashfs.Disk
	dark       atomic.Bool // its power was cut: whatever it says from then on, nobody hears

	stopExchange context.CancelFunc
	exchanged    chan struct{}
}

func (n *node) live() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.on
}

// start starts the node; its folder and ports are as before.
func (n *node) start(first bool) error {
	s := n.site
	disk := crashfs.New(n.dir(), "raft", "state")
	r, err := region.New(region.Config{
		Region: s.name, Node: n.name, Members: s.members, ID: s.identity.RegionID, DataDir: n.dir(), Bootstrap: first,
		Dev: len(s.members) == 1, Faults: faults{s.network, s.name}, GRPC: n.name + ":8502", HTTP: n.name + ":8500",
		Federation: fmt.Sprintf("127.0.0.1:%d", n.port), Log: slog.New(slog.DiscardHandler),
		Tuning: region.Tuning{FS: disk.Log()}, State: region.StateTuning{FS: disk.State(), RingEvents: s.world.ring(), DiskEvery: lookEvery},
	})
	if err != nil {
		return err
	}
	l := &life{region: r, ended: make(chan struct{}), disk: disk}
	if err := n.exchange(l); err != nil {
		return err
	}
	r.Handle(federation.MethodAges, func(ctx context.Context, from string, b []byte) ([]byte, error) {
		return l.federation.HandleAges(ctx, from, b)
	})
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	go func() {
		l.failed = r.Run(ctx)
		close(l.ended)
	}()
	n.mu.Lock()
	n.on = l
	n.mu.Unlock()
	return nil
}

// exchange starts the exchange with other regions.
func (n *node) exchange(l *life) error {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n.port})
	if err != nil {
		return fmt.Errorf("open the federation socket: %w", err)
	}
	p, err := newPassport(n.site.identity, n.name)
	if err != nil {
		_ = socket.Close()
		return err
	}
	f, err := federation.New(federation.Config{
		Store: &storeHook{l.region, n.site.hooks}, Identity: p.identity(), Node: n.name, Addresses: n.site.addresses, Link: p.link(),
		Socket: n.site.world.newLine(socket, n.site.name, &l.dark),
		Tuning: federation.Tuning{ProbeEvery: 200 * time.Millisecond, OfferEvery: 300 * time.Millisecond, DutyEvery: 50 * time.Millisecond, RelayAfter: 500 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	l.federation, l.stopExchange, l.exchanged = f, cancel, done
	go func() {
		defer close(done)
		_ = f.Run(ctx)
	}()
	return nil
}

func (n *node) waitReady(ctx context.Context) error {
	l := n.live()
	if l == nil {
		return errors.New("the node does not run")
	}
	select {
	case <-l.region.Ready():
		return nil
	case <-l.ended:
		return fmt.Errorf("%s/%s ended: %w", n.site.name, n.name, l.failed)
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return fmt.Errorf("%s/%s was not ready within 30 s", n.site.name, n.name)
	}
}

// stop ends the node.
func (n *node) stop() {
	if l := n.take(); l != nil {
		l.stop()
	}
}

// take gives the life of the node, which has none then.
func (n *node) take() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.on
	n.on = nil
	return l
}

func (l *life) stop() {
	l.stopExchange()
	<-l.exchanged
	l.cancel()
	<-l.ended
}

// errDark is the answer of a node whose power was cut: nobody knows what became of the call.
var errDark = errors.New("the power of the node was cut")

// heard is the error of a call, once it is known that the node had power when it answered.
func (l *life) heard(err error) error {
	if l.dark.Load() {
		return errDark
	}
	return err
}

// wake makes the folder that is left after the power of a life of the node was cut, the one that it starts from next.
func (n *node) wake(l *life, keep crashfs.Keep, random *rand.Rand) (crashfs.Losses, error) {
	before := n.dir()
	n.turn++
	losses, err := l.disk.Left(n.dir(), keep, random)
	return losses, errors.Join(err, os.RemoveAll(before))
}
