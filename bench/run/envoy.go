package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/bench/measure"
	"supercluster/internal/procs"
)

// controlPlane is a control plane that one real Envoy follows.
type controlPlane struct {
	name string
	// change sets the weight of the first backend and returns when that is accepted.
	change func(ctx context.Context, weight uint32) error
	// acked gives how many endpoint updates Envoy has acknowledged, as a token that changes, and when the last was.
	acked func(ctx context.Context) (string, time.Time, error)
	// drain and restore take the first backend out gracefully and bring it back; nil where the peer has no such thing.
	drain, restore func(ctx context.Context) error
}

// backends are HTTP servers in this process.
func backends(n int) (addresses []string, stop func(), err error) {
	var servers []*http.Server
	stop = func() {
		for _, s := range servers {
			_ = s.Close()
		}
	}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			stop()
			return nil, nil, err
		}
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }), ReadHeaderTimeout: time.Second}
		servers, addresses = append(servers, s), append(addresses, l.Addr().String())
		go func() { _ = s.Serve(l) }()
	}
	return addresses, stop, nil
}

// httpLoad is closed-loop HTTP load through Envoy.
type httpLoad struct {
	total, failed atomic.Int64
	problem       atomic.Value
}

func (h *httpLoad) run(ctx context.Context, url string, clients int) {
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	defer transport.CloseIdleConnections()
	done := make(chan struct{})
	for range clients {
		go func() {
			for ctx.Err() == nil {
				h.once(ctx, client, url)
			}
			done <- struct{}{}
		}()
	}
	for range clients {
		<-done
	}
}

func (h *httpLoad) once(ctx context.Context, client *http.Client, url string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	request.Host = "bench.example"
	response, err := client.Do(request)
	if ctx.Err() != nil {
		return
	}
	h.total.Add(1)
	switch {
	case err != nil:
		h.failed.Add(1)
		h.problem.Store(err.Error())
	default:
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			h.failed.Add(1)
			h.problem.Store(response.Status)
		}
	}
}

const (
	ackRow    = "accepted to acknowledged p50"
	failedRow = "failed of them"
)

func requestsRow(leaves int) string {
	return fmt.Sprintf("requests in changes, and %d leaves and returns", leaves)
}

// envoySizes are how many changes are acknowledged, and how often a backend leaves and returns.
func envoySizes(opt options) (changes, leaves int) {
	if opt.quick {
		return 20, 10
	}
	return 60, 40
}

// benchEnvoy measures, with one real Envoy under HTTP load, an endpoint change until Envoy has acknowledged it.
func benchEnvoy(ctx context.Context, opt options) ([]measure.Row, error) {
	envoy := procs.FindEnvoy("", ".")
	if envoy == "" {
		return nil, fmt.Errorf("there is no Envoy: run `make tools`, or set ENVOY_BIN")
	}
	changes, leaves := envoySizes(opt)
	var ours, peer envoyFigures
	for _, one := range []struct {
		start func(context.Context, *procs.Group, options, string, []string) (*controlPlane, string, error)
		to    *envoyFigures
	}{{startOurEnvoy, &ours}, {startPeerEnvoy, &peer}} {
		figures, err := followEnvoy(ctx, opt, envoy, one.start, changes, leaves)
		if err != nil {
			return nil, err
		}
		*one.to = figures
	}
	least, err := measureFloors(ctx, opt)
	if err != nil {
		return nil, err
	}
	const name = "bare LinearCache"
	return []measure.Row{
		measure.NewRow(ackRow, "ms", ours.acceptedP50, peer.acceptedP50, name, least.echo, echoFloor),
		measure.NewRow("accepted to acknowledged max", "ms", ours.acceptedMax, peer.acceptedMax, name, least.echo, echoFloor),
		measure.NewRow("sent to acknowledged p50", "ms", ours.sentP50, peer.sentP50, name, least.path, pathFloor),
		{Name: requestsRow(leaves), Unit: "requests", Count: true, Ours: float64(ours.requests)},
		{Name: failedRow, Unit: "requests", Count: true, Ours: float64(ours.failed)},
	}, nil
}

// envoyFigures are what one control plane gave, in milliseconds.
type envoyFigures struct {
	acceptedP50, acceptedMax, sentP50 float64
	requests, failed                  int64
}

type startEnvoyFunc func(context.Context, *procs.Group, options, string, []string) (*controlPlane, string, error)

func followEnvoy(ctx context.Context, opt options, envoy string, start startEnvoyFunc, changes, leaves int) (envoyFigures, error) {
	var out envoyFigures
	group, err := procs.NewGroup()
	if err != nil {
		return out, err
	}
	defer group.Close()
	addresses, stopBackends, err := backends(3)
	if err != nil {
		return out, err
	}
	defer stopBackends()
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	plane, url, err := start(starting, group, opt, envoy, addresses)
	if err != nil {
		return out, err
	}
	if err := procs.WaitUntil(starting, plane.name+" with Envoy", func(ctx context.Context) bool { return serves(ctx, url) }); err != nil {
		return out, err
	}
	var load httpLoad
	loading, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); load.run(loading, url, 4) }()
	defer func() { stop(); <-done }()

	var sent, accepted []float64
	for n := range changes {
		a, b, err := oneAck(ctx, plane, uint32(101+n))
		if err != nil {
			return out, fmt.Errorf("%s: change %d: %w", plane.name, n, err)
		}
		sent, accepted = append(sent, a), append(accepted, b)
	}
	if plane.drain != nil {
		for n := range leaves {
			if err := leaveAndReturn(ctx, plane); err != nil {
				return out, fmt.Errorf("leave %d: %w", n, err)
			}
		}
	}
	stop()
	<-done
	sort.Float64s(accepted)
	out.acceptedP50, out.acceptedMax, out.sentP50 = measure.Median(accepted), accepted[len(accepted)-1], measure.Median(sent)
	out.requests, out.failed = load.total.Load(), load.failed.Load()
	if out.failed > 0 {
		fmt.Fprintf(os.Stderr, "%s: %d of %d requests failed, the last: %v\n", plane.name, out.failed, out.requests, load.problem.Load())
	}
	return out, nil
}

func serves(ctx context.Context, url string) bool {
	var probe httpLoad
	probe.once(ctx, &http.Client{Timeout: time.Second}, url)
	return probe.total.Load() == 1 && probe.failed.Load() == 0
}

// oneAck gives, in milliseconds, the time from sending a change and from its acceptance to Envoy's acknowledgement.
func oneAck(ctx context.Context, plane *controlPlane, weight uint32) (sent, accepted float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	before, _, err := plane.acked(ctx)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	if err := plane.change(ctx, weight); err != nil {
		return 0, 0, err
	}
	ok := time.Now()
	for {
		token, at, err := plane.acked(ctx)
		if err != nil {
			return 0, 0, err
		}
		if token != before {
			return ms(at.Sub(begin)), max(0, ms(at.Sub(ok))), nil
		}
	}
}

// leaveAndReturn drains the first backend, gives Envoy time to move its traffic, and brings it back.
func leaveAndReturn(ctx context.Context, plane *controlPlane) error {
	for _, step := range []func(context.Context) error{plane.drain, plane.restore} {
		if err := step(ctx); err != nil {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func runEnvoy(group *procs.Group, envoy, bootstrap string) error {
	path := filepath.Join(group.Dir, "envoy.yaml")
	if err := os.WriteFile(path, []byte(bootstrap), 0o600); err != nil {
		return err
	}
	_, err := group.Start("envoy", envoy, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id")
	return err
}

// startOurEnvoy starts one server of ours, three instances, a route and Envoy from our bootstrap.
func startOurEnvoy(ctx context.Context, group *procs.Group, opt options, envoy string, addresses []string) (*controlPlane, string, error) {
	region, err := group.StartRegion(ctx, opt.binary, 1)
	if err != nil {
		return nil, "", err
	}
	conns, err := procs.Dial(region.Leader, 1)
	if err != nil {
		return nil, "", err
	}
	registry, proxies := pb.NewRegistryServiceClient(conns[0]), pb.NewProxyServiceClient(conns[0])
	register := func(ctx context.Context, i int, weight uint32) error {
		host, port, _ := strings.Cut(addresses[i], ":")
		var number uint32
		fmt.Sscan(port, &number)
		_, err := registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{Service: "web", Id: fmt.Sprintf("web-%d", i), Address: host, Port: number, Weight: weight}})
		return err
	}
	for i := range addresses {
		if err := register(ctx, i, 100); err != nil {
			return nil, "", err
		}
	}
	if _, err := registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "web", Hosts: []string{"bench.example"}, Prefix: "/", Service: "web"}}); err != nil {
		return nil, "", err
	}
	ports, err := procs.FreePorts(2)
	if err != nil {
		return nil, "", err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	cmd := exec.CommandContext(ctx, opt.binary, "proxy", "bootstrap", "edge-1", "--listen", listen, "--admin", fmt.Sprintf("127.0.0.1:%d", ports[1]), "--server", region.Leader)
	bootstrap, err := cmd.Output()
	if err != nil {
		return nil, "", fmt.Errorf("proxy bootstrap: %w", err)
	}
	plane := &controlPlane{
		name:   "supercluster",
		change: func(ctx context.Context, weight uint32) error { return register(ctx, 0, weight) },
		acked:  func(ctx context.Context) (string, time.Time, error) { return ackedEndpoint(ctx, proxies) },
		drain: func(ctx context.Context) error {
			_, err := registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "web-0"})
			return err
		},
		restore: func(ctx context.Context) error { return register(ctx, 0, 100) },
	}
	return plane, "http://" + listen + "/", runEnvoy(group, envoy, string(bootstrap))
}

// ackedEndpoint gives the endpoint version that Envoy last acknowledged, and when.
func ackedEndpoint(ctx context.Context, proxies pb.ProxyServiceClient) (string, time.Time, error) {
	answer, err := proxies.GetProxy(ctx, &pb.GetProxyRequest{Id: "edge-1"})
	if err != nil {
		return "", time.Time{}, err
	}
	now := time.Now()
	for _, p := range answer.Proxies {
		for _, t := range p.Types {
			if t.Type == "endpoint" {
				return t.VersionAcked, now.Add(-t.AckedAge.AsDuration()), nil
			}
		}
	}
	return "", time.Time{}, fmt.Errorf("the server does not show Envoy's endpoints")
}
