package main

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/federation/link"
	"supercluster/region"
	"supercluster/region/wire"
)

// rule is one fault on the way between two ends.
type rule struct {
	asked   atomic.Int64 // frames or datagrams that matched
	hits    atomic.Int64 // those of them that something happened to
	refused atomic.Int64 // connections that were refused: nothing is sent then
	match   func(from, to string) bool
	fault   func(n int64) wire.Fault // of the n-th frame or datagram that matches
}

// network decides what is lost, late or twice: between the nodes of a region, where ends are nodes, and between regions,
// where ends are regions.
type network struct {
	mu    sync.Mutex
	rules map[*rule]bool
}

func newNetwork() *network { return &network{rules: map[*rule]bool{}} }

func (n *network) add(r *rule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules[r] = true
}

func (n *network) remove(r *rule) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.rules, r)
}

// judge joins the rules that match.
func (n *network) judge(from, to string) (f wire.Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for r := range n.rules {
		if !r.match(from, to) {
			continue
		}
		one := r.fault(r.asked.Add(1))
		if one != (wire.Fault{}) {
			r.hits.Add(1)
		}
		f.Drop = f.Drop || one.Drop
		f.Duplicate = f.Duplicate || one.Duplicate
		f.Delay = max(f.Delay, one.Delay)
	}
	return f
}

// seen says whether anything happened by the rule.
func (r *rule) seen() bool { return r.hits.Load()+r.refused.Load() > 0 }

// drops says whether a connection is refused.
func (n *network) drops(from, to string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for r := range n.rules {
		if r.match(from, to) && r.fault(0).Drop {
			r.refused.Add(1)
			return true
		}
	}
	return false
}

// faults are those inside one region.
type faults struct {
	*network
	region string
}

var _ region.Faults = faults{}

// Frame decides the fate of a frame.
func (f faults) Frame(from, to string, _ wire.Kind) wire.Fault {
	return f.judge(f.region+"/"+from, f.region+"/"+to)
}

// Dial refuses what is cut off.
func (f faults) Dial(from, to string, _ wire.Kind) error {
	a, b := f.region+"/"+from, f.region+"/"+to
	if f.drops(a, b) || f.drops(b, a) {
		return fmt.Errorf("%s and %s are cut off from each other", a, b)
	}
	return nil
}

// late says how long what goes from one end to another waits. It counts nothing.
func (n *network) late(from, to string) (d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for r := range n.rules {
		if r.match(from, to) {
			d = max(d, r.fault(0).Delay)
		}
	}
	return d
}

// line is the federation socket of a region: it loses what it sends, by the network's rules, and its shaper delays it.
type line struct {
	*link.Shaper
	world *world
	own   string
	dark  *atomic.Bool // the power of its node was cut
}

func (w *world) newLine(socket net.PacketConn, own string, dark *atomic.Bool) line {
	return line{world: w, own: own, dark: dark, Shaper: link.NewShaper(socket, func(peer net.Addr) (bool, time.Duration) {
		return false, w.network.late(own, w.regionAt(peer))
	})}
}

// WriteTo sends a datagram, or loses it.
func (l line) WriteTo(b []byte, to net.Addr) (int, error) {
	if l.dark.Load() || l.world.network.judge(l.own, l.world.regionAt(to)).Drop {
		return len(b), nil
	}
	return l.Shaper.WriteTo(b, to)
}

// between matches what goes from one end to another, or both ways.
func between(a, b string, both bool) func(from, to string) bool {
	return func(from, to string) bool { return from == a && to == b || both && from == b && to == a }
}

func drop(int64) wire.Fault { return wire.Fault{Drop: true} }
