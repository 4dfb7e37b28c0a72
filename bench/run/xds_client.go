package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"supercluster/internal/procs"
)

const endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

// xdsClient is one stream that subscribes to endpoint resources by name, decodes what changes and acknowledges it.
type xdsClient struct {
	id      int
	delta   bool
	names   []string
	applied chan<- applied
	// loaded counts the resources that the stream has seen for the first time.
	loaded *atomic.Int64
}

// applied says that a client has decoded a resource with a port in its first endpoint.
type applied struct {
	client int
	name   string
	port   uint32
	at     time.Time
}

func (c *xdsClient) node() *corev3.Node {
	metadata, _ := structpb.NewStruct(map[string]any{"sc.role": "sidecar", "sc.listen": "127.0.0.1:1"})
	return &corev3.Node{Id: fmt.Sprintf("bench-%d", c.id), Cluster: "bench", Metadata: metadata, UserAgentName: "bench"}
}

// run opens the stream and reads until ctx ends.
func (c *xdsClient) run(ctx context.Context, address string) error {
	conns, err := procs.Dial(address, 1)
	if err != nil {
		return err
	}
	defer conns[0].Close()
	client := discoveryv3.NewAggregatedDiscoveryServiceClient(conns[0])
	if c.delta {
		return c.runDelta(ctx, client)
	}
	return c.runSotW(ctx, client)
}

func (c *xdsClient) runDelta(ctx context.Context, client discoveryv3.AggregatedDiscoveryServiceClient) error {
	stream, err := client.DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: c.node(), TypeUrl: endpointType, ResourceNamesSubscribe: c.names})
	for err == nil {
		var response *discoveryv3.DeltaDiscoveryResponse
		if response, err = stream.Recv(); err != nil {
			break
		}
		now := time.Now()
		for _, r := range response.Resources {
			c.decoded(r.Resource.Value, now)
		}
		err = stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: endpointType, ResponseNonce: response.Nonce})
	}
	return err
}

func (c *xdsClient) runSotW(ctx context.Context, client discoveryv3.AggregatedDiscoveryServiceClient) error {
	stream, err := client.StreamAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	err = stream.Send(&discoveryv3.DiscoveryRequest{Node: c.node(), TypeUrl: endpointType, ResourceNames: c.names})
	for err == nil {
		var response *discoveryv3.DiscoveryResponse
		if response, err = stream.Recv(); err != nil {
			break
		}
		now := time.Now()
		for _, r := range response.Resources {
			c.decoded(r.Value, now)
		}
		err = stream.Send(&discoveryv3.DiscoveryRequest{TypeUrl: endpointType, ResponseNonce: response.Nonce, VersionInfo: response.VersionInfo, ResourceNames: c.names})
	}
	return err
}

// decoded reads one resource, as a real client does, and reports it.
func (c *xdsClient) decoded(value []byte, at time.Time) {
	var a endpointv3.ClusterLoadAssignment
	if proto.Unmarshal(value, &a) != nil {
		return
	}
	for _, locality := range a.Endpoints {
		for _, e := range locality.LbEndpoints {
			port := e.GetEndpoint().GetAddress().GetSocketAddress().GetPortValue()
			if port != 9000 {
				c.applied <- applied{client: c.id, name: a.ClusterName, port: port, at: at}
				return
			}
		}
	}
	c.loaded.Add(1)
}
