package resources

import (
	"encoding/json"
	"slices"
	"strings"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3" // protojson reads its @type
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"supercluster/internal/fault"
	"supercluster/xds/ir"
)

// EnvoyBootstrapOptions is what an Envoy bootstrap says.
type EnvoyBootstrapOptions struct {
	ID        string   // node.id
	Servers   []string // host:port of every server of the region
	Region    string
	Zone      string
	Tenant    string
	Namespace string
	Role      string // edge or sidecar; empty is edge
	Listen    string // address and port that Envoy listens on
	Admin     string // host:port of its admin interface; empty is a free port of 127.0.0.1
	TLS       *TLS   // nil: plaintext
}

// object is a JSON object. The bootstrap is written as plain data, the way its manual shows it, and then checked
// against Envoy's own message.
type object = map[string]any

// xdsCluster is the name of the cluster of servers in an Envoy.
const xdsCluster = "supercluster"

// EnvoyBootstrap makes a bootstrap for Envoy, in YAML. It names every server, so that Envoy goes to another when
// one is lost, and notices a lost one by keepalive.
func EnvoyBootstrap(o EnvoyBootstrapOptions) ([]byte, error) {
	role := ir.Role(o.Role)
	if role == "" {
		role = ir.RoleEdge
	}
	if role != ir.RoleEdge && role != ir.RoleSidecar {
		return nil, fault.Field("role", "%q is neither edge nor sidecar", o.Role)
	}
	if o.Admin == "" {
		o.Admin = "127.0.0.1:0"
	}
	p := place{ID: o.ID, Region: o.Region, Zone: o.Zone, Tenant: o.Tenant, Namespace: o.Namespace}
	if err := p.validate(); err != nil {
		return nil, err
	}
	listen, err := ParseListen("listen", o.Listen)
	if err != nil {
		return nil, err
	}
	admin, err := parseAddress("admin", o.Admin)
	if err != nil {
		return nil, err
	}
	cluster, err := serverCluster(o.Servers, o.TLS)
	if err != nil {
		return nil, err
	}
	metadata := p.metadata(role)
	metadata[MetadataListen] = listen.String()
	return bootstrapYAML(object{
		"node": object{
			"id": o.ID, "cluster": string(role), "metadata": metadata, "locality": p.locality(),
		},
		"admin":             object{"address": socket(admin)},
		"dynamic_resources": dynamicResources(),
		"static_resources":  object{"clusters": []any{cluster}},
	})
}

func dynamicResources() object {
	ads := object{"ads": object{}, "resource_api_version": "V3"}
	return object{
		"ads_config": object{
			"api_type":                       "DELTA_GRPC",
			"transport_api_version":          "V3",
			"set_node_on_first_message_only": true,
			"grpc_services": []any{object{"envoy_grpc": object{
				"cluster_name": xdsCluster,
				"retry_policy": object{"retry_back_off": object{"base_interval": "0.25s", "max_interval": "5s"}},
			}}},
		},
		"cds_config": ads,
		"lds_config": ads,
	}
}

// serverCluster is the cluster of the servers.
func serverCluster(servers []string, tls *TLS) (object, error) {
	addresses, err := parseServers(servers)
	if err != nil {
		return nil, err
	}
	if err := tls.validate(); err != nil {
		return nil, err
	}
	kind := "STATIC"
	var endpoints []any
	for _, a := range addresses {
		if !a.ip() {
			kind = "STRICT_DNS"
		}
		endpoints = append(endpoints, object{"endpoint": object{"address": socket(a)}})
	}
	cluster := object{
		"name":            xdsCluster,
		"type":            kind,
		"connect_timeout": "1s",
		"lb_policy":       "ROUND_ROBIN",
		"load_assignment": object{
			"cluster_name": xdsCluster,
			"endpoints":    []any{object{"lb_endpoints": endpoints}},
		},
		"typed_extension_protocol_options": object{httpOptionsName: object{
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": object{"http2_protocol_options": object{
				"connection_keepalive": object{"interval": "10s", "timeout": "3s"},
			}},
		}},
	}
	if kind == "STRICT_DNS" {
		cluster["dns_lookup_family"] = "V4_PREFERRED"
	}
	if tls != nil {
		cluster["transport_socket"] = upstreamTLS(addresses, tls)
	}
	return cluster, nil
}

// upstreamTLS is mutual TLS to the servers: the certificate must be for one of the hosts that are named.
func upstreamTLS(addresses []address, tls *TLS) object {
	var names []any
	var seen []string
	for _, a := range addresses {
		if slices.Contains(seen, a.host) {
			continue
		}
		seen = append(seen, a.host)
		kind := "DNS"
		if a.ip() {
			kind = "IP_ADDRESS"
		}
		names = append(names, object{"san_type": kind, "matcher": object{"exact": a.host}})
	}
	context := object{
		"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
		"common_tls_context": object{
			"alpn_protocols": []any{"h2"},
			"tls_certificates": []any{object{
				"certificate_chain": object{"filename": tls.Cert},
				"private_key":       object{"filename": tls.Key},
			}},
			"validation_context": object{
				"trusted_ca":                    object{"filename": tls.CA},
				"match_typed_subject_alt_names": names,
			},
		},
	}
	if len(seen) == 1 && !addresses[0].ip() {
		context["sni"] = seen[0]
	}
	return object{"name": "envoy.transport_sockets.tls", "typed_config": context}
}

func socket(a address) object {
	return object{"socket_address": object{"address": a.host, "port_value": a.port}}
}

// bootstrapYAML checks a bootstrap against Envoy's message and writes it.
func bootstrapYAML(b object) ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	var m bootstrapv3.Bootstrap
	if err := protojson.Unmarshal(text, &m); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the bootstrap is not one that Envoy reads")
	}
	if err := m.ValidateAll(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the bootstrap is not valid: %s", firstLine(err))
	}
	return yaml.JSONToYAML(text)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
