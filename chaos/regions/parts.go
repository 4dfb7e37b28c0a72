package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/wan"
)

const (
	planWithin = 6 * time.Second
	watchFor   = 15 * time.Second // after a fault
	dnsWithin  = 5 * time.Second  // the time to live at most, after the plan changed
	islandFor  = 20 * time.Second
)

// killed kills every process of dc2.
func (r *runner) killed(ctx context.Context, s *scene) error {
	return r.lose(ctx, s, "killed", func() error {
		for _, p := range append(s.region("dc2").Servers, s.backends["dc2"]) {
			if err := p.Cmd.Process.Signal(syscall.SIGKILL); err != nil {
				return err
			}
		}
		return nil
	})
}

// blackHole swallows what dc2 sends and gets.
func (r *runner) blackHole(ctx context.Context, s *scene) error {
	return r.lose(ctx, s, "black hole", func() error { return s.cut("dc2") })
}

func (s *scene) cut(site string) error {
	for _, other := range []string{"dc1", "dc2", "dc3"} {
		if other != site {
			s.w.Change(site, other, func(l *wan.Line) { l.Cut = true })
		}
	}
	return nil
}

// lose loses dc2 and judges what clients in dc1 notice.
func (r *runner) lose(ctx context.Context, s *scene, how string, fault func() error) error {
	began := time.Now()
	if err := fault(); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, watchFor)
	defer cancel()
	changed := map[string]time.Duration{}
	followed := time.Duration(-1)
	err := until(waiting, "dc2 is away everywhere and DNS follows", func() bool {
		for _, site := range []string{"dc1", "dc3"} {
			if _, done := changed[site]; !done {
				if away, _ := s.away(ctx, site, "dc2"); away && s.first(ctx, site) == "dc3" {
					changed[site] = time.Since(began)
				}
			}
		}
		if followed < 0 && s.dns(ctx) == s.w.IP("dc3") {
			followed = time.Since(began)
		}
		return len(changed) == 2 && followed >= 0
	})
	if err != nil {
		fmt.Printf("  %v: %v, DNS %v\n", err, changed, followed)
	}
	plan := max(changed["dc1"], changed["dc3"])
	r.Check(len(changed) == 2 && plan <= planWithin, "plan changed everywhere after %v (dc1 %v, dc3 %v; at most %v)", rounded(plan), rounded(changed["dc1"]), rounded(changed["dc3"]), planWithin)
	r.Check(followed >= 0 && followed <= plan+dnsWithin, "DNS followed after %v (at most %v after the plan)", rounded(followed), dnsWithin)
	pause(ctx, watchFor-time.Since(began))
	end := began.Add(watchFor - requestWithin) // later ones may still be under way
	at := began.Add(changed["dc1"])
	for _, client := range []struct {
		who   string
		grace time.Duration
		share bool // whether fewer than 1 % may fail
	}{{"envoy", 0, true}, {"grpc", map[bool]time.Duration{true: time.Second}[how != "killed"], how == "killed"}} {
		c, late := s.count(client.who, began, end), s.count(client.who, at.Add(client.grace), end)
		share := 100 * float64(c.failed) / float64(max(c.total, 1))
		r.Check(c.total > 0 && (share < 1 || !client.share), "%s: %d of %d failed in %v, %.2f %% %s", client.who, c.failed, c.total, end.Sub(began), share, c.problem)
		if client.who == "envoy" || !client.share {
			r.Check(late.total > 0 && late.failed == 0, "%s: %d of %d failed later than %v after the plan changed %s", client.who, late.failed, late.total, client.grace, late.problem)
		}
	}
	r.Check(s.instances(ctx, "dc1", "web") == 2 && s.instances(ctx, "dc3", "web") == 2, "nothing is deleted: %d and %d instances", s.instances(ctx, "dc1", "web"), s.instances(ctx, "dc3", "web"))
	return nil
}

func rounded(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }

// island cuts dc1 from all others. It has endpoints of its own now.
func (r *runner) island(ctx context.Context, s *scene) error {
	if err := s.serve(ctx, "dc1"); err != nil {
		return err
	}
	own := s.w.IP("dc1")
	waiting, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := until(waiting, "clients are served by dc1", func() bool {
		from := time.Now().Add(-500 * time.Millisecond)
		e, g := s.count("envoy", from, time.Now()), s.count("grpc", from, time.Now())
		return e.by[own] > 10 && e.by[own] == e.total && g.by[own] > 10 && g.by[own] == g.total
	}); err != nil {
		return err
	}
	began := time.Now()
	if err := s.cut("dc1"); err != nil {
		return err
	}
	demoted, islands, written, refused, least := 0, 0, 0, 0, 3
	for time.Since(began) < islandFor && ctx.Err() == nil {
		for _, of := range []string{"dc2", "dc3"} {
			away, island := s.away(ctx, "dc1", of)
			if away {
				demoted++
			}
			if island {
				islands++
			}
		}
		least = min(least, s.instances(ctx, "dc1", "web"))
		_, err := pb.NewConfigServiceClient(s.region("dc1").Conns[0]).PutConfig(ctx, &pb.PutConfigRequest{
			Config: &pb.Config{Name: "dc1/while-cut", Value: []byte("x")},
		})
		if written++; err != nil {
			refused++
		}
		pause(ctx, 50*time.Millisecond)
	}
	r.Check(islands > 0 && demoted == 0, "dc1 knows that it is the island, and demoted nobody")
	r.Check(least == 3, "at least %d of 3 instances shown all the time", least)
	r.Check(written > 100 && refused == 0, "%d of %d writes to what it owns were refused", refused, written)
	for _, who := range []string{"envoy", "grpc"} {
		c := s.count(who, began, began.Add(islandFor-requestWithin))
		r.Check(c.total > 0 && c.failed == 0 && c.by[own] == c.total, "%s: %d of %d failed, %d served by dc1 itself %s", who, c.failed, c.total, c.by[own], c.problem)
	}
	return nil
}
