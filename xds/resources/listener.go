package resources

import (
	"net/netip"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"supercluster/xds/ir"
)

const (
	headersTimeout    = 10 * time.Second
	streamIdleTimeout = 5 * time.Minute
	connIdleTimeout   = 10 * time.Minute
	bufferLimit       = 1 << 20

	// What one HTTP/2 connection of a client may hold at the border.
	maxStreams       = 100
	streamWindow     = 64 << 10
	connectionWindow = 1 << 20

	routerName = "envoy.filters.http.router"
	hcmName    = "envoy.filters.network.http_connection_manager"
	serverName = "supercluster"
)

// EnvoyListener writes the listener of an Envoy: HTTP on an address, routes by name from the same stream.
func EnvoyListener(role ir.Role, namespace string, listen netip.AddrPort) (*Resource, error) {
	name := ListenerName(role, namespace, listen.String())
	manager, err := connectionManager(role, RouteName(role, namespace))
	if err != nil {
		return nil, err
	}
	filter, err := pack(manager)
	if err != nil {
		return nil, err
	}
	m := &listenerv3.Listener{
		Name:                          name,
		Address:                       socketAddress(listen),
		PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit),
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name:       hcmName,
			ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: filter},
		}}}},
	}
	if role == ir.RoleSidecar {
		m.TrafficDirection = corev3.TrafficDirection_OUTBOUND
	}
	return encode(Listener, name, m)
}

// connectionManager is how an Envoy treats connections. At the border nothing a client says about itself is
// believed and paths are made plain before routes see them; beside a program Envoy changes as little as it can.
func connectionManager(role ir.Role, route string) (*hcmv3.HttpConnectionManager, error) {
	m, err := managerFor(string(role), route)
	if err != nil {
		return nil, err
	}
	m.NormalizePath = wrapperspb.Bool(true)
	m.CommonHttpProtocolOptions = &corev3.HttpProtocolOptions{IdleTimeout: durationpb.New(connIdleTimeout)}
	m.RequestHeadersTimeout = durationpb.New(headersTimeout)
	m.StreamIdleTimeout = durationpb.New(streamIdleTimeout)
	m.ServerName = serverName
	m.UpgradeConfigs = []*hcmv3.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
	if role == ir.RoleSidecar {
		m.ServerHeaderTransformation = hcmv3.HttpConnectionManager_PASS_THROUGH
		return m, nil
	}
	m.UseRemoteAddress = wrapperspb.Bool(true)
	m.MergeSlashes = true
	m.PathWithEscapedSlashesAction = hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT
	m.Http2ProtocolOptions = &corev3.Http2ProtocolOptions{
		MaxConcurrentStreams:        wrapperspb.UInt32(maxStreams),
		InitialStreamWindowSize:     wrapperspb.UInt32(streamWindow),
		InitialConnectionWindowSize: wrapperspb.UInt32(connectionWindow),
	}
	return m, nil
}

// GRPCListener writes the listener that a gRPC client asks for by its target.
func GRPCListener(c ir.Cluster) (*Resource, error) {
	manager, err := managerFor("", c.Name)
	if err != nil {
		return nil, err
	}
	api, err := pack(manager)
	if err != nil {
		return nil, err
	}
	return encode(Listener, c.Name, &listenerv3.Listener{
		Name:        c.Name,
		ApiListener: &listenerv3.ApiListener{ApiListener: api},
	})
}

// managerFor is what the connection managers of all clients share.
func managerFor(stats, route string) (*hcmv3.HttpConnectionManager, error) {
	router, err := pack(&routerv3.Router{})
	if err != nil {
		return nil, err
	}
	if stats == "" {
		stats = "grpc"
	}
	return &hcmv3.HttpConnectionManager{
		StatPrefix: stats,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{
			ConfigSource:    configSource(),
			RouteConfigName: route,
		}},
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       routerName,
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router},
		}},
	}, nil
}
