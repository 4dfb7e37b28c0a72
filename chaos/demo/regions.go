package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"supercluster/internal/procs"
)

// regions is the second act: three regions, of which one is cut off and healed, and one is killed and started again.
type regions struct {
	*demo
	admin string
	grpc  map[string]string
}

var sites = []string{"dc1", "dc2", "dc3"}

// secondAct plays it on a group of its own.
func (d *demo) secondAct(ctx context.Context) error {
	r := &regions{demo: d, grpc: map[string]string{}}
	for _, step := range []func(context.Context) error{r.begin, r.cut, r.lose} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
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
	r.admin = fmt.Sprintf("127.0.0.1:%d", ports[0])
	start := time.Now()
	server, err := r.group.Start("regions", r.binary, "dev", "--regions", "3", "--port-offset", fmt.Sprint(1000+100*rand.IntN(150)), "--admin", r.admin)
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
	r.check(len(r.grpc) == 3, "%d regions serve, %v after their start", len(r.grpc), time.Since(start).Round(time.Millisecond))
	for _, site := range sites {
		if _, err := r.in(ctx, site, "placement", "put", "dc2/", "--home", "dc2"); err != nil {
			return err
		}
	}
	return r.equal(ctx, time.Now())
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

// equal verifies in every region that what it has of the others is what they signed.
func (r *regions) equal(ctx context.Context, from time.Time) error {
	for _, site := range sites {
		// A source that is only just back does not answer at once.
		_, err := r.in(ctx, site, "federation", "verify", "--timeout", "5s")
		for err != nil && ctx.Err() == nil && time.Since(from) < 20*time.Second {
			_, err = r.in(ctx, site, "federation", "verify", "--timeout", "5s")
		}
		r.check(err == nil, "%s equals its sources, %.1f s later", site, time.Since(from).Seconds())
	}
	return nil
}

func (r *regions) dev(ctx context.Context, args ...string) error {
	_, err := r.cli(ctx, append(append([]string{"dev"}, args...), "--admin", r.admin)...)
	return err
}

func (r *regions) cut(ctx context.Context) error {
	r.say("11. dc1 is cut from dc2 and dc3; both sides write.")
	if err := errors.Join(r.dev(ctx, "cut", "dc1", "dc2"), r.dev(ctx, "cut", "dc1", "dc3")); err != nil {
		return err
	}
	for _, site := range []string{"dc1", "dc2"} {
		_, err := r.in(ctx, site, "config", "put", site+"/limit", "10")
		r.check(err == nil, "%s writes what it is the home of", site)
	}
	if err := r.dev(ctx, "heal"); err != nil {
		return err
	}
	return r.read(ctx, time.Now())
}

// read verifies, and reads in every region what both sides wrote.
func (r *regions) read(ctx context.Context, from time.Time) error {
	if err := r.equal(ctx, from); err != nil {
		return err
	}
	found := 0
	for _, site := range sites {
		for _, home := range sites[:2] {
			if out, err := r.in(ctx, site, "config", "get", home+"/limit", "--level", "local"); err == nil && strings.Contains(out, "10") {
				found++
			}
		}
	}
	r.check(found == 6, "%d of 6 reads find what both sides wrote", found)
	return nil
}

func (r *regions) lose(ctx context.Context) error {
	r.say("12. dc2 is killed and starts again on its data.")
	if err := r.dev(ctx, "kill-region", "dc2"); err != nil {
		return err
	}
	_, err := r.in(ctx, "dc1", "config", "get", "dc2/limit", "--level", "local")
	r.check(err == nil, "dc1 still reads what dc2 wrote")
	from := time.Now()
	if err := r.dev(ctx, "start-region", "dc2"); err != nil {
		return err
	}
	return r.read(ctx, from)
}
