package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"supercluster/chaos/load"
	"supercluster/chaos/tally"
	"supercluster/internal/procs"
)

const (
	host     = "shop.example"
	interval = 500 * time.Millisecond
	fall     = 2

	leastRate = 200 // requests a second of each client, in every step under load
)

// requireEnv is the variable that turns a skip into a failure.
const requireEnv = "SUPERCLUSTER_REQUIRE_CLIENTS"

// demo is one run: what it started and what it found.
type demo struct {
	tally.Tally
	rate int

	group    *procs.Group
	binary   string
	server   string // gRPC address
	dns      string
	envoy    string // HTTP address of Envoy's listener
	backends [3]string
	echoes   [3]string // where they serve gRPC; empty: nowhere
	running  [3]*procs.Process
	load     *load.Load
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.Out, format+"\n", args...) }

// run plays the steps in order.
func (d *demo) run(ctx context.Context, binary, envoy string) error {
	if envoy == "" {
		return fmt.Errorf("there is no Envoy: run `make tools`, or set ENVOY_BIN")
	}
	abs, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	d.binary = abs
	for _, act := range []func(context.Context, string) error{d.firstAct, d.secondAct} {
		if err := d.play(ctx, act, envoy); err != nil {
			return err
		}
	}
	return nil
}

// play plays an act on processes of its own.
func (d *demo) play(ctx context.Context, act func(context.Context, string) error, envoy string) (err error) {
	if d.group, err = procs.NewGroup(); err != nil {
		return err
	}
	defer d.group.Close()
	return act(ctx, envoy)
}

// firstAct is one region.
func (d *demo) firstAct(ctx context.Context, envoy string) error {
	for _, step := range []func(context.Context) error{
		d.startRegion, d.startBackends,
		func(ctx context.Context) error { return d.startEnvoy(ctx, "3.", envoy) },
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return d.underLoad(ctx, d.steady, d.leave, d.comeBack, d.kill, d.restart, d.ask)
}

// underLoad plays steps while requests are sent.
func (d *demo) underLoad(ctx context.Context, steps ...func(context.Context) error) error {
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); d.load.Run(loading, d.rate) }()
	defer func() { stop(); <-done }()
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// cli runs a command of ours, shows it and gives what it printed.
func (d *demo) cli(ctx context.Context, args ...string) (string, error) {
	d.say("  $ supercluster %s", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, d.binary, args...)
	cmd.Env = append(os.Environ(), "SUPERCLUSTER_SERVER="+d.server)
	var text, problem strings.Builder
	cmd.Stdout, cmd.Stderr = &text, &problem
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("supercluster %s: %w: %s", strings.Join(args, " "), err, problem.String())
	}
	return text.String(), nil
}

func (d *demo) startRegion(ctx context.Context) error {
	d.say("1. A region, with one command.")
	ports, err := procs.FreePorts(7)
	if err != nil {
		return err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", ports[i]) }
	d.server, d.dns = at(1), at(2)
	server, err := d.group.Start("dev", d.binary, "dev", "--http", at(0), "--grpc", at(1), "--dns", at(2), "--raft", at(3), "--probe", at(4), "--admin", at(5), "--federation", at(6))
	if err != nil {
		return err
	}
	start := time.Now()
	ready := func(context.Context) bool { return strings.Contains(server.Tail(), "\nready in ") }
	starting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := procs.WaitUntil(starting, "supercluster dev", ready, server); err != nil {
		return err
	}
	d.Check(true, "supercluster dev serves, %v after its start", time.Since(start).Round(time.Millisecond))
	return nil
}

func (d *demo) startBackends(ctx context.Context) error {
	d.say("2. Three HTTP backends, registered with a health check, and a route to them.")
	ports, err := procs.FreePorts(len(d.backends))
	if err != nil {
		return err
	}
	for i, port := range ports {
		d.backends[i] = fmt.Sprintf("127.0.0.1:%d", port)
		if err := d.startBackend(i); err != nil {
			return err
		}
		if err := d.register(ctx, i); err != nil {
			return err
		}
	}
	_, err = d.cli(ctx, "route", "put", "shop", "--host", host, "--prefix", "/", "--service", "web")
	return err
}

func (d *demo) startBackend(i int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.running[i], err = d.group.Start("backend", self, "-backend", d.backends[i], "-echo", d.echoes[i])
	return err
}

func id(i int) string { return fmt.Sprintf("web-%d", i+1) }

func (d *demo) register(ctx context.Context, i int) error {
	ip, port, _ := strings.Cut(d.backends[i], ":")
	_, err := d.cli(ctx, "service", "register", "web", "--id", id(i), "--address", ip, "--port", port, "--check", "http:/healthz",
		"--check-interval", interval.String(), "--check-fall", fmt.Sprint(fall))
	return err
}

func (d *demo) startEnvoy(ctx context.Context, step, envoy string) error {
	d.say(step + " Envoy, from a bootstrap that the server makes.")
	ports, err := procs.FreePorts(2)
	if err != nil {
		return err
	}
	d.envoy = fmt.Sprintf("127.0.0.1:%d", ports[0])
	bootstrap, err := d.cli(ctx, "proxy", "bootstrap", "edge-1", "--listen", d.envoy, "--admin", fmt.Sprintf("127.0.0.1:%d", ports[1]))
	if err != nil {
		return err
	}
	path := filepath.Join(d.group.Dir, "envoy.yaml")
	if err := os.WriteFile(path, []byte(bootstrap), 0o600); err != nil {
		return err
	}
	proxy, err := d.group.Start("envoy", envoy, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id")
	if err != nil {
		return err
	}
	d.load = load.New("http://"+d.envoy+"/", host)
	start := time.Now()
	serving := func(context.Context) bool {
		from := time.Now()
		d.load.Once()
		return d.load.Between(from, from.Add(time.Hour)).Failed == 0
	}
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := procs.WaitUntil(starting, "Envoy", serving, proxy); err != nil {
		return err
	}
	d.Check(true, "Envoy serves the route, %v after its start", time.Since(start).Round(time.Millisecond))
	return nil
}

// during lets the load run for a while, or until a condition holds, and counts what happened meanwhile.
func (d *demo) during(ctx context.Context, from time.Time, atLeast time.Duration, until func() bool) load.Counts {
	limit := time.NewTimer(15 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for time.Since(from) < atLeast || (until != nil && !until()) {
		select {
		case <-tick.C:
			continue
		case <-limit.C:
		case <-ctx.Done():
		}
		break
	}
	to := time.Now()
	d.settle(ctx)
	return d.load.Between(from, to)
}

// settle waits until what was sent has been answered; the client's own time-out bounds it.
func (d *demo) settle(ctx context.Context) {
	select {
	case <-time.After(100 * time.Millisecond):
	case <-ctx.Done():
	}
}

// counted shows what happened to the requests of a client, and checks that they came at the rate that makes "none failed" say something.
func (d *demo) counted(client string, c load.Counts) {
	shown, checked := "", ""
	if client != "" {
		shown, checked = fmt.Sprintf("%-6s", client), client+": "
	}
	var parts []string
	for i, address := range d.backends {
		parts = append(parts, fmt.Sprintf("%s %d", id(i), c.Backends[address]))
	}
	sort.Strings(parts)
	d.say("       %s%d requests, %d failed (%s)", shown, c.Total, c.Failed, strings.Join(parts, ", "))
	if c.Failed > 0 {
		d.say("       last failure %v into the step: %s", c.LastFailure.Round(time.Millisecond), c.Problem)
	}
	d.Check(c.PerSecond() >= leastRate, "%sat least %d requests a second (%.0f)", checked, leastRate, c.PerSecond())
}

func (d *demo) steady(ctx context.Context) error {
	d.say("4. %d requests a second through Envoy.", d.rate)
	from := time.Now()
	all := func() bool {
		for _, address := range d.backends {
			if d.load.Since(from, address) == 0 {
				return false
			}
		}
		return true
	}
	c := d.during(ctx, from, 3*time.Second, all)
	d.counted("", c)
	d.Check(c.Failed == 0 && len(c.Backends) == 3, "all three backends answer and nothing fails")
	return nil
}

func (d *demo) leave(ctx context.Context) error {
	d.say("5. %s leaves gracefully: it drains, then its process ends.", id(0))
	from := time.Now()
	if _, err := d.cli(ctx, "service", "deregister", "web", id(0), "--drain", "2s"); err != nil {
		return err
	}
	gone := func() bool { return time.Since(from) > 2500*time.Millisecond }
	d.during(ctx, from, 2500*time.Millisecond, gone)
	ended := time.Now()
	d.running[0].Stop()
	c := d.during(ctx, from, 4*time.Second, nil)
	d.counted("", c)
	d.Check(c.Failed == 0, "no failed request on a graceful leave")
	late := d.load.Between(ended, time.Now()).Backends[d.backends[0]]
	d.Check(late == 0, "no request went to it after its process ended")
	return nil
}

func (d *demo) comeBack(ctx context.Context) error {
	d.say("6. %s comes back.", id(0))
	from := time.Now()
	if err := d.startBackend(0); err != nil {
		return err
	}
	if err := d.register(ctx, 0); err != nil {
		return err
	}
	c := d.during(ctx, from, time.Second, func() bool { return d.load.Since(from, d.backends[0]) > 0 })
	d.counted("", c)
	d.Check(c.Backends[d.backends[0]] > 0, "it gets requests again")
	d.Check(c.Failed == 0, "nothing fails meanwhile")
	return nil
}

func (d *demo) kill(ctx context.Context) error {
	limit := interval*fall + time.Second
	d.say("7. %s dies (kill -9), without a word.", id(1))
	from := time.Now()
	if err := d.running[1].Kill(); err != nil {
		return err
	}
	c := d.during(ctx, from, limit+2*time.Second, nil)
	d.counted("", c)
	d.Check(c.Failed == 0 || c.LastFailure <= limit, "no request fails later than interval x fall + 1 s = %v", limit)
	out, err := d.cli(ctx, "lookup", "web", "-o", "json")
	if err != nil {
		return err
	}
	d.Check(strings.Contains(out, id(0)) && strings.Contains(out, id(2)) && strings.Contains(out, "critical"), "lookup shows it as critical and gives the others")
	return nil
}

func (d *demo) restart(ctx context.Context) error {
	d.say("8. %s starts again; nobody registers it, its check finds it.", id(1))
	from := time.Now()
	if err := d.startBackend(1); err != nil {
		return err
	}
	c := d.during(ctx, from, time.Second, func() bool { return d.load.Since(from, d.backends[1]) > 0 })
	d.counted("", c)
	d.Check(c.Backends[d.backends[1]] > 0, "it gets requests again")
	d.Check(c.Failed == 0, "nothing fails meanwhile")
	return nil
}

func (d *demo) ask(ctx context.Context) error {
	d.say("9. The same answer by DNS and for the proxy.")
	out, err := d.cli(ctx, "proxy", "status", "edge-1")
	if err != nil {
		return err
	}
	d.Check(strings.Contains(out, "edge-1"), "the server shows the proxy and what it acknowledged")
	dig, err := exec.LookPath("dig")
	if err != nil {
		return d.withoutDig()
	}
	dnsHost, dnsPort, _ := strings.Cut(d.dns, ":")
	d.say("  $ dig @%s -p %s web.service.sc.internal SRV +short", dnsHost, dnsPort)
	answer, err := exec.CommandContext(ctx, dig, "@"+dnsHost, "-p", dnsPort, "web.service.sc.internal", "SRV", "+short").Output()
	if err != nil {
		return fmt.Errorf("dig: %w", err)
	}
	d.Check(strings.Count(strings.TrimSpace(string(answer)), "\n") == 2, "dig finds all three instances")
	return nil
}

// withoutDig skips what dig shows, which fails the demo where nothing may be skipped.
func (d *demo) withoutDig() error {
	const missing = "dig is not installed (package dnsutils)"
	if os.Getenv(requireEnv) != "" {
		return errors.New(missing)
	}
	d.say("  SKIP %s", missing)
	return nil
}
