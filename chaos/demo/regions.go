package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"supercluster/chaos/load"
	"supercluster/internal/procs"
)

// regions is the second act: an instance in each of three regions, and Envoy and a gRPC client in the first one.
type regions struct {
	*demo
	admin string
	grpc  map[string]string
	calls *load.Log // of the gRPC client
}

var sites = []string{"dc1", "dc2", "dc3"}

// takesOver is how long after the loss of a region the last request may fail: when it is given up, and what was under way.
const takesOver = 7 * time.Second

// secondAct plays it on processes of its own.
func (d *demo) secondAct(ctx context.Context, envoy string) error {
	r := &regions{demo: d, grpc: map[string]string{}}
	for _, step := range []func(context.Context) error{r.begin, r.serve} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := d.startEnvoy(ctx, "12.", envoy); err != nil {
		return err
	}
	if err := r.startCaller(ctx); err != nil {
		return err
	}
	return d.underLoad(ctx, r.local, r.fail, r.cut, r.lose)
}

// in runs a command of ours in a region.
func (r *regions) in(ctx context.Context, site string, args ...string) (string, error) {
	r.server = r.grpc[site]
	return r.cli(ctx, args...)
}

func (r *regions) begin(ctx context.Context) error {
	r.say("10. Three regions, with one command.")
	ports, err := procs.FreePorts(1)
	if err != nil {
		return err
	}
	offset, err := freeOffset()
	if err != nil {
		return err
	}
	r.admin = fmt.Sprintf("127.0.0.1:%d", ports[0])
	start := time.Now()
	server, err := r.group.Start("regions", r.binary, "dev", "--regions", fmt.Sprint(len(sites)), "--port-offset", fmt.Sprint(offset), "--admin", r.admin)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ready := func(context.Context) bool { return strings.Contains(server.Tail(), "\nready in ") }
	if err := procs.WaitUntil(starting, "three regions", ready, server); err != nil {
		return err
	}
	if err := r.addresses(ctx); err != nil {
		return err
	}
	r.Check(len(r.grpc) == len(sites), "%d regions serve, %v after their start", len(r.grpc), time.Since(start).Round(time.Millisecond))
	for _, site := range sites {
		if _, err := r.in(ctx, site, "placement", "put", "dc2/", "--home", "dc2"); err != nil {
			return err
		}
	}
	r.equal(ctx, time.Now())
	return nil
}

// freeOffset claims the ports of three regions at an offset where they are free: none is the admin port, which was drawn before.
func freeOffset() (int, error) {
	for range 100 {
		offset := 1000 + 100*rand.IntN(150)
		if procs.ClaimPorts(portsAt(offset)...) == nil {
			return offset, nil
		}
	}
	return 0, errors.New("no free ports for three regions were found")
}

// portsAt are what the regions listen on at an offset.
func portsAt(offset int) (ports []int) {
	for i := range sites {
		for _, port := range []int{8300, 8302, 8303, 8500, 8502, 8600} {
			ports = append(ports, port+offset+10*i)
		}
	}
	return ports
}

// addresses asks the program where its regions are.
func (r *regions) addresses(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.admin+"/dev/regions", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var state struct {
		Regions []struct{ Region, GRPC string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&state); err != nil {
		return err
	}
	for _, one := range state.Regions {
		r.grpc[one.Region] = one.GRPC
	}
	return nil
}

// serve starts an instance in each region.
func (r *regions) serve(ctx context.Context) error {
	r.say("11. A backend in each region, registered there as web (HTTP) and echo (gRPC), and a route to web.")
	ports, err := procs.FreePorts(2 * len(sites))
	if err != nil {
		return err
	}
	for i, site := range sites {
		r.backends[i] = fmt.Sprintf("127.0.0.1:%d", ports[i])
		r.echoes[i] = fmt.Sprintf("127.0.0.1:%d", ports[len(sites)+i])
		if err := r.startBackend(i); err != nil {
			return err
		}
		r.server = r.grpc[site]
		if err := errors.Join(r.register(ctx, i), r.registerEcho(ctx, i)); err != nil {
			return err
		}
	}
	if _, err := r.in(ctx, "dc1", "route", "put", "shop", "--host", host, "--prefix", "/", "--service", "web"); err != nil {
		return err
	}
	known := func(ctx context.Context) bool {
		return r.listed(ctx, "web", r.backends) == len(sites) && r.listed(ctx, "echo", r.echoes) == len(sites)
	}
	coming, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := procs.WaitUntil(coming, "the instances of all regions in dc1", known); err != nil {
		return err
	}
	r.Check(true, "dc1 knows the instances of all three regions")
	return nil
}

// listed counts the instances of a service that a client in dc1 would be sent to.
func (r *regions) listed(ctx context.Context, service string, addresses [3]string) (n int) {
	quiet := *r.demo
	quiet.Out, quiet.server = io.Discard, r.grpc["dc1"]
	out, err := quiet.cli(ctx, "lookup", service)
	for i := range sites {
		if err == nil && strings.Contains(out, addresses[i]) {
			n++
		}
	}
	return n
}

// equal verifies in every region that what it has of the others is what they signed.
func (r *regions) equal(ctx context.Context, from time.Time) {
	for _, site := range sites {
		// A source that is only just back does not answer at once.
		_, err := r.in(ctx, site, "federation", "verify", "--timeout", "5s")
		for err != nil && ctx.Err() == nil && time.Since(from) < 20*time.Second {
			_, err = r.in(ctx, site, "federation", "verify", "--timeout", "5s")
		}
		r.Check(err == nil, "%s equals its sources by digest, %.1f s later", site, time.Since(from).Seconds())
	}
}

func (r *regions) dev(ctx context.Context, args ...string) error {
	_, err := r.cli(ctx, append(append([]string{"dev"}, args...), "--admin", r.admin)...)
	return err
}

func (r *regions) local(ctx context.Context) error {
	r.say("14. %d requests a second through Envoy, and as many gRPC calls, in dc1.", r.rate)
	r.ownOnly(r.meanwhile(ctx, time.Now(), 2*time.Second, nil), "all are answered by dc1's own instance")
	return nil
}

// ownOnly checks of each client that nothing failed, and that dc1's own instance answered all.
func (r *regions) ownOnly(b both, what string) {
	b.each(func(client string, c load.Counts) {
		r.Check(c.Total > 0 && c.Failed == 0 && c.Backends[r.backends[0]] == c.Total, "%s: %s", client, what)
	})
}

// few checks of each client that fewer than 1 % of its requests failed.
func (r *regions) few(b both) {
	b.each(func(client string, c load.Counts) {
		r.Check(100*c.Failed < c.Total, "%s: fewer than 1 %% fail (%d of %d)", client, c.Failed, c.Total)
	})
}

// back checks of each client that dc1's own instance answers again and that nothing failed.
func (r *regions) back(b both, what string) {
	b.each(func(client string, c load.Counts) {
		r.Check(c.Backends[r.backends[0]] > 0 && c.Failed == 0, "%s: %s", client, what)
	})
}

func (r *regions) fail(ctx context.Context) error {
	r.say("15. The instance of dc1 dies (kill -9), then starts again.")
	from := time.Now()
	if err := r.running[0].Kill(); err != nil {
		return err
	}
	over := r.meanwhile(ctx, from, 3*time.Second, func() bool { return r.answered(from, 1, 2) })
	r.Check(r.answered(from, 1, 2), "another region takes over, for both")
	r.few(over)
	from = time.Now()
	if err := r.startBackend(0); err != nil {
		return err
	}
	b := r.meanwhile(ctx, from, time.Second, func() bool { return r.answered(from, 0) })
	r.back(b, "traffic comes back to dc1, and nothing fails")
	return nil
}

func (r *regions) cut(ctx context.Context) error {
	r.say("16. dc1 is cut from dc2 and dc3 for some seconds; both sides write.")
	from := time.Now()
	if err := errors.Join(r.dev(ctx, "cut", "dc1", "dc2"), r.dev(ctx, "cut", "dc1", "dc3")); err != nil {
		return err
	}
	for _, site := range sites[:2] {
		_, err := r.in(ctx, site, "config", "put", site+"/limit", "10")
		r.Check(err == nil, "%s writes what it is the home of", site)
	}
	r.ownOnly(r.meanwhile(ctx, from, 6*time.Second, nil), "dc1 goes on serving its own clients")
	r.Check(r.listed(ctx, "web", r.backends) == len(sites) && r.listed(ctx, "echo", r.echoes) == len(sites), "none of the instances that dc1 knows is removed")
	_, err := r.in(ctx, "dc1", "config", "get", "dc2/limit", "--level", "local")
	_, other := r.in(ctx, "dc3", "config", "get", "dc1/limit", "--level", "local")
	r.Check(err != nil && other != nil, "what the other side wrote is not there yet")
	if err := r.dev(ctx, "heal"); err != nil {
		return err
	}
	return r.read(ctx, time.Now())
}

// read verifies, and reads in every region what both sides wrote.
func (r *regions) read(ctx context.Context, from time.Time) error {
	r.equal(ctx, from)
	found := 0
	for _, site := range sites {
		for _, home := range sites[:2] {
			if out, err := r.in(ctx, site, "config", "get", home+"/limit", "--level", "local"); err == nil && strings.Contains(out, "10") {
				found++
			}
		}
	}
	r.Check(found == 6, "%d of 6 reads find what both sides wrote", found)
	return nil
}

func (r *regions) lose(ctx context.Context) error {
	r.say("17. dc1 has no instance for a while, and the region that answers for it is lost with its instance.")
	from := time.Now()
	if err := r.running[0].Kill(); err != nil {
		return err
	}
	r.meanwhile(ctx, from, 3*time.Second, func() bool { return r.answered(from, 1, 2) })
	lost, left := 1, 2
	if r.load.Since(from, r.backends[2]) > r.load.Since(from, r.backends[1]) {
		lost, left = 2, 1
	}
	from = time.Now()
	if err := errors.Join(r.dev(ctx, "kill-region", sites[lost]), r.running[lost].Kill()); err != nil {
		return err
	}
	b := r.meanwhile(ctx, from, takesOver+time.Second, nil)
	r.Check(r.answered(from, left), "%s takes over from %s, for both", sites[left], sites[lost])
	r.few(b)
	b.each(func(client string, c load.Counts) {
		r.Check(c.Failed == 0 || c.LastFailure <= takesOver, "%s: none later than %v", client, takesOver)
	})
	from = time.Now()
	if err := errors.Join(r.dev(ctx, "start-region", sites[lost]), r.startBackend(lost), r.startBackend(0)); err != nil {
		return err
	}
	b = r.meanwhile(ctx, from, time.Second, func() bool { return r.answered(from, 0) })
	r.back(b, sites[lost]+" is back, dc1 serves its own clients again, and nothing fails")
	return r.read(ctx, from)
}
