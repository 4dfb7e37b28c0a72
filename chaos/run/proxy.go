package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"supercluster/chaos/load"
	"supercluster/internal/procs"

	pb "supercluster/api/gen/supercluster/v1"
)

const (
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	requestRate  = 200 // through Envoy, a second
	envoyID      = "edge-1"
)

// proxy is the data plane of a run: backends in this process, of which one serves, a real Envoy under load, and a raw
// delta client that looks at every endpoint set that any server sends.
type proxy struct {
	load     *load.Load
	region   *procs.Region
	backends []*http.Server // all there ever were: they end with the run
	serving  string
	begin    time.Time

	sets       atomic.Int64 // endpoint sets that the raw client got
	empty      atomic.Int64 // of them, without an endpoint
	reconnects atomic.Int64
}

// startProxy registers a backend and starts Envoy in front of it; nil without an Envoy.
func startProxy(ctx context.Context, group *procs.Group, region *procs.Region, binary, envoy string) (*proxy, error) {
	if envoy == "" {
		fmt.Println("SKIP the proxy part: there is no Envoy; run `make tools`, or set ENVOY_BIN")
		return nil, nil
	}
	p := &proxy{region: region}
	name, port, err := p.serve()
	if err != nil {
		return nil, err
	}
	if err := register(ctx, region, name, port); err != nil {
		return nil, err
	}
	p.serving = name
	ports, err := procs.FreePorts(2)
	if err != nil {
		return nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", ports[0])
	cmd := exec.CommandContext(ctx, binary, "proxy", "bootstrap", envoyID, "--listen", listen, "--admin", fmt.Sprintf("127.0.0.1:%d", ports[1]))
	cmd.Env = append(os.Environ(), "SUPERCLUSTER_SERVER="+region.Leader)
	bootstrap, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("proxy bootstrap: %w", err)
	}
	path := filepath.Join(group.Dir, "envoy.yaml")
	if err := os.WriteFile(path, bootstrap, 0o600); err != nil {
		return nil, err
	}
	process, err := group.Start("envoy", envoy, "-c", path, "--concurrency", "1", "--log-level", "error", "--use-dynamic-base-id")
	if err != nil {
		return nil, err
	}
	p.load = load.New("http://"+listen+"/", "chaos.example")
	serving := func(context.Context) bool {
		from := time.Now()
		p.load.Once()
		return p.load.Between(from, from.Add(time.Hour)).Failed == 0
	}
	return p, procs.WaitUntil(ctx, "Envoy", serving, process)
}

// register makes the service, with one backend, and the route to it.
func register(ctx context.Context, region *procs.Region, name string, port uint32) error {
	conns, err := procs.Dial(region.Leader, 1)
	if err != nil {
		return err
	}
	defer conns[0].Close()
	registry := pb.NewRegistryServiceClient(conns[0])
	if _, err = registry.RegisterInstance(ctx, instance(name, port)); err != nil {
		return fmt.Errorf("register: %w", err)
	}
	_, err = registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "web", Hosts: []string{"chaos.example"}, Prefix: "/", Service: "web"}})
	if err != nil {
		return fmt.Errorf("route: %w", err)
	}
	return nil
}

// instance is a backend of the service, checked by the servers.
func instance(name string, port uint32) *pb.RegisterInstanceRequest {
	return &pb.RegisterInstanceRequest{Instance: &pb.Instance{
		Service: "web", Id: name, Address: "127.0.0.1", Port: port,
		Checks: []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_HTTP, Path: "/"}},
	}}
}

// run sends load and watches endpoint sets until ctx ends.
func (p *proxy) run(ctx context.Context) {
	if p == nil {
		return
	}
	p.begin = time.Now()
	done := make(chan struct{})
	go func() { defer close(done); p.watch(ctx) }()
	p.load.Run(ctx, requestRate)
	<-done
	for _, backend := range p.backends {
		_ = backend.Close()
	}
}

// watch keeps a delta stream open, on one node after the other.
func (p *proxy) watch(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		_ = p.stream(ctx, p.region.GRPC[i%len(p.region.GRPC)])
		p.reconnects.Add(1)
		select {
		case <-time.After(backOff):
		case <-ctx.Done():
		}
	}
}

// stream follows one server until it dies, two seconds at most: then the next one is asked.
func (p *proxy) stream(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	conns, err := procs.Dial(address, 1)
	if err != nil {
		return err
	}
	defer conns[0].Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conns[0]).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	metadata, err := structpb.NewStruct(map[string]any{"sc.role": "edge", "sc.listen": "127.0.0.1:1"})
	if err != nil {
		return err
	}
	err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "chaos", Cluster: "chaos", Metadata: metadata}, TypeUrl: endpointType, ResourceNamesSubscribe: []string{"web"}})
	for err == nil {
		var response *discoveryv3.DeltaDiscoveryResponse
		if response, err = stream.Recv(); err != nil {
			break
		}
		p.look(response)
		err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: endpointType, ResponseNonce: response.Nonce})
	}
	return err
}

// look counts the sets of a response, and those that are empty or taken away.
func (p *proxy) look(response *discoveryv3.DeltaDiscoveryResponse) {
	p.empty.Add(int64(len(response.RemovedResources)))
	for _, resource := range response.Resources {
		var set endpointv3.ClusterLoadAssignment
		if proto.Unmarshal(resource.Resource.GetValue(), &set) != nil {
			continue
		}
		p.sets.Add(1)
		usable := 0
		for _, locality := range set.Endpoints {
			for _, e := range locality.LbEndpoints {
				if e.HealthStatus == corev3.HealthStatus_HEALTHY || e.HealthStatus == corev3.HealthStatus_UNKNOWN {
					usable++
				}
			}
		}
		if usable == 0 {
			p.empty.Add(1)
		}
	}
}

func (p *proxy) judge(r *runner) {
	if p == nil {
		return
	}
	c := p.load.Between(p.begin, time.Now())
	r.Check(c.Failed == 0 && c.Total > 0, "Envoy served %d requests, %d failed %s", c.Total, c.Failed, strings.TrimSpace(c.Problem))
	r.Check(p.empty.Load() == 0 && p.sets.Load() > 0, "%d endpoint sets from %d streams, %d without a usable endpoint", p.sets.Load(), p.reconnects.Load(), p.empty.Load())
}
