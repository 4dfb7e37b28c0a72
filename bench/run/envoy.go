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

// benchEnvoy measures, with one real Envoy under HTTP load, an endpoint change until Envoy has acknowledged it.
func benchEnvoy(ctx context.Context, opt options) ([]measure.Row, error) {
	envoy := procs.FindEnvoy("", ".")
	if envoy == "" {
		return nil, fmt.Errorf("there is no Envoy: run `make tools`, or set ENVOY_BIN")
	}
	changes, leaves := 60, 40
	if opt.quick {
		changes, leaves = 5, 2
	}
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
		measure.NewRow("accepted to acknowledged p50", "ms", ours.acceptedP50, peer.acceptedP50, name, least.echo, echoFloor),
		measure.NewRow("accepted to acknowledged max", "ms", ours.acceptedMax, peer.acceptedMax, name, least.echo, echoFloor),
		measure.NewRow("sent to acknowledged p50", "ms", ours.sentP50, peer.sentP50, name, least.path, pathFloor),
		{Name: fmt.Sprintf("failed of %d requests in %d leaves and returns", ours.requests, leaves), Unit: "requests", Ours: float64(ours.failed), PeerName: "not applicable"},
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

// startPeerEnvoy starts the bare LinearCache and Envoy with a static listener and one EDS cluster.
func startPeerEnvoy(_ context.Context, group *procs.Group, opt options, envoy string, addresses []string) (*controlPlane, string, error) {
	ports, err := procs.FreePorts(3)
	if err != nil {
		return nil, "", err
	}
	address, control := fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	if _, err := group.Start("linearcache", filepath.Join(opt.peers, "linearcache"), "-listen", address, "-control", control, "-backends", strings.Join(addresses, ",")); err != nil {
		return nil, "", err
	}
	plane := &controlPlane{
		name: "LinearCache",
		change: func(ctx context.Context, weight uint32) error {
			_, err := fetch(ctx, http.MethodPost, fmt.Sprintf("http://%s/weight?weight=%d", control, weight))
			return err
		},
		acked: func(ctx context.Context) (string, time.Time, error) {
			body, err := fetch(ctx, http.MethodGet, "http://"+control+"/acked")
			var count, at int64
			fmt.Sscan(body, &count, &at)
			return fmt.Sprint(count), time.Unix(0, at), err
		},
	}
	return plane, fmt.Sprintf("http://127.0.0.1:%d/", ports[2]), runEnvoy(group, envoy, fmt.Sprintf(peerBootstrap, ports[2], ports[0]))
}

func fetch(ctx context.Context, method, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answered %s: %s", url, response.Status, body)
	}
	return string(body), err
}

const peerBootstrap = `
node: {id: peer, cluster: peer}
dynamic_resources:
  ads_config: {api_type: DELTA_GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds}}]}
static_resources:
  listeners:
  - name: http
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: web}}]}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: web
    type: EDS
    connect_timeout: 0.25s
    eds_cluster_config: {eds_config: {ads: {}, resource_api_version: V3}}
  - name: xds
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}}]}]
`
