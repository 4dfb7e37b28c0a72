package dns

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
)

// BenchmarkAnswer is the cost of an answer without the network.
func BenchmarkAnswer(b *testing.B) {
	for _, names := range []int{1, 1000, 10000} {
		s := newStore(b)
		packets := make([][]byte, names)
		for i := range names {
			name := fmt.Sprintf("web%d", i)
			s.register(three(name)...)
			packets[i] = pack(b, name+".service.sc.internal.", mdns.TypeA)
		}
		r := newResponder(b, func() *registry.View { return s.view })
		b.Run(fmt.Sprintf("names=%d", names), func(b *testing.B) {
			b.ReportAllocs()
			work := newScratch()
			for i := 0; b.Loop(); i++ {
				if r.answer(work, packets[i%names], viaUDP) == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
	s := example(b)
	r := newResponder(b, func() *registry.View { return s.view })
	for name, kind := range map[string]uint16{"web.service.sc.internal.": mdns.TypeSRV, "none.service.sc.internal.": mdns.TypeA} {
		packet := pack(b, name, kind)
		b.Run(name+mdns.TypeToString[kind], func(b *testing.B) {
			b.ReportAllocs()
			work := newScratch()
			for b.Loop() {
				if r.answer(work, packet, viaUDP) == nil {
					b.Fatal("no answer")
				}
			}
		})
	}
}

func three(name string) []*pb.Instance {
	var ins []*pb.Instance
	for i := range 3 {
		ins = append(ins, &pb.Instance{Service: name, Id: fmt.Sprint(i), Address: fmt.Sprintf("10.0.0.%d", i+1), Port: 80})
	}
	return ins
}

func pack(b testing.TB, name string, kind uint16) []byte {
	packet, err := question(name, kind).Pack()
	if err != nil {
		b.Fatal(err)
	}
	return packet
}

// BenchmarkServer is queries per second over loopback beside its floor, a server that echoes packets with the same
// sockets and loops, and beside a server of the usual library with the same records.
func BenchmarkServer(b *testing.B) {
	s := newStore(b)
	s.register(three("web")...)
	packet := pack(b, "web.service.sc.internal.", mdns.TypeA)
	b.Run("echo", func(b *testing.B) {
		tcp, conns, err := listen("127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		defer tcp.Close()
		var wg sync.WaitGroup
		for _, c := range conns {
			wg.Go(func() { echo(c) })
		}
		load(b, tcp.Addr().String(), packet)
		for _, c := range conns {
			c.Close()
		}
		wg.Wait()
	})
	b.Run("ours", func(b *testing.B) {
		srv := serve(b, Config{View: func() *registry.View { return s.view }, RatePerSource: -1})
		load(b, srv.Addr(), packet)
	})
	b.Run("library", func(b *testing.B) {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		srv := &mdns.Server{PacketConn: conn, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
			m := new(mdns.Msg)
			m.SetReply(q)
			m.Authoritative = true
			for i := range 3 {
				m.Answer = append(m.Answer, &mdns.A{
					Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: mdns.TypeA, Class: mdns.ClassINET},
					A:   net.IPv4(10, 0, 0, byte(i+1)),
				})
			}
			_ = w.WriteMsg(m)
		})}
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.ActivateAndServe() }()
		load(b, conn.LocalAddr().String(), packet)
		_ = srv.Shutdown()
		<-done
	})
}

func echo(c *net.UDPConn) {
	buf := make([]byte, maxQuery)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		_, _ = c.WriteToUDPAddrPort(buf[:n], from)
	}
}

// load keeps 16 clients with 8 queries each on their way.
func load(b *testing.B, addr string, packet []byte) {
	const clients, window = 16, 8
	to := netip.MustParseAddrPort(addr)
	var wg sync.WaitGroup
	b.ResetTimer()
	for range clients {
		wg.Go(func() {
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			buf := make([]byte, 1500)
			left, flying := b.N/clients+1, 0
			for left > 0 || flying > 0 {
				for ; left > 0 && flying < window; left, flying = left-1, flying+1 {
					_, _ = conn.Write(packet)
				}
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				if _, err := conn.Read(buf); err != nil {
					flying = 0 // lost: go on
					continue
				}
				flying--
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "q/s")
}
