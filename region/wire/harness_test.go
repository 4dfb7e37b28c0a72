package wire

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"
)

// mesh is a region of wires in one process.
type mesh struct {
	t         *testing.T
	members   map[string]string
	listeners map[string]net.Listener
	wires     map[string]*Wire
}

func newMesh(t *testing.T, names ...string) *mesh {
	t.Helper()
	m := &mesh{t: t, members: map[string]string{}, listeners: map[string]net.Listener{}, wires: map[string]*Wire{}}
	for _, name := range names {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		m.listeners[name], m.members[name] = l, l.Addr().String()
	}
	return m
}

func (m *mesh) config(name string) Config {
	return Config{Region: "dc1", Node: name, Members: m.members, Listener: m.listeners[name]}
}

// run starts a wire and ends it with the test.
func (m *mesh) run(cfg Config, prepare ...func(*Wire)) *Wire {
	m.t.Helper()
	w, err := New(cfg)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, p := range prepare {
		p(w)
	}
	runWire(m.t, w)
	m.wires[cfg.Node] = w
	return w
}

func runWire(t *testing.T, w *Wire) (stop func()) {
	t.Helper()
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func testContext(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// scripted is a Faults that tests steer.
type scripted struct {
	mu    sync.Mutex
	frame func(from, to string, kind Kind) Fault
	cut   map[string]bool // "from>to"
}

func (s *scripted) Frame(from, to string, kind Kind) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut[from+">"+to] {
		return Fault{Drop: true}
	}
	if s.frame == nil {
		return Fault{}
	}
	return s.frame(from, to, kind)
}

func (s *scripted) Dial(from, to string, _ Kind) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut[from+">"+to] || s.cut[to+">"+from] {
		return fmt.Errorf("cut")
	}
	return nil
}

func (s *scripted) set(change func(s *scripted)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func shaky(r *rand.Rand) func(string, string, Kind) Fault {
	return func(string, string, Kind) Fault {
		return Fault{Duplicate: r.IntN(4) == 0, Delay: time.Duration(r.IntN(5)) * time.Millisecond}
	}
}

func withTLS(cfg Config, server, client *tls.Config) Config {
	cfg.Server, cfg.Client = server, client
	return cfg
}
