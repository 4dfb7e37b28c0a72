// Command linearcache is go-control-plane's LinearCache behind its own server, as the peer of the xDS benchmark:
// N endpoint resources, one of which is set again when POST /set?name=...&port=... asks for it.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:18000", "gRPC address")
	control := flag.String("control", "127.0.0.1:18001", "HTTP address that takes changes")
	clusters := flag.Int("clusters", 100, "number of endpoint resources")
	endpoints := flag.Int("endpoints", 10, "endpoints in each")
	backends := flag.String("backends", "", "host:port list of one cluster `web`, in place of the others; /weight sets the first one's weight")
	flag.Parse()

	resources := map[string]types.Resource{}
	for i := range *clusters {
		name := fmt.Sprintf("svc-%04d", i)
		resources[name] = assignment(name, *endpoints, 9000)
	}
	if *backends != "" {
		resources = map[string]types.Resource{"web": weighted(strings.Split(*backends, ","), 100)}
	}
	linear := cache.NewLinearCache(resource.EndpointType, cache.WithInitialResources(resources))
	mux := &cache.MuxCache{
		Classify:      func(r *cache.Request) string { return r.GetTypeUrl() },
		ClassifyDelta: func(r *cache.DeltaRequest) string { return r.GetTypeUrl() },
		Caches:        map[string]cache.Cache{resource.EndpointType: linear},
	}
	http.HandleFunc("POST /set", func(w http.ResponseWriter, r *http.Request) {
		name := r.URL.Query().Get("name")
		port, err := strconv.Atoi(r.URL.Query().Get("port"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if err := linear.UpdateResource(name, assignment(name, *endpoints, uint32(port))); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	http.HandleFunc("POST /weight", func(w http.ResponseWriter, r *http.Request) {
		weight, err := strconv.Atoi(r.URL.Query().Get("weight"))
		if err == nil {
			err = linear.UpdateResource("web", weighted(strings.Split(*backends, ","), uint32(weight)))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	// /acked answers how many acknowledgements came and when the last one did, in Unix nanoseconds.
	var acks, last atomic.Int64
	http.HandleFunc("GET /acked", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, acks.Load(), " ", last.Load()) })
	go func() { log.Fatal(http.ListenAndServe(*control, nil)) }()
	callbacks := server.CallbackFuncs{StreamDeltaRequestFunc: func(_ int64, r *discoveryv3.DeltaDiscoveryRequest) error {
		if r.ResponseNonce != "" && r.ErrorDetail == nil {
			last.Store(time.Now().UnixNano())
			acks.Add(1)
		}
		return nil
	}}

	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s, server.NewServer(context.Background(), mux, callbacks))
	log.Fatal(s.Serve(l))
}

// assignment has n endpoints; the first one's port carries the change.
func assignment(name string, n int, port uint32) *endpointv3.ClusterLoadAssignment {
	locality := &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Region: "dc1"}}
	for i := range n {
		p := uint32(9000)
		if i == 0 {
			p = port
		}
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HealthStatus: corev3.HealthStatus_HEALTHY,
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
				SocketAddress: &corev3.SocketAddress{Address: fmt.Sprintf("10.0.0.%d", i+1), PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: p}},
			}}}},
		})
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{locality}}
}

// weighted is the cluster `web` with given backends; the first one's weight carries the change.
func weighted(backends []string, weight uint32) *endpointv3.ClusterLoadAssignment {
	locality := &endpointv3.LocalityLbEndpoints{Locality: &corev3.Locality{Region: "dc1"}}
	for i, backend := range backends {
		host, port, _ := strings.Cut(backend, ":")
		number, err := strconv.Atoi(port)
		if err != nil {
			log.Fatalf("cannot read the backend %q: %v", backend, err)
		}
		share := uint32(100)
		if i == 0 {
			share = weight
		}
		locality.LbEndpoints = append(locality.LbEndpoints, &endpointv3.LbEndpoint{
			HealthStatus:        corev3.HealthStatus_HEALTHY,
			LoadBalancingWeight: wrapperspb.UInt32(share),
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
				SocketAddress: &corev3.SocketAddress{Address: host, PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(number)}},
			}}}},
		})
	}
	return &endpointv3.ClusterLoadAssignment{ClusterName: "web", Endpoints: []*endpointv3.LocalityLbEndpoints{locality}}
}
