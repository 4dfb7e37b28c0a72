package xds

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/resources"
)

// envoyBinary finds the real Envoy, or skips with what to do. With SUPERCLUSTER_REQUIRE_CLIENTS=1 it must be there.
func envoyBinary(t testing.TB) string {
	t.Helper()
	if bin := os.Getenv("ENVOY_BIN"); bin != "" {
		return bin
	}
	if bin, err := exec.LookPath("envoy"); err == nil {
		return bin
	}
	if bin, err := filepath.Abs("../.tools/bin/envoy"); err == nil {
		if _, err := os.Stat(bin); err == nil {
			return bin
		}
	}
	const text = "no Envoy: tests with the real Envoy do not run; `make tools` gets it, or set ENVOY_BIN"
	if os.Getenv("SUPERCLUSTER_REQUIRE_CLIENTS") == "1" {
		t.Fatal(text)
	}
	t.Skip("SKIP: " + text)
	return ""
}

// envoy is a running Envoy.
type envoy struct {
	t      testing.TB
	listen string
	log    *syncBuffer
	client *http.Client
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// runEnvoy starts an Envoy from our own bootstrap.
func runEnvoy(t testing.TB, servers ...string) *envoy {
	t.Helper()
	return runEnvoyWith(t, envoyOptions(t, servers...))
}

func envoyOptions(t testing.TB, servers ...string) resources.EnvoyBootstrapOptions {
	t.Helper()
	return resources.EnvoyBootstrapOptions{
		ID: "edge-1", Servers: servers, Region: "dc1", Zone: "a", Listen: fmt.Sprintf("127.0.0.1:%d", freePort(t)),
	}
}

func runEnvoyWith(t testing.TB, o resources.EnvoyBootstrapOptions) *envoy {
	t.Helper()
	bin := envoyBinary(t)
	e := &envoy{
		t: t, listen: o.Listen,
		log: &syncBuffer{}, client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}},
	}
	t.Cleanup(e.client.CloseIdleConnections)
	config, err := resources.EnvoyBootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(path, config, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", "warn")
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy said:\n%s", e.log)
		}
	})
	return e
}

// get asks Envoy for a path under a host name and gives status and body; status 0: no answer.
func (e *envoy) get(host, path string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, "http://"+e.listen+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Host = host
	res, err := e.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

// backend answers with its name; it can be told to fail.
type backend struct {
	*httptest.Server
	port int
	hits atomic.Int64
}

func runBackend(t testing.TB, name string) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.hits.Add(1)
		fmt.Fprintf(w, "%s %s", name, r.URL.Path)
	}))
	u, err := url.Parse(b.URL)
	if err != nil {
		t.Fatal(err)
	}
	if b.port, err = strconv.Atoi(u.Port()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func TestEnvoy_FollowsTheRegistry(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	one, two := runBackend(t, "one"), runBackend(t, "two")
	r.register(t, "web", one.port)
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)

	eventually(t, "the first answer", func() bool {
		code, body := e.get("shop.example", "/a")
		return code == 200 && body == "one /a"
	})
	r.register(t, "web", two.port)
	eventually(t, "the second endpoint", func() bool {
		_, body := e.get("shop.example:8080", "/b")
		return body == "two /b"
	})
	r.deregister(t, "web", one.port)
	eventually(t, "traffic to the second alone", func() bool {
		before := one.hits.Load()
		for range 10 {
			e.get("shop.example", "/")
		}
		return one.hits.Load() == before
	})
	if code, _ := e.get("other.example", "/"); code != 404 {
		t.Errorf("an unknown host: status %d", code)
	}
	r.deregister(t, "web", two.port)
	eventually(t, "503 for a service that is gone", func() bool {
		code, body := e.get("shop.example", "/")
		return code == 503 && body == "no service web\n"
	})
	r.register(t, "web", one.port)
	eventually(t, "the service is back", func() bool {
		code, _ := e.get("shop.example", "/")
		return code == 200
	})
	for _, p := range s.Proxies() {
		t.Log(p)
		for _, pt := range p.GetTypes() {
			if pt.GetNacks() != 0 {
				t.Errorf("%s: %s", pt.GetType(), pt.GetNack())
			}
		}
	}
}

// acknowledged waits until every client has acknowledged all it was sent.
func (s *running) acknowledged(t testing.TB) {
	t.Helper()
	eventually(t, "everything is acknowledged", func() bool {
		for _, st := range s.snapshot() {
			if !st.session.Load().oldest().IsZero() {
				return false
			}
		}
		return true
	})
}

// pressure is steady load on an Envoy.
type pressure struct {
	sent   atomic.Int64
	failed atomic.Int64
	stop   func()
	mu     sync.Mutex
	first  string // what the first failure said
}

func (e *envoy) press(host string, workers int) *pressure {
	p := &pressure{}
	done := make(chan struct{})
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				code, body := e.get(host, "/")
				p.sent.Add(1)
				if code != http.StatusOK {
					p.failed.Add(1)
					p.mu.Lock()
					if p.first == "" {
						p.first = fmt.Sprintf("%d %s", code, body)
					}
					p.mu.Unlock()
				}
			}
		})
	}
	p.stop = sync.OnceFunc(func() { close(done); all.Wait() })
	e.t.Cleanup(p.stop)
	return p
}

// fleet are backends that stop and start on their ports.
type fleet struct {
	t       testing.TB
	servers map[int]*http.Server
}

func (f *fleet) up(port int) int {
	f.t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		f.t.Fatal(err)
	}
	port = l.Addr().(*net.TCPAddr).Port
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(2 * time.Millisecond) // requests that overlap with leaves
		fmt.Fprint(w, port)
	})}
	f.servers[port] = srv
	go func() { _ = srv.Serve(l) }()
	return port
}

// leave is how a program goes: it ends what it has, then stops.
func (f *fleet) leave(port int) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := f.servers[port].Shutdown(ctx); err != nil {
		f.t.Fatalf("shutdown: %v", err)
	}
	delete(f.servers, port)
}

func TestEnvoy_GracefulLeavesFailNoRequest(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	f := &fleet{t: t, servers: map[int]*http.Server{}}
	t.Cleanup(func() {
		for _, srv := range f.servers {
			srv.Close()
		}
	})
	var ports []int
	for range 3 {
		port := f.up(0)
		ports = append(ports, port)
		r.register(t, "web", port)
	}
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)
	eventually(t, "the first answer", func() bool { code, _ := e.get("shop.example", "/"); return code == 200 })
	p := e.press("shop.example", 4)
	for i := range 40 {
		port := ports[i%len(ports)]
		r.register(t, "web", port, draining)
		time.Sleep(20 * time.Millisecond)
		s.acknowledged(t)
		r.deregister(t, "web", port)
		time.Sleep(10 * time.Millisecond)
		s.acknowledged(t)
		f.leave(port)
		f.up(port)
		r.register(t, "web", port)
		time.Sleep(10 * time.Millisecond)
	}
	p.stop()
	t.Logf("%d requests, %d failed", p.sent.Load(), p.failed.Load())
	if p.failed.Load() > 0 || p.sent.Load() < 500 {
		t.Errorf("%d of %d requests failed; the first: %s", p.failed.Load(), p.sent.Load(), p.first)
	}
}

// A cluster that changes warms in Envoy until its endpoints come again, although those did not change.
func TestEnvoy_ChangedClusterGetsItsEndpointsAgain(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.ProtoMajor)
	}))
	backend.Config.Protocols = &protocols
	backend.Start()
	t.Cleanup(backend.Close)
	r.register(t, "web", backend.Listener.Addr().(*net.TCPAddr).Port)
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)
	speaks := func(major string) func() bool {
		return func() bool { _, body := e.get("shop.example", "/"); return body == major }
	}
	eventually(t, "HTTP/1.1 upstream", speaks("1"))
	p := e.press("shop.example", 2)
	for range 3 {
		begin := time.Now()
		r.define(t, &pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_HTTP2})
		eventually(t, "HTTP/2 upstream", speaks("2"))
		r.define(t, &pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_HTTP})
		eventually(t, "HTTP/1.1 upstream again", speaks("1"))
		if d := time.Since(begin); d > 3*time.Second {
			t.Errorf("two changes took %v: the cluster waited for endpoints that did not come", d)
		}
	}
	p.stop()
	if p.failed.Load() > 0 {
		t.Errorf("%d of %d requests failed; the first: %s", p.failed.Load(), p.sent.Load(), p.first)
	}
}

// A listener that Envoy cannot open is rejected: it is shown, not sent again, and the rest goes on.
func TestEnvoy_Rejection(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	r.register(t, "web", runBackend(t, "one").port)
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	o := envoyOptions(t, s.address)
	o.Listen = taken.Addr().String()
	runEnvoyWith(t, o)
	nacked := func() string {
		for _, p := range s.Proxies() {
			for _, pt := range p.GetTypes() {
				if pt.GetType() == "listener" && pt.GetNacks() > 0 {
					return fmt.Sprint(pt.GetNacks(), " ", pt.GetNack())
				}
			}
		}
		return ""
	}
	eventually(t, "the rejection", func() bool { return nacked() != "" })
	if text := nacked(); !strings.Contains(text, "cannot bind") {
		t.Errorf("shown as %q", text)
	}
	before := s.stats.responses.Load()
	r.register(t, "web", freePort(t))
	eventually(t, "endpoints still flow", func() bool { return s.stats.responses.Load() > before })
	s.acknowledged(t)
	if text := nacked(); !strings.HasPrefix(text, "1 ") {
		t.Errorf("rejected more than once: %q", text)
	}
}

// An Envoy whose server dies goes to another, keeps its configuration and fails no request.
func TestEnvoy_ServerIsLost(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	one, two := runBackend(t, "one"), runBackend(t, "two")
	r.register(t, "web", one.port)
	r.route(t, "shop", "shop.example", "/", "web")
	servers := []*running{start(t, r), start(t, r)}
	e := runEnvoy(t, servers[0].address, servers[1].address)
	eventually(t, "the first answer", func() bool { code, _ := e.get("shop.example", "/"); return code == 200 })
	p := e.press("shop.example", 2)
	if len(servers[0].Proxies()) == 0 {
		servers[0], servers[1] = servers[1], servers[0]
	}
	servers[0].stop()
	eventually(t, "it is at the other server", func() bool { return len(servers[1].Proxies()) == 1 })
	r.register(t, "web", two.port)
	eventually(t, "and hears of changes there", func() bool { return two.hits.Load() > 0 })
	p.stop()
	if p.failed.Load() > 0 || p.sent.Load() == 0 {
		t.Errorf("%d of %d requests failed; the first: %s", p.failed.Load(), p.sent.Load(), p.first)
	}
}

// BenchmarkEnvoy measures how long a changed endpoint takes until the real Envoy, under load, has acknowledged it.
func BenchmarkEnvoy(b *testing.B) {
	r := newRegistry(b)
	one, two := runBackend(b, "one"), runBackend(b, "two")
	r.register(b, "web", one.port)
	r.route(b, "shop", "shop.example", "/", "web")
	s := start(b, r)
	e := runEnvoy(b, s.address)
	eventually(b, "the first answer", func() bool { code, _ := e.get("shop.example", "/"); return code == 200 })
	p := e.press("shop.example", 1)
	session := s.snapshot()[0].session.Load()
	acked := func() uint64 {
		session.mu.Lock()
		defer session.mu.Unlock()
		return session.watches[eds].ackedSeq
	}
	var took []time.Duration
	for n := 0; b.Loop(); n++ {
		before, begin := acked(), time.Now()
		r.register(b, "web", two.port, func(in *pb.Instance) { in.Weight = uint32(1 + n%2) })
		for acked() == before {
			time.Sleep(50 * time.Microsecond)
		}
		took = append(took, time.Since(begin))
		time.Sleep(5 * time.Millisecond)
	}
	p.stop()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(p.failed.Load()), "failed")
}
