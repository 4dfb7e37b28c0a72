package resources

import (
	"net/netip"
	"strconv"
	"strings"

	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/xds/ir"
)

// The keys of node.metadata by which a client says what it is there for.
const (
	MetadataRole      = "sc.role"
	MetadataListen    = "sc.listen"
	MetadataTenant    = "sc.tenant"
	MetadataNamespace = "sc.namespace"
)

// TLS is where a client finds its files for TLS to the servers.
type TLS struct{ CA, Cert, Key string }

func (t *TLS) validate() error {
	if t == nil {
		return nil
	}
	if t.CA == "" || t.Cert == "" || t.Key == "" {
		return fault.Field("tls", "the server asks for certificates: ca, cert and key are needed").
			WithHint("give --ca, --cert and --key")
	}
	return nil
}

// place is what both bootstraps say about a client.
type place struct {
	ID        string
	Region    string
	Zone      string
	Tenant    string
	Namespace string
}

func (p place) validate() error {
	if p.ID == "" {
		return fault.Field("id", "must not be empty")
	}
	return nil
}

// metadata is the part of node.metadata that names tenant, namespace and role.
func (p place) metadata(role ir.Role) map[string]any {
	ns := registry.NamespaceOf(p.Tenant, p.Namespace)
	return map[string]any{
		MetadataRole:      string(role),
		MetadataTenant:    ns.Tenant,
		MetadataNamespace: ns.Namespace,
	}
}

func (p place) locality() map[string]any {
	l := map[string]any{"region": p.Region}
	if p.Zone != "" {
		l["zone"] = p.Zone
	}
	return l
}

// address is a host and a port; the host may be a name.
type address struct {
	host string
	port uint16
}

func (a address) ip() bool {
	_, err := netip.ParseAddr(a.host)
	return err == nil
}

func parseAddress(field, text string) (address, error) {
	at := strings.LastIndexByte(text, ':')
	if at <= 0 {
		return address{}, fault.Field(field, "%q is not host:port", text)
	}
	host := text[:at]
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		host = host[1 : len(host)-1]
	} else if strings.Contains(host, ":") {
		return address{}, fault.Field(field, "%q needs brackets around its IPv6 address", text)
	}
	port, err := strconv.ParseUint(text[at+1:], 10, 16)
	if err != nil || host == "" {
		return address{}, fault.Field(field, "%q is not host:port", text)
	}
	return address{host: host, port: uint16(port)}, nil
}

func parseServers(servers []string) ([]address, error) {
	if len(servers) == 0 {
		return nil, fault.Field("servers", "at least one server must be named")
	}
	addresses := make([]address, 0, len(servers))
	for _, s := range servers {
		a, err := parseAddress("servers", s)
		if err != nil {
			return nil, err
		}
		if a.port == 0 {
			return nil, fault.Field("servers", "%q has no port", s)
		}
		addresses = append(addresses, a)
	}
	return addresses, nil
}

// ParseListen reads the address that an Envoy listens on: an IP address and a port.
func ParseListen(field, text string) (netip.AddrPort, error) {
	if text == "" {
		return netip.AddrPort{}, fault.Field(field, "must name the address to listen on, such as 127.0.0.1:10000")
	}
	listen, err := netip.ParseAddrPort(text)
	if err != nil || listen.Port() == 0 || listen.Addr().Zone() != "" {
		return netip.AddrPort{}, fault.Field(field, "%q is not an IP address and port", text)
	}
	return listen, nil
}
