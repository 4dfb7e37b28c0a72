package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
)

// TestTruncation is invariant I1: an answer fits into what the client can take, holds some of the records and never
// none of them, and has TC set exactly when it does not hold all.
func TestTruncation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newStore(t2b(t))
		n := rapid.IntRange(1, 150).Draw(t, "instances")
		v6 := rapid.Bool().Draw(t, "IPv6")
		text := strings.Repeat("m", rapid.IntRange(0, 190).Draw(t, "length of metadata"))
		ins := make([]*pb.Instance, 0, n)
		for i := range n {
			addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i / 2 * 2)})
			if v6 {
				addr = netip.AddrFrom16([16]byte{0x20, 1, 14: byte(i >> 8), 15: byte(i)})
			}
			ins = append(ins, &pb.Instance{
				Service: "web", Id: fmt.Sprint(i), Address: addr.String(), Port: uint32(1000 + i),
				Metadata: map[string]string{"k": fmt.Sprint(i, text)},
			})
		}
		here := rapid.IntRange(0, n).Draw(t, "of them here")
		s.region(2, "dc2")
		if here > 0 {
			s.register(ins[:here]...)
		}
		s.imported(2, ins[here:]...)
		r := newResponder(t2b(t), func() *registry.View { return s.view })
		r.ages = oldIf(func([16]byte) bool { return here%2 == 0 })
		kind := rapid.SampledFrom([]uint16{mdns.TypeA, mdns.TypeAAAA, mdns.TypeSRV, mdns.TypeTXT}).Draw(t, "type")
		name := rapid.SampledFrom([]string{"web.service.sc.internal.", "_web._tcp.service.default.ns.consul.", "web.service.global.sc.internal."}).Draw(t, "name")
		whole := ask(t2b(t), r, question(name, kind), viaTCP)
		if whole.Truncated {
			t.Fatalf("%d records do not fit into 64 KiB", len(whole.Answer))
		}
		all := lines(whole.Answer)

		m := question(name, kind)
		limit := minUDP
		if rapid.Bool().Draw(t, "EDNS") {
			limit = rapid.IntRange(0, 4096).Draw(t, "buffer")
			m.SetEdns0(uint16(limit), false)
			limit = min(max(limit, minUDP), maxUDP)
		}
		got := ask(t2b(t), r, m, viaUDP)
		have := lines(got.Answer)
		if size := packed(t, r, m); size > limit {
			t.Fatalf("the answer has %d bytes, the client takes %d", size, limit)
		}
		if got.Truncated != (len(have) < len(all)) {
			t.Fatalf("truncated = %v with %d of %d records", got.Truncated, len(have), len(all))
		}
		if len(all) > 0 && len(have) == 0 {
			t.Fatal("truncation emptied the answer")
		}
		if dup := slices.Compact(slices.Clone(have)); len(dup) != len(have) {
			t.Fatalf("a record occurs twice: %q", have)
		}
		for _, line := range have {
			if _, ok := slices.BinarySearch(all, line); !ok {
				t.Fatalf("%q is not among the records", line)
			}
		}
	})
}

func packed(t *rapid.T, r *responder, m *mdns.Msg) int {
	packet, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return len(r.answer(newScratch(), packet, viaUDP))
}

// wrapped lets helpers for testing.TB report to rapid.
type wrapped struct {
	testing.TB
	t *rapid.T
}

func (w wrapped) Helper()                   { w.t.Helper() }
func (w wrapped) Fatal(args ...any)         { w.t.Fatal(args...) }
func (w wrapped) Fatalf(f string, a ...any) { w.t.Fatalf(f, a...) }
func (w wrapped) Errorf(f string, a ...any) { w.t.Errorf(f, a...) }
func t2b(t *rapid.T) testing.TB             { return wrapped{t: t} }

// TestOrder: whatever its length, an order has each number once.
func TestOrder(t *testing.T) {
	o := newScratch().order
	for _, n := range []int{1, 2, 3, 10, 63, 64, 65, 66, 97, 1000, 1024} {
		o.start(n)
		seen := make([]bool, n)
		for i := range n {
			if seen[o.at(i)] {
				t.Fatalf("n=%d: %d occurs twice", n, o.at(i))
			}
			seen[o.at(i)] = true
		}
	}
}
