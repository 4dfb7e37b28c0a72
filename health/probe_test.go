package health

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func newProber() prober { return prober{dial: dialer(false)} }

func targetAt(addr string, kind pb.CheckType, path string) target {
	return target{kind: kind, addr: netip.MustParseAddrPort(addr), path: path, timeout: 2 * time.Second, every: time.Second}
}

// once runs one probe without keeping a connection.
func once(t *testing.T, to target) outcome {
	t.Helper()
	out := newProber().probe(t.Context(), to, nil)
	if out.link != nil {
		if err := out.link.Close(); err != nil {
			t.Error(err)
		}
	}
	return out
}

func TestHTTP(t *testing.T) {
	var followed atomic.Int32
	mux := http.NewServeMux()
	code := func(path string, status int, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	code("/ok", 200, "fine\n")
	code("/created", 201, "")
	code("/none", 204, "")
	code("/slow-down", 429, "busy")
	code("/missing", 404, "")
	code("/broken", 500, "oh\x00no")
	code("/big", 200, strings.Repeat("x", 1<<20))
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/target", http.StatusFound) })
	mux.HandleFunc("/target", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	mux.HandleFunc("/hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("/host", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.UserAgent(), " ", r.URL.RawQuery)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	addr := s.Listener.Addr().String()
	tests := []struct {
		path, host string
		want       pb.Health
		output     string
	}{
		{"/ok", "", passing, "200 OK: fine"},
		{"/created", "", passing, "201 Created"},
		{"/none", "", passing, "204 No Content"},
		{"/early", "", passing, "200 OK"},
		{"/big", "", passing, "200 OK: xxx"},
		{"/host?a=b", "", passing, ": " + addr + " supercluster-health/1 a=b"},
		{"/host", "shop.example", passing, ": shop.example supercluster-health/1"},
		{"/slow-down", "", warning, "429 Too Many Requests: busy"},
		{"/missing", "", critical, "404 Not Found"},
		{"", "", critical, "404 Not Found"},
		{"/broken", "", critical, "500 Internal Server Error: oh"},
		{"/moved", "", critical, "302 Found (redirects are not followed)"},
		{"/hang", "", critical, "no answer within 300ms"},
		{"/ok\r\nX-Smuggled: 1", "", critical, "invalid"},
	}
	for _, tt := range tests {
		to := targetAt(addr, pb.CheckType_CHECK_TYPE_HTTP, tt.path)
		to.host, to.timeout = tt.host, 300*time.Millisecond
		out := once(t, to)
		if out.health != tt.want || !strings.Contains(out.output, tt.output) {
			t.Errorf("%q: %v %q, want %v and %q", tt.path, out.health, out.output, tt.want, tt.output)
		}
	}
	if followed.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// TestHTTP_BadServers: what no HTTP server sends fails the check and costs no more than its time-out.
func TestHTTP_BadServers(t *testing.T) {
	tests := []struct {
		name   string
		answer func(net.Conn)
		output string
	}{
		{"closes", func(net.Conn) {}, "closed the connection without an answer"},
		{"not HTTP", func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH\r\n\r\n") }, "not an HTTP answer"},
		{"endless head", func(c net.Conn) {
			_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for err == nil {
				_, err = io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}, "not an HTTP answer"},
		{"endless informational answers", func(c net.Conn) {
			var err error
			for err == nil {
				_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
			}
		}, "only informational answers"},
		{"endless body", func(c net.Conn) {
			_, err := io.WriteString(c, "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n")
			for err == nil {
				_, err = io.WriteString(c, "400\r\n"+strings.Repeat("x", 1024)+"\r\n")
			}
		}, "503 Service Unavailable"},
		{"one byte at a time", func(c net.Conn) {
			var err error
			for err == nil {
				_, err = io.WriteString(c, "H")
				time.Sleep(20 * time.Millisecond)
			}
		}, "no answer within"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := accept(t, func(c net.Conn) {
				_, _ = bufio.NewReader(c).ReadString('\n')
				tt.answer(c)
			})
			to := targetAt(addr, pb.CheckType_CHECK_TYPE_HTTP, "/")
			to.timeout = 500 * time.Millisecond
			start := time.Now()
			out := once(t, to)
			if out.health != critical || !strings.Contains(out.output, tt.output) {
				t.Errorf("%v %.200q, want %q", out.health, out.output, tt.output)
			}
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// accept serves each connection by a function, until the test ends.
func accept(t *testing.T, serve func(net.Conn)) (addr string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// TestHTTP_KeepsTheConnection: probes share one connection, and one that the server closed is no failure.
func TestHTTP_KeepsTheConnection(t *testing.T) {
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	p, to := newProber(), targetAt(s.Listener.Addr().String(), pb.CheckType_CHECK_TYPE_HTTP, "/")
	var link io.Closer
	probe := func() {
		t.Helper()
		out := p.probe(t.Context(), to, link)
		if out.health != passing || out.link == nil {
			t.Fatalf("%+v", out)
		}
		link = out.link
	}
	for range 5 {
		probe()
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("5 probes opened %d connections", n)
	}
	s.CloseClientConnections()
	probe()
	probe()
	if n := opened.Load(); n != 2 {
		t.Errorf("after the server closed it, %d connections were opened in all, want 2", n)
	}
	_ = link.Close()
	s.Config.SetKeepAlivesEnabled(false)
	if out := p.probe(t.Context(), to, nil); out.health != passing || out.link != nil {
		t.Errorf("the server closes after the answer: %+v", out)
	}
}

// TestProbes_Canceled: the end of Run ends every probe at once.
func TestProbes_Canceled(t *testing.T) {
	addr := accept(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, kind := range []pb.CheckType{pb.CheckType_CHECK_TYPE_HTTP, pb.CheckType_CHECK_TYPE_GRPC} {
		to := targetAt(addr, kind, "")
		to.timeout = time.Minute
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(50*time.Millisecond, cancel)
		start := time.Now()
		if out := newProber().probe(ctx, to, nil); out.health != critical || out.link != nil {
			t.Errorf("%v: %+v", kind, out)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%v: it took %v", kind, took)
		}
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := targetAt(l.Addr().String(), pb.CheckType_CHECK_TYPE_TCP, "")
	if out := once(t, to); out.health != passing || !strings.Contains(out.output, ": ok") {
		t.Errorf("%+v", out)
	}
	l.Close()
	if out := once(t, to); out.health != critical || !strings.Contains(out.output, "connection refused") {
		t.Errorf("%+v", out)
	}
}

func TestGRPC(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	service := grpchealth.NewServer()
	service.SetServingStatus("shop", healthv1.HealthCheckResponse_NOT_SERVING)
	s := grpc.NewServer()
	healthv1.RegisterHealthServer(s, service)
	go func() { _ = s.Serve(l) }()
	bare := grpc.NewServer()
	lb, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = bare.Serve(lb) }()
	defer bare.Stop()

	at := func(addr net.Addr, name string) target {
		return targetAt(addr.String(), pb.CheckType_CHECK_TYPE_GRPC, name)
	}
	tests := []struct {
		to     target
		want   pb.Health
		output string
	}{
		{at(l.Addr(), ""), passing, "SERVING"},
		{at(l.Addr(), "shop"), critical, "of shop: NOT_SERVING"},
		{at(l.Addr(), "none"), critical, "does not know this service"},
		{at(lb.Addr(), ""), critical, "does not implement grpc.health.v1"},
	}
	for _, tt := range tests {
		if out := once(t, tt.to); out.health != tt.want || !strings.Contains(out.output, tt.output) {
			t.Errorf("%v %q: %+v, want %v and %q", tt.to.addr, tt.to.path, out, tt.want, tt.output)
		}
	}

	// One connection for all probes; after a restart the next probe sees the new server at once.
	p := newProber()
	out := p.probe(t.Context(), at(l.Addr(), ""), nil)
	again := p.probe(t.Context(), at(l.Addr(), ""), out.link)
	if again.health != passing || again.link != out.link {
		t.Errorf("second probe: %+v", again)
	}
	s.Stop()
	down := p.probe(t.Context(), at(l.Addr(), ""), again.link)
	if down.health != critical || down.link != nil {
		t.Errorf("stopped: %+v", down)
	}
	l, err = net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s = grpc.NewServer()
	healthv1.RegisterHealthServer(s, service)
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	if out := once(t, at(l.Addr(), "")); out.health != passing {
		t.Errorf("restarted: %+v", out)
	}
}

func TestRefuse(t *testing.T) {
	tests := []struct {
		addr          string
		strict, loose bool // refused?
	}{
		{"10.0.0.1", false, false},
		{"127.0.0.1", false, false},
		{"2001:db8::1", false, false},
		{"::1", false, false},
		{"fd00::1", false, false},
		{"169.254.169.254", true, false},
		{"169.254.0.1", true, false},
		{"::ffff:169.254.169.254", true, false},
		{"64:ff9b::a9fe:a9fe", true, false},
		{"fe80::1", true, false},
		{"fe80::1%lo", true, false},
		{"fd00:ec2::254", true, false},
		{"100.100.100.200", true, false},
		{"168.63.129.16", true, false},
		{"0.0.0.0", true, true},
		{"::", true, true},
		{"::ffff:0.0.0.0", true, true},
		{"224.0.0.1", true, true},
		{"ff02::1", true, true},
		{"255.255.255.255", true, true},
	}
	for _, tt := range tests {
		for _, loose := range []bool{false, true} {
			want := tt.strict
			if loose {
				want = tt.loose
			}
			if err := refuse(netip.MustParseAddr(tt.addr), loose); (err != nil) != want || err != nil && !fault.Is(err, fault.Denied) {
				t.Errorf("refuse(%s, %v) = %v", tt.addr, loose, err)
			}
		}
	}
	if refuse(netip.Addr{}, true) == nil {
		t.Error("no address is accepted")
	}
}

// TestDialer_Refuses: the check is made where the socket connects, for every kind of probe.
func TestDialer_Refuses(t *testing.T) {
	for _, addr := range []string{"169.254.169.254:80", "[fe80::1%lo]:80", "0.0.0.0:80"} {
		if c, err := dialer(false)(t.Context(), addr); err == nil {
			c.Close()
			t.Errorf("%s was dialled", addr)
		} else if !fault.Is(err, fault.Denied) {
			t.Errorf("%s: %v", addr, err)
		}
	}
	for _, kind := range []pb.CheckType{pb.CheckType_CHECK_TYPE_TCP, pb.CheckType_CHECK_TYPE_HTTP, pb.CheckType_CHECK_TYPE_GRPC} {
		out := once(t, targetAt("169.254.169.254:80", kind, "/latest/meta-data"))
		if out.health != critical || !strings.Contains(out.output, "checks do not connect to 169.254.169.254: it is link-local") {
			t.Errorf("%v: %+v", kind, out)
		}
	}
	// Allowed: whatever then happens, it is not our refusal.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := dialer(true)(ctx, "169.254.169.254:80"); err == nil {
		c.Close()
	} else if fault.Is(err, fault.Denied) {
		t.Errorf("allowed, but %v", err)
	}
	if _, err := dialer(false)(t.Context(), "metadata.example:80"); err == nil {
		t.Error("a name was dialled")
	}
}

// TestRunner_RealBackend follows a real server through its death and return.
func TestRunner_RealBackend(t *testing.T) {
	r := newRegion(t)
	defer run(t, r.node("n1"))()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	serve := func(l net.Listener) *http.Server {
		s := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		go func() { _ = s.Serve(l) }()
		return s
	}
	s := serve(l)
	r.register(&pb.Instance{
		Service: "web", Id: "1", Address: "127.0.0.1", Port: uint32(addr.Port),
		Checks: []*pb.Check{{Id: "http", Type: pb.CheckType_CHECK_TYPE_HTTP, Path: "/healthz", Interval: seconds(0.1), Fall: 3}},
	})
	await := func(what string, want pb.Health, within time.Duration) {
		t.Helper()
		start := time.Now()
		for r.health("web", "1") != want {
			if time.Since(start) > within {
				t.Fatalf("%s: still %v after %v", what, r.health("web", "1"), within)
			}
			time.Sleep(time.Millisecond)
		}
		t.Logf("%s: %v after %v", what, want, time.Since(start).Round(time.Millisecond))
	}
	await("registered", passing, 5*time.Second)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// interval x fall + 1 s, as the product promises.
	await("killed", critical, 300*time.Millisecond+time.Second)
	if out := r.output("web", "1"); !strings.Contains(out, "connection refused") {
		t.Errorf("output %q", out)
	}
	if l, err = net.Listen("tcp", addr.String()); err != nil {
		t.Fatal(err)
	}
	s = serve(l)
	defer s.Close()
	await("returned", passing, 5*time.Second)
	if p, n := r.counts(); p != 3 || n != 3 {
		t.Errorf("three transitions made %d operations with %d transitions", p, n)
	}
}

func TestReason(t *testing.T) {
	to := target{timeout: time.Second}
	tests := []struct {
		err  error
		want string
	}{
		{fault.New(fault.Denied, "no"), "no"},
		{context.DeadlineExceeded, "context deadline exceeded"},
		{errors.New("odd"), "odd"},
		{&net.OpError{Op: "read", Err: errors.New("reset")}, "reset"},
	}
	for _, tt := range tests {
		if got := reason(t.Context(), to, tt.err); got != tt.want {
			t.Errorf("reason(%v) = %q, want %q", tt.err, got, tt.want)
		}
	}
}
