package resources

// TLS is where a client finds its files for TLS to the servers.
type TLS struct{ CA, Cert, Key string }

// EnvoyBootstrapOptions is what an Envoy bootstrap says.
type EnvoyBootstrapOptions struct {
	ID        string   // node.id
	Servers   []string // host:port of every server of the region
	Region    string
	Zone      string
	Tenant    string
	Namespace string
	Role      string // edge or sidecar; empty is edge
	Listen    string // host:port that Envoy listens on
	Admin     string // host:port of its admin interface; empty is a free port of 127.0.0.1
	TLS       *TLS   // nil: plaintext
}

// EnvoyBootstrap makes a bootstrap for Envoy, in YAML.
func EnvoyBootstrap(o EnvoyBootstrapOptions) ([]byte, error) { return nil, nil }

// GRPCBootstrapOptions is what a gRPC bootstrap says.
type GRPCBootstrapOptions struct {
	ID        string
	Servers   []string
	Region    string
	Zone      string
	Tenant    string
	Namespace string
	TLS       *TLS
}

// GRPCBootstrap makes a bootstrap for gRPC clients (GRPC_XDS_BOOTSTRAP), in JSON.
func GRPCBootstrap(o GRPCBootstrapOptions) ([]byte, error) { return nil, nil }
