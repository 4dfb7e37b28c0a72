package federation

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// TestManyRegions: all converge after changes everywhere. 10 regions, or 60 with SUPERCLUSTER_FEDERATION_FULL=1. A tenth of
// them are hubs that are linked with each other; each other region is linked with two hubs, and gets the channels of all
// others through relays. A full mesh of 60 is 3,540 connections, too many for one process; every region still knows, and
// dials, all others: the network says at once that it has no way there.
func TestManyRegions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { manyRegions(t, sized(10, 60)) })
}

// islands is a socket on a network with a way to some only.
type islands struct {
	net.PacketConn
	way func(to string) bool
}

func (i islands) WriteTo(b []byte, to net.Addr) (int, error) {
	if !i.way(to.String()) {
		return 0, errors.New("no route to host")
	}
	return i.PacketConn.WriteTo(b, to)
}

func manyRegions(t *testing.T, n int) {
	w := newWorld(t, 20*time.Millisecond)
	w.tuning = Tuning{OfferEvery: time.Second, RelayAfter: 2 * time.Second, ProbeEvery: 5 * time.Second, DutyEvery: time.Second}
	w.limits.Handshakes = 10_000
	defer w.close()
	began := time.Now()
	hubs := max(n/10, 3)
	number := map[string]int{}
	w.wrap = func(own string, c net.PacketConn) net.PacketConn {
		return islands{c, func(to string) bool {
			x, y := min(number[own], number[to]), max(number[own], number[to])
			return y < hubs || x == y%hubs || x == (y+1)%hubs
		}}
	}
	var all []*site
	for i := range n {
		s := w.plan(fmt.Sprintf("region-%02d", i))
		number[(&net.UDPAddr{IP: net.IPv4(10, 0, byte(s.n>>8), byte(s.n)), Port: 8302}).String()] = i
		s.servers = []*server{{site: s, node: "n1"}}
		s.servers[0].address = fmt.Sprintf("10.0.%d.%d:8302", s.n>>8, s.n&0xff)
		all = append(all, s)
	}
	w.mesh(all...)
	for _, s := range all {
		s.federate(all[0])
		s.put(instance("web/0"), s.name)
	}
	for _, s := range all {
		s.start("n1")
		s.store.lead("n1")
	}
	everywhere := func(within time.Duration) time.Duration {
		return w.until(within, "all regions have what all others have", func() bool {
			time.Sleep(200 * time.Millisecond)
			for _, s := range all {
				for _, o := range all {
					if s != o && s.cheaply(o) != "" {
						if os.Getenv("FEDERATION_TEST_LOG") != "" {
							t.Log(s.cheaply(o))
						}
						return false
					}
				}
			}
			return true
		})
	}
	first := everywhere(2 * time.Minute)
	rows := func(s *site) uint64 {
		st, _, err := state.FeedStateOf(s.store.pin(), state.AliasSelf, uint32(record.ClassEndpoints))
		if err != nil {
			t.Fatal(err)
		}
		return st.Position.Sequence
	}
	before := rows(all[n-1])
	const changes = 10
	for i := range changes {
		for _, s := range all {
			s.put(instance(fmt.Sprint("web/", i)), "changed")
		}
	}
	all[0].put(config("app"), "for all")
	second := everywhere(time.Minute)
	if got := rows(all[n-1]) - before; got != changes {
		t.Errorf("%d records in the log for %d changes", got, changes)
	}
	if !all[n-1].has(all[0], config("app"), "for all") || !all[1].has(all[n-1], instance("web/9"), "changed") {
		t.Error("something is not shown")
	}
	conns := 0
	for _, s := range all {
		conns += len(s.fed().endpoint.Conns())
		if s.store.counted(record.OpFence) > 0 {
			t.Errorf("%s fenced itself", s.name)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d regions, %d hubs, %d connections: equal after %v, and %v after %d changes in each (%v of virtual time in all); %d goroutines, heap %d MiB",
		n, hubs, conns/2, first, second, changes, time.Since(began), runtime.NumGoroutine(), m.HeapAlloc>>20)
}

// cheaply is behind without reading all records.
func (s *site) cheaply(o *site) string {
	theirs, mine := o.store.pin(), s.store.pin()
	for id := uint32(1); id <= uint32(firstChannels); id++ {
		want, ok, _ := state.FeedStateOf(theirs, state.AliasSelf, id)
		got, _, _ := state.FeedStateOf(mine, s.alias(o), id)
		if !ok || want.Position != got.Position || want.Digest != got.Digest {
			return fmt.Sprintf("%s has channel %d of %s at %d, which is at %d", s.name, id, o.name, got.Position.Sequence, want.Position.Sequence)
		}
	}
	return ""
}
