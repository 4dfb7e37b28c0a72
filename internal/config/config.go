package config

import (
	"cmp"
	"net"
	"net/netip"
	"time"
)

// Server is the configuration of one server.
type Server struct {
	Region  string
	Node    string
	DataDir string
	// Members maps the nodes of the region to the host:port of their Raft ports.
	Members   map[string]string
	Listen    Listen
	Advertise Advertise
	Identity  Identity
	TLS       TLS
	// Operators, Readers and Proxies are names in client certificates (SANs), by what their owners may do.
	Operators  []string
	Readers    []string
	Proxies    []string
	DNS        DNS
	Health     Health
	Federation Federation
	Limits     Limits
	Log        Log
	OTLP       OTLP
}

// Listen holds the addresses listened on, host:port.
type Listen struct {
	HTTP, GRPC, DNS, Raft, Federation, Probe, Admin string
}

// Advertise holds the addresses under which other programs reach the server, when they differ from Listen.
type Advertise struct{ HTTP, GRPC, Federation, Probe string }

// Identity names the files of the region's identity: a folder that holds all four, or each of them.
type Identity struct{ Dir, Region, FeedKey, CAKey, CACert string }

// Empty reports whether no file is named.
func (i Identity) Empty() bool { return i == Identity{} }

// TLS names PEM files.
type TLS struct{ Cert, Key, ClientCA string }

// Empty reports whether no file is named.
func (t TLS) Empty() bool { return t == TLS{} }

// DNS says how names are answered.
type DNS struct {
	Domain  string
	Aliases []string
	TTL     time.Duration
	Rate    int
}

// Health says what checks may do.
type Health struct{ AllowLinkLocal bool }

// Federation says how this node sends to other regions.
type Federation struct{ Copies bool }

// Limits bound what one principal may ask of this node.
type Limits struct {
	ReadRate, WriteRate, OpenRate int
	Watches                       int
}

// Log says what is logged and how.
type Log struct{ Level, Format string }

// OTLP says where traces go.
type OTLP struct{ Endpoint string }

// Default gives the configuration that nobody changed.
func Default() Server {
	return Server{
		Region: "dc1",
		Listen: Listen{
			HTTP: "127.0.0.1:8500", GRPC: "127.0.0.1:8502", DNS: "127.0.0.1:8600", Federation: "127.0.0.1:8302",
			Probe: "127.0.0.1:8303", Admin: "127.0.0.1:8505",
		},
		DNS:        DNS{Domain: "sc.internal", Rate: 5000},
		Federation: Federation{Copies: true},
		Limits:     Limits{ReadRate: 500_000, WriteRate: 200_000, OpenRate: 5_000, Watches: 4096},
		Log:        Log{Level: "info", Format: "text"},
	}
}

// Effective is the configuration with what a start uses where a key is empty.
func (s Server) Effective() Server {
	s.complete()
	s.Advertise.Probe = s.ProbeAddress()
	return s
}

// complete gives the addresses that are empty those of other keys.
func (s *Server) complete() {
	s.Listen.Raft = cmp.Or(s.Listen.Raft, s.Members[s.Node])
	s.Advertise.HTTP = cmp.Or(s.Advertise.HTTP, s.Listen.HTTP)
	s.Advertise.GRPC = cmp.Or(s.Advertise.GRPC, s.Listen.GRPC)
	s.Advertise.Federation = cmp.Or(s.Advertise.Federation, s.Listen.Federation)
}

// ProbeAddress is where other regions probe the server; empty when no key names it.
func (s *Server) ProbeAddress() string {
	given := cmp.Or(s.Advertise.Probe, s.Listen.Probe)
	host, port, err := net.SplitHostPort(given)
	if ip, bad := netip.ParseAddr(host); err != nil || host != "" && (bad != nil || !ip.IsUnspecified()) {
		return given
	}
	// It listens everywhere: others reach it where they reach the federation port.
	host, _, err = net.SplitHostPort(cmp.Or(s.Advertise.Federation, s.Listen.Federation))
	if err != nil {
		return ""
	}
	return net.JoinHostPort(host, port)
}
