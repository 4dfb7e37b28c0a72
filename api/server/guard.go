package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"supercluster/internal/fault"
)

// guard keeps pages of other origins out: a browser sends their requests here, but under their Host or with their
// Origin. Names that resolve to this node by somebody else's DNS (rebinding) are foreign Hosts.
type guard struct {
	names map[string]bool // configured, lower case
}

// RefuseForeign lets a handler see only what was sent to an address of this machine or to localhost, and by no page of another origin.
func RefuseForeign(next http.Handler) http.Handler {
	g := newGuard(nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.check(r); err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func newGuard(hosts []string) *guard {
	g := &guard{names: map[string]bool{"localhost": true}}
	for _, h := range hosts {
		g.names[hostOnly(h)] = true
	}
	return g
}

// check refuses a request with a foreign Host or Origin.
func (g *guard) check(r *http.Request) error {
	local := localAddr(r)
	if !g.allows(r.Host, local) {
		return fault.New(fault.Denied, "this server does not answer for the host %q", r.Host).
			WithHint("call it by its address or by a name that its configuration lists")
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || !g.allows(u.Host, local) {
			return fault.New(fault.Denied, "pages of the origin %q may not call this server", origin).
				WithHint("only pages of this server's own names may")
		}
	}
	return nil
}

func (g *guard) allows(hostport string, local netip.Addr) bool {
	host := hostOnly(hostport)
	if g.names[host] || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	addr = addr.Unmap()
	// A page cannot make a browser send somebody's address as Host unless that is where it connects to.
	return addr.IsLoopback() || addr == local
}

// hostOnly takes the port, brackets and a closing dot away.
func hostOnly(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// localAddr is the address that the connection came in on.
func localAddr(r *http.Request) netip.Addr {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
