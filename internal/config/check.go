package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"supercluster/internal/fault"
	"supercluster/registry"
)

// nodeName is a DNS label, so that names of regions and nodes can stand in DNS and certificates.
var nodeName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Check completes what has a default that depends on other keys and reports everything that is wrong, by key.
func (s *Server) Check() error {
	c := &checker{server: s}
	c.identity()
	c.addresses()
	c.keys()
	c.tls()
	c.rest()
	if len(c.problems) == 0 {
		return nil
	}
	return fault.New(fault.Invalid, "%s", strings.Join(c.problems, "\n"))
}

type checker struct {
	server   *Server
	problems []string
}

func (c *checker) problem(key, format string, args ...any) {
	c.problems = append(c.problems, key+": "+fmt.Sprintf(format, args...))
}

func (c *checker) identity() {
	s := c.server
	for _, f := range []struct{ key, value string }{{"region", s.Region}, {"node", s.Node}} {
		if f.value == "" {
			c.problem(f.key, "is missing")
		} else if !nodeName.MatchString(f.value) {
			c.problem(f.key, "%q is not a DNS label (a-z, 0-9, -, at most 63 bytes)", f.value)
		} else if f.key == "region" && registry.RegionName(f.key, f.value) != nil {
			c.problem(f.key, "%q is a reserved word of DNS names: choose another name", f.value)
		}
	}
	if s.DataDir == "" {
		c.problem("data-dir", "is missing: name a folder for the data of this node")
	}
	if s.Node == "" {
		return
	}
	if len(s.Members) == 0 {
		c.problem("members", "is missing: name every node of the region, this one included, with its Raft address, such as {%s: 127.0.0.1:8300}", s.Node)
		return
	}
	if _, ok := s.Members[s.Node]; !ok {
		c.problem("members", "does not name this node, %q", s.Node)
	}
	used := map[string]string{}
	for _, m := range getMembers(s) {
		name, address, _ := strings.Cut(m, "=")
		if !nodeName.MatchString(name) {
			c.problem("members", "%q is not a DNS label", name)
		}
		c.address("members."+name, address, false)
		if other := used[address]; other != "" {
			c.problem("members", "%s and %s have the same address %s", other, name, address)
		}
		used[address] = name
	}
}

func (c *checker) addresses() {
	s := c.server
	s.complete()
	used := map[string]string{}
	for _, l := range s.Listeners() {
		if l.Key == "listen.raft" && l.Addr == "" {
			continue // members is missing, which was reported
		}
		c.address(l.Key, l.Addr, true)
		if other := used[l.Network+l.Addr]; other != "" {
			c.problem(l.Key, "%s is the address of %s too", l.Addr, other)
		}
		if !strings.HasSuffix(l.Addr, ":0") {
			used[l.Network+l.Addr] = l.Key
		}
	}
	if !Loopback(s.Listen.Admin) && s.Listen.Admin != "" {
		c.problem("listen.admin", "%s is not a loopback address: the admin listener is never reachable from outside", s.Listen.Admin)
	}
	for _, a := range []struct{ key, value string }{
		{"advertise.http", s.Advertise.HTTP}, {"advertise.grpc", s.Advertise.GRPC}, {"advertise.federation", s.Advertise.Federation},
	} {
		host, _, err := net.SplitHostPort(a.value)
		if ip, bad := netip.ParseAddr(host); err == nil && (host == "" || bad == nil && ip.IsUnspecified()) {
			c.problem(a.key, "%s is an address that nobody can connect to: name the one that others reach", a.value)
			continue
		}
		c.address(a.key, a.value, false)
	}
	if s.Advertise.Probe != "" {
		c.address("advertise.probe", s.Advertise.Probe, false)
	}
}

// address checks a host:port; port 0 means any free one and only a listener may have it.
func (c *checker) address(key, value string, listen bool) {
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		c.problem(key, "%q is not host:port", value)
		return
	}
	if host == "" && !listen {
		c.problem(key, "%q names no host", value)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 || n == 0 && !listen {
		c.problem(key, "port %s is not between 1 and 65535", port)
	}
}

// keys checks that the identity is named in one way, and whole.
func (c *checker) keys() {
	i := c.server.Identity
	if i.Empty() {
		return
	}
	for _, f := range []struct{ key, value string }{
		{"identity.region", i.Region},
		{"identity.feed-key", i.FeedKey},
		{"identity.ca-key", i.CAKey},
		{"identity.ca-cert", i.CACert},
	} {
		switch {
		case i.Dir != "" && f.value != "":
			c.problem(f.key, "stands beside identity.dir: name the folder or the four files")
		case i.Dir == "" && f.value == "":
			c.problem(f.key, "is missing: identity.region, identity.feed-key, identity.ca-key and identity.ca-cert belong together")
		}
	}
}

func (c *checker) tls() {
	t := c.server.TLS
	if t.Empty() {
		for _, l := range c.server.Listeners() {
			if l.NeedsTLS && !Loopback(l.Addr) && l.Addr != "" {
				c.problem(l.Key, "%s is reachable from outside: that needs tls.cert, tls.key and tls.client-ca (without them use a loopback address)", l.Addr)
			}
		}
		return
	}
	for _, f := range []struct{ key, value string }{{"tls.cert", t.Cert}, {"tls.key", t.Key}, {"tls.client-ca", t.ClientCA}} {
		if f.value == "" {
			c.problem(f.key, "is missing: tls.cert, tls.key and tls.client-ca belong together")
		}
	}
}

func (c *checker) rest() {
	s := c.server
	for _, f := range []struct {
		key, value string
		allowed    []string
	}{
		{"log.level", s.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", s.Log.Format, []string{"text", "json"}},
	} {
		if !slices.Contains(f.allowed, f.value) {
			c.problem(f.key, "%q is not one of %s", f.value, strings.Join(f.allowed, ", "))
		}
	}
	if s.DNS.TTL < 0 || s.DNS.TTL > time.Hour {
		c.problem("dns.ttl", "%v is not between 0s and 1h", s.DNS.TTL)
	}
	if s.DNS.Domain == "" {
		c.problem("dns.domain", "is missing")
	}
	for _, f := range []struct {
		key   string
		value int
	}{
		{"limits.read-rate", s.Limits.ReadRate},
		{"limits.write-rate", s.Limits.WriteRate},
		{"limits.open-rate", s.Limits.OpenRate},
		{"limits.watches", s.Limits.Watches},
	} {
		if f.value < 1 {
			c.problem(f.key, "%d is less than 1", f.value)
		}
	}
	if e := s.OTLP.Endpoint; e != "" {
		if u, err := url.Parse(e); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			c.problem("otlp.endpoint", "%q is not a URL such as http://127.0.0.1:4317", e)
		}
	}
}

// Listener is one address that a server listens on.
type Listener struct {
	Key, Flag, Network, Addr string
	// NeedsTLS: outside loopback it needs certificates.
	NeedsTLS bool
}

// Listeners lists the addresses that are opened.
func (s *Server) Listeners() []Listener {
	return []Listener{
		{"listen.http", "http", "tcp", s.Listen.HTTP, true},
		{"listen.grpc", "grpc", "tcp", s.Listen.GRPC, true},
		{"listen.dns", "dns", "tcp", s.Listen.DNS, false},
		{"listen.raft", "raft", "tcp", s.Listen.Raft, true},
		{"listen.federation", "federation", "udp", s.Listen.Federation, false},
		{"listen.probe", "probe", "tcp", s.Listen.Probe, false},
		{"listen.admin", "admin", "tcp", s.Listen.Admin, false},
	}
}

// Loopback reports whether an address to listen on is reachable from this machine only.
func Loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
