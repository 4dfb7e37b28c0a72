package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"supercluster/federation"
	"supercluster/federation/link"
	"supercluster/secrets/ca"
)

// passport is what one node shows to other regions, and whom it trusts.
type passport struct {
	own    *ca.Identity
	issuer *ca.Issuer
	trust  *ca.Trust
}

func newPassport(own *ca.Identity, node string) (*passport, error) {
	issuer, err := ca.NewIssuer(ca.IssuerConfig{Identity: own, Server: node})
	if err != nil {
		return nil, fmt.Errorf("a certificate for %s: %w", node, err)
	}
	p := &passport{own: own, issuer: issuer, trust: &ca.Trust{}}
	return p, p.trust.SetRegion(own.RegionID, []*x509.Certificate{own.Root})
}

func (p *passport) identity() federation.Identity {
	key := p.own.Feed.Public()
	return federation.Identity{
		RegionID: p.own.RegionID, Name: p.own.Name, TrustDomain: p.own.TrustDomain, FeedKey: key[:],
		Roots: [][]byte{p.own.Root.Raw}, Fingerprint: p.own.Fingerprint(),
		Sign:     func(b []byte) [64]byte { return p.own.Feed.Sign(b) },
		SetRoots: p.setRoots, Claimed: notInvited,
	}
}

// notInvited refuses regions that want to join: the regions of a run know each other from the start.
func notInvited(tls.ConnectionState, [][]byte) (link.PeerID, error) {
	return link.PeerID{}, errors.New("nobody joins in a run")
}

func (p *passport) setRoots(region [16]byte, der [][]byte) error {
	if len(der) == 0 {
		p.trust.RemoveRegion(region)
		return nil
	}
	var roots []*x509.Certificate
	for _, b := range der {
		c, err := x509.ParseCertificate(b)
		if err != nil {
			return fmt.Errorf("a root of a region: %w", err)
		}
		roots = append(roots, c)
	}
	return p.trust.SetRegion(region, roots)
}

func (p *passport) link() link.Config {
	return link.Config{
		// All regions come from one address, and come back often.
		Limits: link.Limits{QueueBytes: 64 << 10, Handshakes: 10_000, KeepAlive: 200 * time.Millisecond, Idle: 1500 * time.Millisecond},
		Server: p.trust.ServerTLS(p.issuer),
		Client: func(region [16]byte) (*tls.Config, error) { return p.trust.ClientTLS(p.issuer, region), nil },
		Identify: func(s tls.ConnectionState) (link.PeerID, error) {
			id, err := ca.PeerOf(s)
			return link.PeerID{Region: id.Region, Server: id.Name}, err
		},
	}
}
