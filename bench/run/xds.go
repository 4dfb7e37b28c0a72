package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/bench/measure"
	"supercluster/internal/procs"
)

// shape is one size of the xDS benchmark.
type shape struct {
	streams, clusters int
	delta             bool
	changes           int
}

const endpointsPerCluster = 10

// changePatience is how long the last client may take to apply a change.
const changePatience = 30 * time.Second

func shapes(opt options) []shape {
	if opt.quick {
		return []shape{{100, 100, true, 40}, {100, 100, false, 10}, {1000, 1000, true, 5}}
	}
	var all []shape
	for _, delta := range []bool{true, false} {
		all = append(all, shape{1, 100, delta, 60}, shape{100, 100, delta, 40}, shape{1000, 100, delta, 20}, shape{1000, 1000, delta, 10})
	}
	return all
}

// xdsServer is a control plane under test: where its clients connect and how one endpoint is changed.
type xdsServer struct {
	name    string
	address string
	process *procs.Process
	// change sets the port of the first endpoint of a cluster; it returns when the change is accepted.
	change func(ctx context.Context, cluster string, port uint32) error
}

// benchXDS measures, from the moment a write is sent until each client has decoded what it changed. Ours writes
// durably first; the peer has no store behind it.
func benchXDS(ctx context.Context, opt options) ([]measure.Row, error) {
	least, err := measureFloors(ctx, opt)
	if err != nil {
		return nil, err
	}
	var rows []measure.Row
	for _, s := range shapes(opt) {
		var results [2]spread
		for i, start := range []func(context.Context, *procs.Group, options, shape) (*xdsServer, error){startOurXDS, startLinearCache} {
			group, err := procs.NewGroup()
			if err != nil {
				return nil, err
			}
			server, err := start(ctx, group, opt, s)
			if err == nil {
				results[i], err = push(ctx, server, s)
			}
			if err != nil {
				err = fmt.Errorf("%d streams x %d clusters: %w", s.streams, s.clusters, err)
				group.Close()
				return nil, err
			}
			group.Close()
		}
		rows = append(rows, s.rows(results[0], results[1], least)...)
	}
	return rows, nil
}

const (
	sentP50    = "sent to applied p50"
	sentLast   = "sent to applied by the last"
	appliedRow = "applied every change"
)

// row names what is measured of a shape.
func (s shape) row(what string) string {
	protocol := "delta"
	if !s.delta {
		protocol = "SotW"
	}
	return fmt.Sprintf("%s %d streams x %d clusters, %s", protocol, s.streams, s.clusters, what)
}

func (s shape) rows(ours, peer spread, least floors) []measure.Row {
	const peerName = "go-control-plane LinearCache"
	row := func(what, unit string, a, b float64) measure.Row {
		return measure.NewRow(s.row(what), unit, a, b, peerName, 0, "")
	}
	sent := func(what string, a, b float64) measure.Row {
		return measure.NewRow(s.row(what), "ms", a, b, peerName, least.path, pathFloor)
	}
	accepted := func(what string, a, b float64) measure.Row {
		return measure.NewRow(s.row("accepted to applied "+what), "ms", a, b, peerName, least.echo, echoFloor)
	}
	return []measure.Row{
		sent(sentP50, ours.sent.p50, peer.sent.p50),
		sent("sent to applied p99", ours.sent.p99, peer.sent.p99),
		sent(sentLast, ours.sent.last, peer.sent.last),
		accepted("p50", ours.accepted.p50, peer.accepted.p50),
		accepted("p99", ours.accepted.p99, peer.accepted.p99),
		accepted("by the last", ours.accepted.last, peer.accepted.last),
		row("server CPU per change", "ms", ours.cpu, peer.cpu),
		row("server memory per stream", "KiB", ours.memory, peer.memory),
		row("initial load of all", "ms", ours.load, peer.load),
		{Name: s.row(appliedRow), Unit: "clients", Count: true, Ours: float64(ours.applied), Peer: float64(peer.applied), PeerName: peerName},
	}
}

// spread is what one server gave, in milliseconds and KiB.
type spread struct {
	sent, accepted    times
	cpu, memory, load float64
	applied           int // clients that applied every change
}

// times are from one moment of each change until clients have it: of all clients, and the median of the last one's.
type times struct{ p50, p99, last float64 }

// timesOf takes the times of all changes, sorted for each. A client that had a change before its writer heard that it is accepted
// counts as one that had it at once.
func timesOf(changes [][]float64) times {
	var all, lasts []float64
	for _, one := range changes {
		for _, took := range one {
			all = append(all, max(0, took))
		}
		lasts = append(lasts, max(0, one[len(one)-1]))
	}
	sort.Float64s(all)
	return times{p50: all[len(all)/2], p99: all[min(len(all)-1, len(all)*99/100)], last: measure.Median(lasts)}
}

// push connects the streams, waits until all are loaded, then changes one endpoint at a time.
func push(ctx context.Context, server *xdsServer, s shape) (spread, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	names := make([]string, s.clusters)
	for i := range names {
		names[i] = fmt.Sprintf("svc-%04d", i)
	}
	var loaded atomic.Int64
	arrivals := make(chan applied, s.streams*4)
	streams, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait() }()
	before, begin := server.process.RSS(), time.Now()
	failed := make(chan error, s.streams)
	for i := range s.streams {
		c := &xdsClient{id: i, delta: s.delta, names: names, applied: arrivals, loaded: &loaded}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := c.run(streams, server.address); streams.Err() == nil {
				failed <- err
			}
		}()
	}
	for loaded.Load() < int64(s.streams*s.clusters) {
		select {
		case err := <-failed:
			return spread{}, fmt.Errorf("%s: a stream ended: %w", server.name, err)
		case <-ctx.Done():
			return spread{}, fmt.Errorf("%s: %d of %d resources loaded in time", server.name, loaded.Load(), s.streams*s.clusters)
		case <-time.After(time.Millisecond):
		}
	}
	out := spread{load: ms(time.Since(begin)), applied: s.streams}
	var sent, accepted [][]float64
	cpu := server.process.CPU()
	for n := range s.changes {
		took, until, err := oneChange(ctx, server, names[n%len(names)], uint32(10000+n), s.streams, arrivals, failed)
		if err != nil {
			return spread{}, fmt.Errorf("%s: change %d: %w", server.name, n, err)
		}
		out.applied = min(out.applied, len(took))
		sort.Float64s(took)
		sent = append(sent, took)
		after := make([]float64, len(took))
		for i := range took {
			after[i] = took[i] - until
		}
		accepted = append(accepted, after)
	}
	out.sent, out.accepted = timesOf(sent), timesOf(accepted)
	out.cpu = ms(server.process.CPU()-cpu) / float64(s.changes)
	out.memory = float64(server.process.RSS()-before) / 1024 / float64(s.streams)
	return out, nil
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// oneChange gives the time from sending until each client applied it, each once, and until the write was accepted.
func oneChange(ctx context.Context, server *xdsServer, name string, port uint32, streams int, arrivals <-chan applied, failed <-chan error) ([]float64, float64, error) {
	ctx, cancel := context.WithTimeout(ctx, changePatience)
	defer cancel()
	took := make([]float64, 0, streams)
	had := make([]bool, streams)
	sent := time.Now()
	accepted := make(chan error, 1)
	var acceptedAfter time.Duration
	go func() {
		err := server.change(ctx, name, port)
		acceptedAfter = time.Since(sent)
		accepted <- err
	}()
	for len(took) < streams {
		select {
		case a := <-arrivals:
			if a.name == name && a.port == port && !had[a.client] {
				had[a.client] = true
				took = append(took, ms(a.at.Sub(sent)))
			}
		case err := <-failed:
			return nil, 0, fmt.Errorf("a stream ended: %w", err)
		case <-ctx.Done():
			return nil, 0, fmt.Errorf("%d of %d clients had it in time", len(took), streams)
		}
	}
	err := <-accepted
	return took, ms(acceptedAfter), err
}

// startOurXDS starts one server of ours and registers the services.
func startOurXDS(ctx context.Context, group *procs.Group, opt options, s shape) (*xdsServer, error) {
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	region, err := group.StartRegion(ready, opt.binary, 1)
	if err != nil {
		return nil, err
	}
	conns, err := procs.Dial(region.Leader, 1)
	if err != nil {
		return nil, err
	}
	registry := pb.NewRegistryServiceClient(conns[0])
	if err := registerAll(ready, registry, s.clusters); err != nil {
		return nil, err
	}
	return &xdsServer{
		name: "supercluster", address: region.Leader, process: region.Servers[0],
		change: func(ctx context.Context, cluster string, port uint32) error {
			_, err := registry.RegisterInstance(ctx, instance(cluster, 0, port), grpc.WaitForReady(true))
			return err
		},
	}, nil
}

func instance(service string, i int, port uint32) *pb.RegisterInstanceRequest {
	return &pb.RegisterInstanceRequest{Instance: &pb.Instance{Service: service, Id: fmt.Sprintf("i%d", i), Address: fmt.Sprintf("10.0.0.%d", i+1), Port: port}}
}

func registerAll(ctx context.Context, registry pb.RegistryServiceClient, services int) error {
	const workers = 64
	errs := make(chan error, workers)
	for w := range workers {
		go func() {
			for n := w; n < services*endpointsPerCluster; n += workers {
				if _, err := registry.RegisterInstance(ctx, instance(fmt.Sprintf("svc-%04d", n/endpointsPerCluster), n%endpointsPerCluster, 9000)); err != nil {
					errs <- fmt.Errorf("register: %w", err)
					return
				}
			}
			errs <- nil
		}()
	}
	var first error
	for range workers {
		if err := <-errs; err != nil && first == nil {
			first = err
		}
	}
	return first
}

// startLinearCache starts the peer.
func startLinearCache(ctx context.Context, group *procs.Group, opt options, s shape) (*xdsServer, error) {
	ports, err := procs.FreePorts(2)
	if err != nil {
		return nil, err
	}
	address, control := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	process, err := group.Start("linearcache", filepath.Join(opt.peers, "linearcache"), "-listen", address, "-control", control,
		"-clusters", fmt.Sprint(s.clusters), "-endpoints", fmt.Sprint(endpointsPerCluster))
	if err != nil {
		return nil, err
	}
	change := func(ctx context.Context, cluster string, port uint32) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://%s/set?name=%s&port=%d", control, cluster, port), nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("linearcache answered %s", response.Status)
		}
		return nil
	}
	ready, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err = procs.WaitUntil(ready, "linearcache", func(ctx context.Context) bool { return change(ctx, "svc-0000", 9000) == nil }, process)
	return &xdsServer{name: "LinearCache", address: address, process: process, change: change}, err
}
