package link

import (
	"context"
	"crypto/tls"
	"slices"

	"supercluster/internal/fault"
)

// joinProtocol is agreed on by TLS for the first contact of two regions: neither trusts the other's CA yet, so the
// certificates are taken as they are and whoever handles the connection judges them.
const joinProtocol = "supercluster-join"

// maxJoins bounds the connections of regions that want to join, all together.
const maxJoins = 4

// DialJoin opens a connection for the first contact with a region. The caller judges TLS().PeerCertificates, and closes it.
func (e *Endpoint) DialJoin(ctx context.Context, region [16]byte, address string) (*Conn, error) {
	if e.cfg.JoinTLS == nil {
		return nil, fault.New(fault.Unsupported, "this server has no identity to join with")
	}
	return e.dialWith(ctx, region, address, joining(e.cfg.JoinTLS), func(c *Conn) { c.joining = true })
}

// TLS gives what the handshake found.
func (c *Conn) TLS() tls.ConnectionState { return c.raw.ConnectionState().TLS }

// joining makes a configuration for the first contact, for both ends.
func joining(own *tls.Config) *tls.Config {
	c := harden(own)
	c.NextProtos = []string{joinProtocol}
	c.ClientAuth = tls.RequireAnyClientCert
	c.InsecureSkipVerify = true // the invitation proves the other end, not a root
	c.VerifyConnection, c.VerifyPeerCertificate, c.GetConfigForClient = nil, nil, nil
	return c
}

// listening makes the configuration of the port: that of peers, and that of the first contact if there is a handler.
func (e *Endpoint) listening() *tls.Config {
	peers := harden(e.cfg.Server)
	if e.cfg.Join == nil || e.cfg.JoinTLS == nil {
		return peers
	}
	first, get := joining(e.cfg.JoinTLS), peers.GetConfigForClient
	peers = peers.Clone()
	peers.NextProtos = append(slices.Clone(peers.NextProtos), joinProtocol)
	only := harden(e.cfg.Server)
	peers.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, joinProtocol) {
			return first, nil
		}
		if get != nil {
			return get(hello)
		}
		return only, nil
	}
	return peers
}

// admitJoin reports whether one more region may knock. The caller holds the lock.
func (e *Endpoint) admitJoin() error {
	n := 0
	for c := range e.conns {
		if c.joining && !c.dialed {
			n++
		}
	}
	if n >= maxJoins {
		return fault.New(fault.Busy, "%d regions are joining already", n)
	}
	return nil
}
