package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/internal/procs"
)

// TestDev_LeavesNothingBehind runs dev in this process: after it ended no goroutine and no folder of it is left.
func TestDev_LeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Setenv("TMPDIR", t.TempDir())
	listeners, _, err := freeListeners()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"dev"}, listeners...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &untilReady{ready: make(chan struct{})}
	var logs lockedBuffer
	code := make(chan int, 1)
	go func() { code <- run(ctx, time.Now(), args, strings.NewReader(""), out, &logs) }()
	select {
	case <-out.ready:
	case c := <-code:
		t.Fatalf("dev ended with %d: %s", c, logs.String())
	case <-time.After(30 * time.Second):
		t.Fatalf("dev is not ready: %s", logs.String())
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d: %s", c, logs.String())
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("the temporary folder holds %v (%v)", left, err)
	}
}

// freeListeners gives dev an address of its own for each listener: as flags, and by name.
func freeListeners() (flags []string, byName map[string]string, err error) {
	names := []string{"http", "grpc", "dns", "raft", "probe", "admin", "federation"}
	ports, err := procs.FreePorts(len(names))
	if err != nil {
		return nil, nil, err
	}
	byName = map[string]string{}
	for i, name := range names {
		byName[name] = net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[i]))
		flags = append(flags, "--"+name, byName[name])
	}
	return flags, byName, nil
}

// untilReady closes a channel when dev says that it is ready.
type untilReady struct {
	once  sync.Once
	ready chan struct{}
}

func (u *untilReady) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "\nready in ") {
		u.once.Do(func() { close(u.ready) })
	}
	return len(p), nil
}

// serving serves on a free port, and gives its address and what ends it.
func serving(t *testing.T, serve func(context.Context, net.Listener) error) (address string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l) }()
	return l.Addr().String(), func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestProbe_AnswersAndIsBounded connects more often than the probe listener serves at once.
func TestProbe_AnswersAndIsBounded(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	address, stop := serving(t, serveProbe)
	for range 2 * probeLimit {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || string(answer) != probeAnswer {
			t.Fatalf("the probe answered %q (%v)", answer, err)
		}
	}
	stop()
}

// TestAdmin_RefusesPages asks as a page in a browser of this machine would, by a name that somebody points here.
func TestAdmin_RefusesPages(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	address, stop := serving(t, func(ctx context.Context, l net.Listener) error { return serveAdmin(ctx, l, nil) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, tt := range []struct {
		name, host, origin string
		want               int
	}{
		{"by its address", "", "", http.StatusOK},
		{"as localhost", "localhost:8505", "", http.StatusOK},
		{"by a foreign name", "evil.example", "", http.StatusForbidden},
		{"from a foreign page", "", "http://evil.example", http.StatusForbidden},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/debug/pprof/cmdline", nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.host != "" {
			r.Host = tt.host
		}
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.want {
			t.Errorf("%s: status %d, want %d", tt.name, answer.StatusCode, tt.want)
		}
	}
	stop()
}

// TestAssemble_BadDomain: a domain that nobody checked before is told as it is, and not as a port that somebody else uses.
func TestAssemble_BadDomain(t *testing.T) {
	c, err := devConfig(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.DataDir, c.DNS.Domain = t.TempDir(), "bad..name"
	const free = "127.0.0.1:0"
	c.Listen = config.Listen{HTTP: free, GRPC: free, DNS: free, Raft: free, Federation: free, Probe: free, Admin: free}
	_, err = assemble(start{config: c, dev: true, logs: io.Discard})
	if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), `dns.domain: "bad..name" is not a domain name`) {
		t.Errorf("error = %v", err)
	}
}

func TestProcessStart_IsBeforeNow(t *testing.T) {
	now := time.Now()
	start := processStart(now)
	if age := now.Sub(start); age < 0 || age > time.Minute {
		t.Errorf("the process started %v ago", age)
	}
}

func TestShift(t *testing.T) {
	if got := shift("127.0.0.1:8500", 100); got != "127.0.0.1:8600" {
		t.Errorf("shift = %s", got)
	}
	if got := shift("[::1]:8500", -1); got != "[::1]:8499" {
		t.Errorf("shift = %s", got)
	}
}
