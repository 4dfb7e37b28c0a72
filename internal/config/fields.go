package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field is one key of the configuration.
type Field struct {
	// Key is the dotted name in the file, Flag the name of the flag. The name in the environment is EnvName(Key).
	Key  string
	Flag string
	// Doc is one sentence.
	Doc string
	// kind says how the value is written in a file.
	kind kind
	// set takes the value as text, one element for each item of a list; get gives it back.
	set func(s *Server, values []string) error
	get func(s *Server) []string
}

type kind uint8

const (
	kindText kind = iota
	kindNumber
	kindBool
	kindList
	kindMap // written as a mapping in a file, as name=value elsewhere
)

// List reports whether the key takes several values.
func (f Field) List() bool { return f.kind == kindList || f.kind == kindMap }

// Default gives the default value as text.
func (f Field) Default() string {
	s := Default()
	return strings.Join(f.get(&s), ",")
}

// EnvPrefix begins the names of the environment variables that are read.
const EnvPrefix = "SUPERCLUSTER_"

// EnvName gives the name of the environment variable of a key.
func EnvName(key string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Fields lists every key in the order in which it is printed.
func Fields() []Field {
	return slices.Concat(identityFields(), listenFields(), accessFields(), serviceFields())
}

func identityFields() []Field {
	return []Field{
		text("region", "region", "Name of the region.", func(s *Server) *string { return &s.Region }),
		text("node", "node", "Name of this node, unique in the region.", func(s *Server) *string { return &s.Node }),
		text("data-dir", "data-dir", "Folder for the data of this node alone.", func(s *Server) *string { return &s.DataDir }),
		{
			Key: "members", Flag: "member", kind: kindMap,
			Doc: "Every node of the region, this one included, with the host:port of its Raft port (a flag for each: NAME=HOST:PORT).",
			set: setMembers, get: getMembers,
		},
	}
}

func listenFields() []Field {
	return []Field{
		text("listen.http", "http", "HTTP/JSON API, metrics, /healthz and /readyz.", func(s *Server) *string { return &s.Listen.HTTP }),
		text("listen.grpc", "grpc", "gRPC: native API, xDS, health and reflection.", func(s *Server) *string { return &s.Listen.GRPC }),
		text("listen.dns", "dns", "DNS over UDP and TCP.", func(s *Server) *string { return &s.Listen.DNS }),
		text("listen.raft", "raft", "Raft and node channel; empty: this node's address in members.", func(s *Server) *string { return &s.Listen.Raft }),
		text("listen.federation", "federation", "Federation over UDP; opened when the region has an identity.", func(s *Server) *string { return &s.Listen.Federation }),
		text("listen.probe", "probe", "Probe: a short fixed answer to whoever connects, for reachability checks.", func(s *Server) *string { return &s.Listen.Probe }),
		text("listen.admin", "admin", "Admin: pprof. Loopback always.", func(s *Server) *string { return &s.Listen.Admin }),
		text("advertise.http", "advertise-http", "host:port of the HTTP API as others reach it; empty: listen.http.", func(s *Server) *string { return &s.Advertise.HTTP }),
		text("advertise.grpc", "advertise-grpc", "host:port of gRPC as others and proxies reach it; empty: listen.grpc.", func(s *Server) *string { return &s.Advertise.GRPC }),
		text("advertise.federation", "advertise-federation", "host:port of the federation port as other regions reach it, UDP; empty: listen.federation.", func(s *Server) *string { return &s.Advertise.Federation }),
		text("advertise.probe", "advertise-probe", "host:port of the probe listener as other regions reach it; empty: listen.probe, or the host of advertise.federation with its port where that names no address.", func(s *Server) *string { return &s.Advertise.Probe }),
	}
}

func accessFields() []Field {
	return []Field{
		text("identity.dir", "identity-dir", "Folder with the region's identity, as `supercluster region init` made it; or name the four files.", func(s *Server) *string { return &s.Identity.Dir }),
		text("identity.region", "identity-region", "File with the region's id, region.yaml.", func(s *Server) *string { return &s.Identity.Region }),
		text("identity.feed-key", "identity-feed-key", "PEM file with the private key that signs the region's feed; mode 0600.", func(s *Server) *string { return &s.Identity.FeedKey }),
		text("identity.ca-key", "identity-ca-key", "PEM file with the private key of the region's CA; mode 0600.", func(s *Server) *string { return &s.Identity.CAKey }),
		text("identity.ca-cert", "identity-ca-cert", "PEM file with the certificate of the region's CA.", func(s *Server) *string { return &s.Identity.CACert }),
		text("tls.cert", "tls-cert", "PEM file with the certificate chain of this node.", func(s *Server) *string { return &s.TLS.Cert }),
		text("tls.key", "tls-key", "PEM file with its private key.", func(s *Server) *string { return &s.TLS.Key }),
		text("tls.client-ca", "tls-client-ca", "PEM file with the CA of clients and of the other nodes.", func(s *Server) *string { return &s.TLS.ClientCA }),
		list("operators", "operator", "Certificate names (SANs) that may read and write everything.", func(s *Server) *[]string { return &s.Operators }),
		list("readers", "reader", "Certificate names that may read everything.", func(s *Server) *[]string { return &s.Readers }),
		list("proxies", "proxy", "Certificate names that receive configuration over xDS.", func(s *Server) *[]string { return &s.Proxies }),
	}
}

func serviceFields() []Field {
	return []Field{
		text("dns.domain", "dns-domain", "Domain that DNS answers for.", func(s *Server) *string { return &s.DNS.Domain }),
		list("dns.aliases", "dns-alias", "Further domains with the same names.", func(s *Server) *[]string { return &s.DNS.Aliases }),
		duration("dns.ttl", "dns-ttl", "Time to live of answers, at most 1h; 0s makes clients ask each time.", func(s *Server) *time.Duration { return &s.DNS.TTL }),
		number("dns.rate", "dns-rate", "UDP answers a second for one source; -1 is no limit.", func(s *Server) *int { return &s.DNS.Rate }),
		boolean("health.allow-link-local", "health-allow-link-local", "Let checks connect to link-local and metadata addresses.", func(s *Server) *bool { return &s.Health.AllowLinkLocal }),
		boolean("federation.copies", "federation-copies", "Send each change to regions 20 ms round trip and further a second time, so that a lost packet costs no round trip.", func(s *Server) *bool { return &s.Federation.Copies }),
		number("limits.read-rate", "limits-read-rate", "Reads a second of one principal.", func(s *Server) *int { return &s.Limits.ReadRate }),
		number("limits.write-rate", "limits-write-rate", "Writes a second of one principal.", func(s *Server) *int { return &s.Limits.WriteRate }),
		number("limits.open-rate", "limits-open-rate", "Streams opened a second by one principal.", func(s *Server) *int { return &s.Limits.OpenRate }),
		number("limits.watches", "limits-watches", "Watches of one principal open at once.", func(s *Server) *int { return &s.Limits.Watches }),
		text("log.level", "log-level", "debug, info, warn or error.", func(s *Server) *string { return &s.Log.Level }),
		text("log.format", "log-format", "text or json.", func(s *Server) *string { return &s.Log.Format }),
		text("otlp.endpoint", "otlp-endpoint", "URL of an OTLP/gRPC collector for traces (http:// or https://); empty: none.", func(s *Server) *string { return &s.OTLP.Endpoint }),
	}
}

// one is the value of a key that takes exactly one.
func one(values []string) (string, error) {
	if len(values) != 1 {
		return "", fmt.Errorf("takes one value, not %d", len(values))
	}
	return values[0], nil
}

func text(key, flag, doc string, at func(*Server) *string) Field {
	return Field{
		Key: key, Flag: flag, Doc: doc, kind: kindText,
		set: func(s *Server, values []string) (err error) { *at(s), err = one(values); return err },
		get: func(s *Server) []string { return []string{*at(s)} },
	}
}

func list(key, flag, doc string, at func(*Server) *[]string) Field {
	return Field{
		Key: key, Flag: flag, Doc: doc, kind: kindList,
		set: func(s *Server, values []string) error { *at(s) = slices.Clone(values); return nil },
		get: func(s *Server) []string { return *at(s) },
	}
}

func number(key, flag, doc string, at func(*Server) *int) Field {
	return Field{
		Key: key, Flag: flag, Doc: doc, kind: kindNumber,
		set: func(s *Server, values []string) error {
			v, err := one(values)
			if err != nil {
				return err
			}
			if *at(s), err = strconv.Atoi(v); err != nil {
				return fmt.Errorf("%q is not a whole number", v)
			}
			return nil
		},
		get: func(s *Server) []string { return []string{strconv.Itoa(*at(s))} },
	}
}

func boolean(key, flag, doc string, at func(*Server) *bool) Field {
	return Field{
		Key: key, Flag: flag, Doc: doc, kind: kindBool,
		set: func(s *Server, values []string) error {
			v, err := one(values)
			if err != nil {
				return err
			}
			if v != "true" && v != "false" {
				return fmt.Errorf("%q is neither true nor false", v)
			}
			*at(s) = v == "true"
			return nil
		},
		get: func(s *Server) []string { return []string{strconv.FormatBool(*at(s))} },
	}
}

func duration(key, flag, doc string, at func(*Server) *time.Duration) Field {
	return Field{
		Key: key, Flag: flag, Doc: doc, kind: kindText,
		set: func(s *Server, values []string) error {
			v, err := one(values)
			if err != nil {
				return err
			}
			if *at(s), err = time.ParseDuration(v); err != nil {
				return fmt.Errorf("%q is not a duration such as 5s", v)
			}
			return nil
		},
		get: func(s *Server) []string { return []string{at(s).String()} },
	}
}

func setMembers(s *Server, values []string) error {
	members := make(map[string]string, len(values))
	for _, v := range values {
		name, address, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return fmt.Errorf("%q is not NAME=HOST:PORT", v)
		}
		if _, twice := members[name]; twice {
			return fmt.Errorf("names %q twice", name)
		}
		members[name] = address
	}
	s.Members = members
	return nil
}

func getMembers(s *Server) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(s.Members)) {
		all = append(all, name+"="+s.Members[name])
	}
	return all
}
