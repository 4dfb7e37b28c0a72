package dns

import (
	"bytes"
	"testing"

	mdns "github.com/miekg/dns"

	"supercluster/registry"
)

// FuzzAnswer is invariant I2: any packet gets an answer that parses and fits, or none.
func FuzzAnswer(f *testing.F) {
	seed := func(m *mdns.Msg) {
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	for _, name := range []string{
		".", "sc.internal.", "web.service.sc.internal.", "_web._tcp.consul.", "0a000001.addr.sc.internal.", "v1.web.service.team-a.ns.sc.internal.",
		"web.service.dc2.sc.internal.", "web.service.global.consul.", "_web._tcp.team-a.ns.eu.sc.internal.", "ns.dc2.consul.",
	} {
		for _, kind := range []uint16{mdns.TypeA, mdns.TypeSRV, mdns.TypeTXT, mdns.TypeSOA, mdns.TypeNS, mdns.TypeANY} {
			m := question(name, kind)
			seed(m)
			m.SetEdns0(600, true)
			seed(m)
		}
	}
	// A name that points to itself, labels beyond the end, a name of 127 labels.
	head := []byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	f.Add(append(bytes.Clone(head), 0xc0, 0x0c, 0, 1, 0, 1))
	f.Add(append(bytes.Clone(head), 63, 'a'))
	f.Add(append(append(bytes.Clone(head), bytes.Repeat([]byte{1, 'a'}, 127)...), 0, 0, 1, 0, 1))

	s := regions(f)
	r := newResponder(f, func() *registry.View { return s.view })
	r.ages = oldIf(func([16]byte) bool { return true })
	work := newScratch()
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, via := range []transport{viaUDP, viaTCP} {
			out := r.answer(work, packet, via)
			if out == nil {
				continue
			}
			if len(out) > maxTCP || via == viaUDP && len(out) > maxUDP {
				t.Fatalf("%d bytes", len(out))
			}
			if !bytes.Equal(out[:2], packet[:2]) || out[2]&0x80 == 0 {
				t.Fatalf("head %x for %x", out[:headerSize], packet)
			}
			var m mdns.Msg
			if err := m.Unpack(out); err != nil {
				t.Fatalf("%x was answered by %x: %v", packet, out, err)
			}
			if m.Rcode == mdns.RcodeServerFailure || m.Truncated && len(m.Answer) == 0 {
				t.Fatalf("%x was answered by %v", packet, &m)
			}
		}
		if out := r.refuseRate(work, packet); len(out) > max(len(packet), headerSize) {
			t.Fatalf("the refusal is larger than the query: %d > %d", len(out), len(packet))
		}
	})
}
