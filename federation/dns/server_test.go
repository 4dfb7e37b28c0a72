package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry"
)

// serve runs a server until the test ends.
func serve(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s := New(cfg)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	})
	return s
}

func exampleConfig(t testing.TB) Config {
	s := example(t)
	return Config{View: func() *registry.View { return s.view }, Region: "dc1", Aliases: []string{"consul"}, RatePerSource: -1}
}

func TestServer_UDPAndTCP(t *testing.T) {
	s := serve(t, exampleConfig(t))
	for _, network := range []string{"udp", "tcp"} {
		c := &mdns.Client{Net: network, Timeout: 5 * time.Second}
		for range 20 {
			got, _, err := c.Exchange(question("web.service.sc.internal.", mdns.TypeA), s.Addr())
			if err != nil {
				t.Fatalf("%s: %v", network, err)
			}
			if len(got.Answer) != 2 {
				t.Errorf("%s: %v", network, got.Answer)
			}
		}
	}
}

func TestServer_AnswersFromTheAddressAsked(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0"} {
		cfg := exampleConfig(t)
		cfg.Addr = listen
		s := serve(t, cfg)
		_, port, err := net.SplitHostPort(s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
			if host == "::1" && (listen != ":0" || !hasIPv6()) {
				continue
			}
			// A connected socket takes packets from the address it asked only.
			got, err := mdns.Exchange(question("web.service.sc.internal.", mdns.TypeA), net.JoinHostPort(host, port))
			if err != nil || len(got.Answer) != 2 {
				t.Errorf("listening on %s, asked at %s: %v, %v", listen, host, got, err)
			}
		}
	}
}

func hasIPv6() bool {
	l, err := net.Listen("tcp", "[::1]:0")
	if err == nil {
		_ = l.Close()
	}
	return err == nil
}

func TestServer_TruncatedThenTCP(t *testing.T) {
	reg := newStore(t)
	for i := range 400 {
		reg.register(&pb.Instance{Service: "big", Id: fmt.Sprint(i), Address: fmt.Sprintf("10.1.%d.%d", i>>8, i&255), Port: 80})
	}
	s := serve(t, Config{View: func() *registry.View { return reg.view }, RatePerSource: -1})
	m := question("big.service.sc.internal.", mdns.TypeSRV)
	got, err := mdns.Exchange(m, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if !got.Truncated || len(got.Answer) == 0 {
		t.Errorf("UDP: truncated %v, %d records", got.Truncated, len(got.Answer))
	}
	got, _, err = (&mdns.Client{Net: "tcp"}).Exchange(m, s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	// A compression pointer reaches 16 KiB far; targets beyond have no additional record.
	if got.Truncated || len(got.Answer) != 400 || len(got.Extra) < 300 {
		t.Errorf("TCP: truncated %v, %d records, %d additional", got.Truncated, len(got.Answer), len(got.Extra))
	}
}

// TestServer_RateLimit: a source over its rate gets no more than half of its queries answered, each with TC set and
// nothing in it, and can still ask over TCP.
func TestServer_RateLimit(t *testing.T) {
	cfg := exampleConfig(t)
	cfg.RatePerSource = 10
	s := serve(t, cfg)
	conn, err := net.Dial("udp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	packet, err := question("web.service.sc.internal.", mdns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	const sent = 100
	for range sent {
		if _, err := conn.Write(packet); err != nil {
			t.Fatal(err)
		}
	}
	full, slipped := 0, 0
	buf := make([]byte, 1500)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, err := conn.Read(buf)
		if err != nil {
			break
		}
		var m mdns.Msg
		if err := m.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		switch {
		case len(m.Answer) > 0:
			full++
		case m.Truncated && n == len(packet):
			slipped++
		default:
			t.Errorf("%v", &m)
		}
	}
	if full < 10 || full > 20 || slipped < 35 || slipped > 45 {
		t.Errorf("of %d queries %d were answered and %d sent to TCP; want 10 and 45", sent, full, slipped)
	}
	got, _, err := (&mdns.Client{Net: "tcp"}).Exchange(question("web.service.sc.internal.", mdns.TypeA), s.Addr())
	if err != nil || len(got.Answer) != 2 {
		t.Errorf("TCP: %v, %v", got, err)
	}
}

func TestServer_TCPLimits(t *testing.T) {
	s := serve(t, exampleConfig(t))
	var open []net.Conn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
		return c
	}
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err := c.Read(make([]byte, 1))
		return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
	}
	for range maxPerSource {
		dial()
	}
	if c := dial(); !closed(c) {
		t.Error("a connection over the limit of its source is served")
	}
	for i, bad := range [][]byte{{0xff, 0xff}, {0, 3, 1, 2, 3}, {0, 0}} {
		c := open[i]
		if _, err := c.Write(bad); err != nil {
			t.Fatal(err)
		}
		if !closed(c) {
			t.Errorf("the connection that sent %x is still open", bad)
		}
	}
	c := &mdns.Conn{Conn: open[10]}
	for range 3 {
		if err := c.WriteMsg(question("web.service.sc.internal.", mdns.TypeA)); err != nil {
			t.Fatal(err)
		}
		if m, err := c.ReadMsg(); err != nil || len(m.Answer) != 2 {
			t.Fatalf("%v, %v", m, err)
		}
	}
}

func TestServer_PortInUse(t *testing.T) {
	s := serve(t, exampleConfig(t))
	cfg := exampleConfig(t)
	cfg.Addr = s.Addr()
	err := New(cfg).Run(context.Background())
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "another program uses the port") {
		t.Errorf("second server on one port: %v", err)
	}
}

func TestServer_BadConfig(t *testing.T) {
	for _, cfg := range []Config{
		{Addr: "127.0.0.1:0", Domain: "a..b"},
		{Addr: "127.0.0.1:0", Aliases: []string{"."}},
		{Addr: "127.0.0.1:0", Aliases: make([]string, maxAliases+1)},
		{Addr: "256.0.0.1:0"},
	} {
		if err := New(cfg).Listen(); err == nil {
			t.Errorf("%+v is accepted", cfg)
		}
	}
}

// dig runs the real client, if it is there.
func dig(t *testing.T, s *Server, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("dig")
	if err != nil {
		const how = "dig is not installed; install Debian's dnsutils (apt-get install dnsutils) to run this test"
		if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") == "1" {
			t.Fatal(how)
		}
		t.Skip("SKIP: " + how)
	}
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, append([]string{"@" + host, "-p", port, "+time=5", "+tries=1"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("dig %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestDig(t *testing.T) {
	s := serve(t, exampleConfig(t))
	short := []struct {
		args []string
		want []string
	}{
		{[]string{"web.service.sc.internal"}, []string{"10.0.0.1", "10.0.0.2"}},
		{[]string{"web.service.consul", "+tcp"}, []string{"10.0.0.1", "10.0.0.2"}},
		{[]string{"web.service.sc.internal", "AAAA"}, []string{"2001:db8::6"}},
		{[]string{"_web._v1.service.sc.internal", "SRV"}, []string{"0 10 9001 0a000001.addr.sc.internal."}},
		{[]string{"0a000001.addr.sc.internal"}, []string{"10.0.0.1"}},
		{[]string{"v2.web.service.sc.internal", "TXT"}, []string{`"owner=shop"`, `"tag=v2"`}},
		{[]string{"web.service.team-a.ns.sc.internal"}, []string{"10.1.0.1"}},
	}
	for _, tt := range short {
		got := strings.Split(strings.TrimSpace(dig(t, s, append(tt.args, "+short")...)), "\n")
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("dig %v: %q, want %q", tt.args, got, tt.want)
		}
	}
	full := []struct {
		args []string
		want string
	}{
		{[]string{"none.service.sc.internal"}, "status: NXDOMAIN"},
		{[]string{"down.service.sc.internal"}, "status: NOERROR"},
		{[]string{"down.service.sc.internal"}, "hostmaster.sc.internal."},
		{[]string{"example.org"}, "status: REFUSED"},
		{[]string{"web.service.sc.internal", "ANY", "+notcp"}, "status: REFUSED"},
		{[]string{"web.service.sc.internal"}, "flags: qr aa rd; QUERY: 1, ANSWER: 2"},
		{[]string{"WeB.SERVICE.sc.Internal"}, ";WeB.SERVICE.sc.Internal."},
		{[]string{"sc.internal", "+edns=1", "+noednsnegotiation"}, "status: BADVERS"},
	}
	for _, tt := range full {
		out := dig(t, s, tt.args...)
		if !strings.Contains(out, tt.want) || strings.Contains(out, "Warning") || strings.Contains(out, "WARNING: Message") {
			t.Errorf("dig %v: no %q in\n%s", tt.args, tt.want, out)
		}
	}
}

// TestDig_Regions: what the real client says of names of regions, and of an old copy.
func TestDig_Regions(t *testing.T) {
	reg := regions(t)
	s := serve(t, Config{
		View: func() *registry.View { return reg.view }, Region: "dc1", Ages: oldIf(func(region [16]byte) bool { return region[0] == 3 }),
	})
	for name, want := range map[string]string{
		"web.service.dc3": "10.3.0.1", "web.service.team-a.ns.dc2": "10.2.2.1", "db.service.global": "10.2.1.1\n10.3.1.1",
	} {
		if got := strings.TrimSpace(dig(t, s, name+".sc.internal", "+short")); got != want {
			t.Errorf("dig %s: %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct {
		args []string
		want string
		not  string
	}{
		{[]string{"web.service.dc2.sc.internal"}, "EDE: 3 (Stale Answer)", "SERVFAIL"},
		{[]string{"web.service.dc2.sc.internal", "+noedns"}, "10.2.0.1", "EDE"},
		{[]string{"web.service.dc3.sc.internal"}, "10.3.0.1", "EDE"},
		{[]string{"web.service.dc7.sc.internal"}, "status: NXDOMAIN", "EDE"},
		{[]string{"far.service.dc2.sc.internal"}, "status: NOERROR", "SERVFAIL"},
	} {
		out := dig(t, s, tt.args...)
		if !strings.Contains(out, tt.want) || strings.Contains(out, tt.not) || strings.Contains(out, "Warning") || strings.Contains(out, "WARNING: Message") {
			t.Errorf("dig %v: no %q, or %q, in\n%s", tt.args, tt.want, tt.not, out)
		}
	}
}

// TestServer_UnderChange asks while the registry changes: race detector's food, and no answer is ever empty.
func TestServer_UnderChange(t *testing.T) {
	reg := example(t)
	var view atomic.Pointer[registry.View]
	view.Store(reg.view)
	s := serve(t, Config{View: view.Load, RatePerSource: -1})
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			reg.health("down", "d1", "tcp", []pb.Health{pb.Health_HEALTH_PASSING, pb.Health_HEALTH_CRITICAL}[i%2])
			reg.register(&pb.Instance{Service: "web", Id: "w1", Address: "10.0.0.1", Port: uint32(1000 + i%1000)})
			view.Store(reg.view)
		}
	}()
	for i := range 300 {
		c := &mdns.Client{Net: []string{"udp", "tcp"}[i%2], Timeout: 5 * time.Second}
		got, _, err := c.Exchange(question("web.service.sc.internal.", []uint16{mdns.TypeA, mdns.TypeSRV}[i/2%2]), s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Answer) < 2 {
			t.Fatalf("%v", got)
		}
	}
	close(stop)
	<-done
}
