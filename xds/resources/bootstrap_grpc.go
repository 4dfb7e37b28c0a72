package resources

import (
	"encoding/json"

	"supercluster/xds/ir"
)

// GRPCBootstrapOptions is what a gRPC bootstrap says.
type GRPCBootstrapOptions struct {
	ID        string
	Servers   []string // host:port of every server of the region, the first is used first
	Region    string
	Zone      string
	Tenant    string
	Namespace string
	TLS       *TLS // nil: plaintext
}

// GRPCBootstrap makes a bootstrap for gRPC clients (GRPC_XDS_BOOTSTRAP), in JSON. Clients that know fallback go to
// the next server when one cannot be reached; older ones use the first alone.
func GRPCBootstrap(o GRPCBootstrapOptions) ([]byte, error) {
	p := place{ID: o.ID, Region: o.Region, Zone: o.Zone, Tenant: o.Tenant, Namespace: o.Namespace}
	if err := p.validate(); err != nil {
		return nil, err
	}
	if _, err := parseServers(o.Servers); err != nil {
		return nil, err
	}
	if err := o.TLS.validate(); err != nil {
		return nil, err
	}
	creds := object{"type": "insecure"}
	if o.TLS != nil {
		creds = object{"type": "tls", "config": object{
			"ca_certificate_file": o.TLS.CA,
			"certificate_file":    o.TLS.Cert,
			"private_key_file":    o.TLS.Key,
		}}
	}
	var servers []any
	for _, uri := range o.Servers {
		servers = append(servers, object{
			"server_uri":      uri,
			"channel_creds":   []any{creds},
			"server_features": []any{"xds_v3"},
		})
	}
	text, err := json.MarshalIndent(object{
		"xds_servers": servers,
		"node": object{
			"id": o.ID, "cluster": string(ir.RoleGRPC), "metadata": p.metadata(ir.RoleGRPC), "locality": p.locality(),
		},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}
