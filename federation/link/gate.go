package link

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// gate decides whose connection attempts get a handshake, which is the most expensive thing that a stranger can ask
// for. An address is not proven at first, so a flood under a forged address must cost its owner nothing: an unproven
// address over its rate, and every one under load, must prove itself (QUIC's Retry); a proven one over its rate is
// refused.
type gate struct {
	limit    int
	open     atomic.Int64 // connections accepted and not ended
	unproven *sources
	proven   *sources
	all      *sources // one slot: everybody together
}

// busyRate is how many handshakes a second, of all sources together, count as load.
const busyRate = 32

func newGate(l Limits) *gate {
	return &gate{
		limit: l.MaxConnections, unproven: newSources(1024, l.Handshakes),
		proven: newSources(1024, l.Handshakes), all: newSources(1, busyRate),
	}
}

// suspect reports whether an address must prove itself first.
func (g *gate) suspect(from net.Addr) bool {
	now := time.Now()
	quiet := g.unproven.allow(source(from), now)
	idle := g.all.allow(netip.Addr{}, now)
	return !quiet || !idle || g.open.Load() >= int64(g.limit)/2
}

// admit says whether a handshake begins.
func (g *gate) admit(info *quic.ClientInfo) error {
	if g.open.Load() >= int64(g.limit) {
		return fault.New(fault.Busy, "%d connections are open already", g.limit)
	}
	if info.AddrVerified && !g.proven.allow(source(info.RemoteAddr), time.Now()) {
		return fault.New(fault.Busy, "too many connection attempts of %s", info.RemoteAddr)
	}
	return nil
}

// enter counts an accepted connection until the answer is called.
func (g *gate) enter() (leave func()) {
	g.open.Add(1)
	return func() { g.open.Add(-1) }
}

// full reports whether more connections than allowed were accepted.
func (g *gate) full() bool { return g.open.Load() > int64(g.limit) }

// source is what counts as one: an IPv4 address, or an IPv6 network of 64 bits, of which anybody has plenty of
// addresses.
func source(from net.Addr) netip.Addr {
	ap, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return netip.Addr{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// sources bounds a rate by source: for each slot it keeps when the next attempt would be on time at the allowed rate
// (the generic cell rate algorithm). Sources share slots by a random hash; two busy ones that do share one limit.
type sources struct {
	every, burst int64
	seed         maphash.Seed
	slots        []atomic.Int64
}

// burstOf is how many seconds of attempts may come at once.
const burstOf = 4

func newSources(slots, perSecond int) *sources {
	return &sources{
		every: int64(time.Second) / int64(max(perSecond, 1)), burst: burstOf * int64(time.Second),
		seed: maphash.MakeSeed(), slots: make([]atomic.Int64, slots),
	}
}

func (s *sources) allow(from netip.Addr, at time.Time) bool {
	slot := &s.slots[maphash.Comparable(s.seed, from)%uint64(len(s.slots))]
	now := at.UnixNano()
	for {
		due := slot.Load()
		next := max(due, now)
		if next-now >= s.burst {
			return false
		}
		if slot.CompareAndSwap(due, next+s.every) {
			return true
		}
	}
}
