package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"supercluster/chaos/load"
	"supercluster/internal/procs"
)

// both is what happened meanwhile to the requests of Envoy and to the calls of the gRPC client.
type both struct{ envoy, grpc load.Counts }

// each calls fn with each client.
func (b both) each(fn func(client string, c load.Counts)) {
	fn("Envoy", b.envoy)
	fn("gRPC", b.grpc)
}

// registerEcho registers the gRPC side of a backend where the last command went.
func (r *regions) registerEcho(ctx context.Context, i int) error {
	ip, port, _ := strings.Cut(r.echoes[i], ":")
	_, err := r.cli(ctx, "service", "register", "echo", "--id", fmt.Sprintf("echo-%d", i+1), "--address", ip, "--port", port, "--check", "tcp",
		"--check-interval", interval.String(), "--check-fall", fmt.Sprint(fall))
	return err
}

// startCaller starts a gRPC client in dc1, in a process of its own, from a bootstrap that the server makes.
func (r *regions) startCaller(ctx context.Context) error {
	r.say("13. A gRPC client, from a bootstrap that the server makes: it calls xds:///echo.")
	bootstrap, err := r.in(ctx, "dc1", "proxy", "bootstrap", "client-1", "--grpc")
	if err != nil {
		return err
	}
	path := filepath.Join(r.group.Dir, "xds.json")
	if err := os.WriteFile(path, []byte(bootstrap), 0o600); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	start := time.Now()
	client, err := r.group.Start("caller", "env", "GRPC_XDS_BOOTSTRAP="+path, self, "-call", "xds:///echo", "-rate", fmt.Sprint(r.rate))
	if err != nil {
		return err
	}
	r.calls = load.ReadLog(client.Log)
	served := func(context.Context) bool { return r.calls.Since(start, r.backends[0]) > 0 }
	starting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := procs.WaitUntil(starting, "the gRPC client", served, client); err != nil {
		return err
	}
	r.Check(true, "the gRPC client is served, %v after its start", time.Since(start).Round(time.Millisecond))
	return nil
}

// meanwhile lets both clients go on for a while, or until a condition holds, and shows what happened to them.
func (r *regions) meanwhile(ctx context.Context, from time.Time, atLeast time.Duration, until func() bool) both {
	envoy := r.during(ctx, from, atLeast, until)
	// during waited for answers after the end of what it counted; the client's own time-out bounds these.
	b := both{envoy: envoy, grpc: r.calls.Between(from, time.Now().Add(-100*time.Millisecond))}
	b.each(func(client string, c load.Counts) { r.counted(client, c) })
	return b
}

// answered reports whether, since, each client was answered by one of some backends.
func (r *regions) answered(since time.Time, backends ...int) bool {
	envoy, grpc := 0, 0
	for _, i := range backends {
		envoy += r.load.Since(since, r.backends[i])
		grpc += r.calls.Since(since, r.backends[i])
	}
	return envoy > 0 && grpc > 0
}
