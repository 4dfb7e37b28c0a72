package wan

import (
	"net"
	"sync"
)

// proxy is the network without root: each UDP server of a site has a public socket here.
type proxy struct {
	carry func(from, to int, b []byte, send func([]byte))

	mu      sync.Mutex
	servers map[string]*exposed // by the real address
	ended   sync.WaitGroup
}

// exposed is one UDP server: where it listens, and its public socket.
type exposed struct {
	site   int
	real   *net.UDPAddr
	public *net.UDPConn
}

func newProxy(carry func(from, to int, b []byte, send func([]byte))) *proxy {
	return &proxy{carry: carry, servers: map[string]*exposed{}}
}

// expose finds a free port for a server of a site and opens its public socket.
func (p *proxy) expose(site int) (listen, public string, err error) {
	loopback := &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	probe, err := net.ListenUDP("udp4", loopback)
	if err != nil {
		return "", "", err
	}
	conn, err := net.ListenUDP("udp4", loopback)
	real := probe.LocalAddr().(*net.UDPAddr)
	_ = probe.Close()
	if err != nil {
		return "", "", err
	}
	_ = conn.SetReadBuffer(4 << 20) // a smaller one only loses more
	_ = conn.SetWriteBuffer(4 << 20)
	e := &exposed{site: site, real: real, public: conn}
	p.mu.Lock()
	p.servers[real.String()] = e
	p.mu.Unlock()
	p.ended.Go(func() { p.serve(e) })
	return real.String(), conn.LocalAddr().String(), nil
}

// serve carries what arrives at a server's public socket to the server. It leaves from the public socket of the server
// that sent it; what no known server sent is dropped.
func (p *proxy) serve(to *exposed) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := to.public.ReadFromUDP(b)
		if err != nil {
			return
		}
		p.mu.Lock()
		sender := p.servers[from.String()]
		p.mu.Unlock()
		if sender == nil {
			continue
		}
		p.carry(sender.site, to.site, b[:n], func(b []byte) { _, _ = sender.public.WriteToUDP(b, to.real) })
	}
}

func (p *proxy) close() {
	p.mu.Lock()
	for _, e := range p.servers {
		_ = e.public.Close()
	}
	p.mu.Unlock()
	p.ended.Wait()
}
