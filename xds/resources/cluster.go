package resources

import (
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/ir"
)

const (
	connectTimeout      = 250 * time.Millisecond
	upstreamIdleTimeout = time.Minute
	upstreamKeepalive   = 30 * time.Second
	keepaliveTimeout    = 5 * time.Second

	// From what a request waits on a connection whose other end acknowledges nothing, it is as good as gone.
	unacknowledgedTimeout = 2 * time.Second

	// The bounds of what one Envoy has in flight to one cluster. They guard Envoy; they are not a traffic policy.
	maxRequests = 65_536
	maxRetries  = 1_024

	httpOptionsName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
)

// EnvoyCluster writes a cluster for Envoy.
func EnvoyCluster(c ir.Cluster) (*Resource, error) {
	m := edsCluster(c.Name)
	m.ConnectTimeout = durationpb.New(connectTimeout)
	m.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{
		// The plan says who gets requests. Panic mode would send them to endpoints that it excluded.
		HealthyPanicThreshold: &typev3.Percent{Value: 0},
		// An endpoint that leaves must lose its traffic now, not when a window of merged updates ends.
		UpdateMergeWindow: durationpb.New(0),
	}
	// Half of the endpoints always stay, so that a service of one instance is never ejected as a whole.
	m.OutlierDetection = outlierDetection()
	m.UpstreamBindConfig = &corev3.BindConfig{SocketOptions: []*corev3.SocketOption{unacknowledged()}}
	m.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     wrapperspb.UInt32(maxRequests),
		MaxPendingRequests: wrapperspb.UInt32(maxRequests),
		MaxRequests:        wrapperspb.UInt32(maxRequests),
		MaxRetries:         wrapperspb.UInt32(maxRetries),
	}}}
	if c.Protocol != pb.Protocol_PROTOCOL_TCP {
		options, err := pack(httpOptions(c.Protocol))
		if err != nil {
			return nil, err
		}
		m.TypedExtensionProtocolOptions = map[string]*anypb.Any{httpOptionsName: options}
	}
	return encode(Cluster, c.Name, m)
}

// GRPCCluster writes a cluster for gRPC clients.
func GRPCCluster(c ir.Cluster) (*Resource, error) {
	m := edsCluster(c.Name)
	m.CircuitBreakers = &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxRequests: wrapperspb.UInt32(maxRequests),
	}}}
	return encode(Cluster, c.Name, m)
}

// edsCluster is what the clusters of all clients share. The endpoints go by the cluster's own name: two clusters
// with one assignment would wait for each other.
func edsCluster(name string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig:     &clusterv3.Cluster_EdsClusterConfig{EdsConfig: configSource()},
		LbPolicy:             clusterv3.Cluster_ROUND_ROBIN,
	}
}

// httpOptions says which HTTP a cluster's endpoints speak.
func httpOptions(p pb.Protocol) *httpv3.HttpProtocolOptions {
	explicit := &httpv3.HttpProtocolOptions_ExplicitHttpConfig{}
	if p == pb.Protocol_PROTOCOL_GRPC || p == pb.Protocol_PROTOCOL_HTTP2 {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &corev3.Http2ProtocolOptions{ConnectionKeepalive: &corev3.KeepaliveSettings{
				Interval: durationpb.New(upstreamKeepalive),
				Timeout:  durationpb.New(keepaliveTimeout),
			}},
		}
	} else {
		explicit.ProtocolConfig = &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		}
	}
	return &httpv3.HttpProtocolOptions{
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(upstreamIdleTimeout)},
		UpstreamProtocolOptions:   &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
	}
}

// pack validates an extension's message and encodes it the same way every time.
func pack(m proto.Message) (*anypb.Any, error) {
	if v, ok := m.(validated); ok {
		if err := v.ValidateAll(); err != nil {
			return nil, err
		}
	}
	packed := &anypb.Any{}
	err := anypb.MarshalFrom(packed, m, proto.MarshalOptions{Deterministic: true})
	return packed, err
}

// unacknowledged is TCP_USER_TIMEOUT of Linux. A region behind a black hole resets no connection: without it, what is in
// flight there would wait for the time-out of the request instead of being tried again elsewhere.
func unacknowledged() *corev3.SocketOption {
	const levelTCP, userTimeout = 6, 18
	return &corev3.SocketOption{
		Description: "TCP_USER_TIMEOUT",
		Level:       levelTCP,
		Name:        userTimeout,
		Value:       &corev3.SocketOption_IntValue{IntValue: unacknowledgedTimeout.Milliseconds()},
	}
}

// outlierDetection takes out an endpoint that fails before the control plane's checks have noticed. It lets it back in
// soon: Envoy's default of 30 s, looked at every 10 s, would keep an endpoint out long after its checks pass again.
func outlierDetection() *clusterv3.OutlierDetection {
	return &clusterv3.OutlierDetection{
		MaxEjectionPercent: wrapperspb.UInt32(50),
		Interval:           durationpb.New(time.Second),
		BaseEjectionTime:   durationpb.New(2 * time.Second),
		MaxEjectionTime:    durationpb.New(10 * time.Second),
	}
}
