package link

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// weather is a router that tests steer: it loses packets, and delays some so that others overtake them.
type weather struct {
	simnet.PerfectRouter
	mu      sync.Mutex
	random  *rand.Rand
	loss    float64
	every   int // of each connection and direction this datagram that carries much is lost, the same in each run; 0: none
	sent    map[string]int
	reorder float64
	black   bool
	dead    string // nothing comes from or to this address
	lost    int
}

func (w *weather) SendPacket(p simnet.Packet) error {
	w.mu.Lock()
	lose := w.black || w.dead != "" && (p.From.String() == w.dead || p.To.String() == w.dead) || w.random.Float64() < w.loss || w.due(&p)
	late := w.random.Float64() < w.reorder
	if lose {
		w.lost++
	}
	w.mu.Unlock()
	switch {
	case lose:
		return nil
	case late:
		time.AfterFunc(5*time.Millisecond, func() { _ = w.PerfectRouter.SendPacket(p) })
		return nil
	default:
		return w.PerfectRouter.SendPacket(p)
	}
}

// due reports whether a datagram is one of those that every says. It is of a connection by the id after its first byte.
func (w *weather) due(p *simnet.Packet) bool {
	if w.every == 0 || len(p.Data) < 500 || p.Data[0]&0x80 != 0 {
		return false
	}
	if w.sent == nil {
		w.sent = map[string]int{}
	}
	key := string(p.Data[1:5])
	w.sent[key]++
	return w.sent[key]%w.every == 0
}

func (w *weather) lostCount() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

func (w *weather) set(change func(*weather)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(w)
}

// world is a simulated network with endpoints on it.
type world struct {
	t       testing.TB
	weather *weather
	net     *simnet.Simnet
	rtt     time.Duration
	ca      map[[16]byte]*authority
	nodes   int
	start   []func()
	stop    []func()
}

func newWorld(t testing.TB, rtt time.Duration) *world {
	w := &weather{random: rand.New(rand.NewPCG(1, 2))}
	return &world{
		t: t, weather: w, net: &simnet.Simnet{Router: w}, rtt: rtt,
		ca: map[[16]byte]*authority{west: newAuthority(t), east: newAuthority(t), north: newAuthority(t)},
	}
}

// config is that of a server of a region which knows every region's CA.
func (w *world) config(region [16]byte, valid time.Duration) Config {
	id := PeerID{Region: region, Server: "node-1"}
	c := tlsConfig(w.ca[region].issue(w.t, id, valid), w.ca[west], w.ca[east], w.ca[north])
	return Config{
		Self: id, Server: c, Identify: identify,
		Client: func([16]byte) (*tls.Config, error) { return c, nil },
		Accept: func(ctx context.Context, c *Conn) error { <-ctx.Done(); return nil },
	}
}

func (w *world) socket() (net.PacketConn, string) {
	w.nodes++
	addr := &net.UDPAddr{IP: net.IPv4(1, 0, 0, byte(w.nodes)), Port: 9000}
	return w.net.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Latency: w.rtt / 2}), addr.String()
}

// add makes an endpoint that runs from w.run on.
func (w *world) add(cfg Config) (*Endpoint, string) {
	w.t.Helper()
	socket, address := w.socket()
	e, err := New(cfg, socket)
	if err != nil {
		w.t.Fatal(err)
	}
	w.start = append(w.start, func() { w.stop = append(w.stop, runEndpoint(w.t, e)) })
	return e, address
}

// run starts everything; it ends with the answer, which the test must call inside its bubble.
func (w *world) run() (end func()) {
	if err := w.net.Start(); err != nil {
		w.t.Fatal(err)
	}
	for _, start := range w.start {
		start()
	}
	return func() {
		for _, stop := range w.stop {
			stop()
		}
		w.net.Close()
	}
}

func runEndpoint(t testing.TB, e *Endpoint) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	<-e.Ready()
	return func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(20 * time.Second):
			t.Error("Run did not end")
		}
	}
}

// accepting hands accepted connections to the test.
func accepting(cfg *Config) <-chan *Conn {
	accepted := make(chan *Conn, 16)
	cfg.Accept = func(ctx context.Context, c *Conn) error {
		accepted <- c
		<-ctx.Done()
		return nil
	}
	return accepted
}

// pair is a world of two regions with one connection.
func pair(t testing.TB, rtt time.Duration, change ...func(*Config)) (w *world, dialed, accepted *Conn, end func()) {
	t.Helper()
	w = newWorld(t, rtt)
	a, b := w.config(west, time.Hour), w.config(east, time.Hour)
	for _, c := range change {
		c(&a)
		c(&b)
	}
	conns := accepting(&b)
	from, _ := w.add(a)
	_, to := w.add(b)
	end = w.run()
	dialed, err := from.Dial(within(t, 5*time.Second), east, to)
	if err != nil {
		t.Fatal(err)
	}
	return w, dialed, <-conns, end
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// open makes a stream and gives both ends of it.
func open(t testing.TB, from, to *Conn, class Class) (near, far *Stream) {
	t.Helper()
	near, err := from.Open(within(t, 5*time.Second), class)
	if err != nil {
		t.Fatal(err)
	}
	far, err = to.Accept(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if far.Class() != class {
		t.Fatalf("class %s arrived as %s", class, far.Class())
	}
	return near, far
}
