package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"supercluster/internal/procs"
)

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
