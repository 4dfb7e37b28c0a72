package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
	"supercluster/internal/procs"
)

const (
	host        = "shop.example"
	backendPort = 9001 // HTTP; gRPC is on the next
	envoyPort   = 10000
	settle      = 3 * time.Second // load before a fault
)

// scene is three regions with endpoints in dc2 and dc3, and clients in dc1 under load.
type scene struct {
	r        *runner
	w        *wan.WAN
	f        *fleet.Fleet
	backends map[string]*procs.Process
	load     *procs.Process
}

// play makes a scene, does something to it, and takes it down.
func (r *runner) play(ctx context.Context, do func(context.Context, *scene) error) error {
	w, err := wan.New("dc1", "dc2", "dc3")
	if err != nil {
		return err
	}
	defer w.Close()
	w.Both("dc1", "dc2", wan.Line{Delay: 40 * time.Millisecond})
	w.Both("dc1", "dc3", wan.Line{Delay: 80 * time.Millisecond})
	w.Both("dc2", "dc3", wan.Line{Delay: 150 * time.Millisecond})
	starting, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	s := &scene{r: r, w: w, backends: map[string]*procs.Process{}}
	if s.f, err = fleet.Start(starting, w, r.binary, []string{"dc1", "dc2", "dc3"}, 1); err != nil {
		return err
	}
	defer s.f.Close()
	if err := s.f.Join(starting); err != nil {
		return err
	}
	for _, site := range []string{"dc2", "dc3"} {
		if err := s.serve(starting, site); err != nil {
			return err
		}
	}
	if err := s.startClients(starting); err != nil {
		return err
	}
	if err := s.ready(starting); err != nil {
		return err
	}
	pause(ctx, settle)
	return do(ctx, s)
}

// serve starts the backends of a region and registers them there.
func (s *scene) serve(ctx context.Context, site string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	err = s.w.Inside(site, func() (err error) {
		s.backends[site], err = s.f.Group.Start("backend-"+site, self, "-backend", fmt.Sprintf("%s:%d", s.w.IP(site), backendPort))
		return err
	})
	if err != nil {
		return err
	}
	registry := pb.NewRegistryServiceClient(s.region(site).Conns[0])
	for i, service := range []string{"web", "echo"} {
		_, err := registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{
			Service: service, Id: service + "-" + site, Address: s.w.IP(site), Port: uint32(backendPort + i),
		}})
		if err != nil {
			return fmt.Errorf("register %s in %s: %w", service, site, err)
		}
	}
	return nil
}

func (s *scene) region(site string) *fleet.Region {
	for _, r := range s.f.Regions {
		if r.Name == site {
			return r
		}
	}
	return nil
}

// cli runs a command of ours in dc1.
func (s *scene) cli(ctx context.Context, args ...string) (out string, err error) {
	err = s.w.Inside("dc1", func() error {
		cmd := exec.CommandContext(ctx, s.r.binary, args...)
		cmd.Env = append(os.Environ(), "SUPERCLUSTER_SERVER="+s.region("dc1").GRPC[0])
		text, err := cmd.Output()
		out = string(text)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("supercluster %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}

// startClients starts Envoy, and a process that sends requests through it and by gRPC.
func (s *scene) startClients(ctx context.Context) error {
	if _, err := s.cli(ctx, "route", "put", "shop", "--host", host, "--prefix", "/", "--service", "web"); err != nil {
		return err
	}
	listen := fmt.Sprintf("%s:%d", s.w.IP("dc1"), envoyPort)
	dir := s.f.Group.Dir
	envoyFile, grpcFile := filepath.Join(dir, "envoy.yaml"), filepath.Join(dir, "xds.json")
	for _, b := range []struct {
		to   string
		args []string
	}{{envoyFile, []string{"edge-1", "--listen", listen}}, {grpcFile, []string{"--grpc", "client-1"}}} {
		text, err := s.cli(ctx, append([]string{"proxy", "bootstrap"}, b.args...)...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(b.to, []byte(text), 0o600); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return s.w.Inside("dc1", func() (err error) {
		if _, err = s.f.Group.Start("envoy", s.r.envoy, "-c", envoyFile, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id"); err != nil {
			return err
		}
		s.load, err = s.f.Group.Start("load", "env", "GRPC_XDS_BOOTSTRAP="+grpcFile, self, "-load", "http://"+listen+"/", "-rate", fmt.Sprint(s.r.rate))
		return err
	})
}

// ready waits until both clients are served by dc2, the nearer region, and the costs are known.
func (s *scene) ready(ctx context.Context) error {
	return until(ctx, "both clients are served by dc2", func() bool {
		from := time.Now().Add(-500 * time.Millisecond)
		for _, who := range []string{"envoy", "grpc"} {
			c := s.count(who, from, time.Now())
			if c.failed > 0 || c.by[s.w.IP("dc2")] < 10 || c.by[s.w.IP("dc2")] != c.total {
				return false
			}
		}
		return s.first(ctx, "dc1") == "dc2" && s.first(ctx, "dc3") != ""
	})
}

// first gives the region of the endpoint that a lookup of a client of a region with none of its own puts first.
func (s *scene) first(ctx context.Context, site string) string {
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := pb.NewRegistryServiceClient(s.region(site).Conns[0]).Lookup(asking, &pb.LookupRequest{Service: "web"})
	if err != nil || len(answer.GetEndpoints()) == 0 {
		return ""
	}
	return answer.GetEndpoints()[0].GetRegion()
}

// away reports whether a region takes another for away, and whether it is the island.
func (s *scene) away(ctx context.Context, at, of string) (away, island bool) {
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	status, err := s.region(at).API().GetFederation(asking, &pb.GetFederationRequest{})
	if err != nil {
		return false, false
	}
	for _, g := range status.GetReachability().GetRegions() {
		if g.GetRegion() == of {
			away = g.GetState() == pb.ReachState_REACH_STATE_AWAY
		}
	}
	return away, status.GetReachability().GetIsland()
}

// instances counts those of a service that a region shows.
func (s *scene) instances(ctx context.Context, site, service string) int {
	answer, err := pb.NewRegistryServiceClient(s.region(site).Conns[0]).ListInstances(ctx, &pb.ListInstancesRequest{Service: service})
	if err != nil {
		return -1
	}
	return len(answer.GetInstances())
}

// dns asks dc1 for the address of the service.
func (s *scene) dns(ctx context.Context) string {
	text, err := os.ReadFile(s.region("dc1").Folders[0] + ".json")
	if err != nil {
		return ""
	}
	var config struct{ Listen map[string]string }
	if json.Unmarshal(text, &config) != nil {
		return ""
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		err = s.w.Inside("dc1", func() error {
			conn, err = new(net.Dialer).DialContext(ctx, "udp", config.Listen["dns"])
			return err
		})
		return conn, err
	}}
	asking, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	addresses, err := resolver.LookupHost(asking, "web.service.sc.internal.")
	if err != nil || len(addresses) == 0 {
		return ""
	}
	return addresses[0]
}

// counts is what happened to the requests that were sent in some time.
type counts struct {
	total, failed int
	last          time.Time // when the last that failed was sent
	problem       string
	by            map[string]int
}

func (s *scene) count(who string, from, to time.Time) counts {
	c := counts{by: map[string]int{}}
	file, err := os.Open(s.load.Log)
	if err != nil {
		return c
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var name, text string
		var at int64
		var ok int
		if n, _ := fmt.Sscanf(lines.Text(), "%s %d %d %q", &name, &at, &ok, &text); n != 4 || name != who {
			continue
		}
		when := time.Unix(0, at)
		if when.Before(from) || !when.Before(to) {
			continue
		}
		c.total++
		if ok == 1 {
			c.by[text]++
			continue
		}
		c.failed++
		if c.problem = text; when.After(c.last) {
			c.last = when
		}
	}
	return c
}

func until(ctx context.Context, what string, ok func() bool) error {
	for !ok() {
		if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("not in time: %s", what)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
