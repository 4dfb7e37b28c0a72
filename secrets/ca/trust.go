package ca

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"supercluster/internal/fault"
)

// Trust holds the roots of this region and its peers, and says which server a certificate proves. The zero Trust
// trusts nobody.
type Trust struct {
	mu      sync.RWMutex
	regions map[[16]byte]*roots
}

// roots are the roots of one region. They are replaced, never changed.
type roots struct {
	pool *x509.CertPool
	// trustDomains are those of the roots.
	trustDomains []string
}

// SetRegion replaces the roots of a region: several while a CA is changed. What is no root of that very region is
// refused, and then nothing changes. Time is looked at when a certificate is verified, and by ParseBundle.
func (t *Trust) SetRegion(id [16]byte, certs []*x509.Certificate) error {
	if len(certs) == 0 || len(certs) > maxRoots {
		return fault.New(fault.Invalid, "region %s has 1 to %d roots, not %d", RegionText(id), maxRoots, len(certs))
	}
	r := &roots{pool: x509.NewCertPool()}
	for _, cert := range certs {
		trustDomain, err := checkRoot(cert, id)
		if err != nil {
			return err
		}
		r.pool.AddCert(cert)
		r.trustDomains = append(r.trustDomains, trustDomain)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.regions == nil {
		t.regions = map[[16]byte]*roots{}
	}
	t.regions[id] = r
	return nil
}

// RemoveRegion forgets a region: its servers are refused from now on. Connections that exist are the caller's to end.
func (t *Trust) RemoveRegion(id [16]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.regions, id)
}

func (t *Trust) roots(id [16]byte) *roots {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.regions[id]
}

// Verify says which server the certificate of the other side, the first of the chain, proves. The rest of the chain
// is not looked at: the root of a region issues the certificates of its servers itself.
func (t *Trust) Verify(chain []*x509.Certificate, now time.Time) (ServerID, error) {
	if len(chain) == 0 {
		return ServerID{}, refused("the other side has no certificate")
	}
	cert := chain[0]
	id, err := serverOf(cert)
	if err != nil {
		return ServerID{}, err
	}
	r := t.roots(id.Region)
	switch {
	case r == nil:
		return ServerID{}, refused("%s: region %s is no peer of this one", id, RegionText(id.Region)).
			WithHint("peer with it first, or again if it was removed")
	case !slices.Contains(r.trustDomains, id.TrustDomain):
		return ServerID{}, refused("%s: trust domain %q is not that of the region's roots", id, id.TrustDomain)
	case cert.IsCA || cert.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return ServerID{}, refused("%s: the certificate is not one of a server", id)
	case !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageServerAuth) || !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth):
		return ServerID{}, refused("%s: the certificate is not for both ends of a connection (serverAuth and clientAuth)", id)
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: r.pool, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		if wrong := outsideItsTime(id, cert, now); wrong != nil {
			return ServerID{}, wrong
		}
		return ServerID{}, fault.Wrap(fault.Unauthenticated, err, "%s: the certificate does not come from a root of that region that holds now", id)
	}
	return id, nil
}

// outsideItsTime says that a certificate does not hold by the clock of this server; nil: it does. Servers renew theirs every
// day, so a clock is the likelier reason.
func outsideItsTime(id ServerID, cert *x509.Certificate, now time.Time) error {
	what := "it has not begun"
	switch {
	case now.After(cert.NotAfter):
		what = "it is over"
	case !now.Before(cert.NotBefore):
		return nil
	}
	return refused("%s: its certificate holds from %s to %s, and the clock of this server shows %s: %s, or that clock is wrong", id,
		cert.NotBefore.UTC().Format(time.RFC3339), cert.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), what).
		WithHint("set the clocks of both right")
}

// PeerOf says which server is at the other end of a connection, after the handshake checked it.
func PeerOf(state tls.ConnectionState) (ServerID, error) {
	if len(state.PeerCertificates) == 0 {
		return ServerID{}, refused("the other side has no certificate")
	}
	return serverOf(state.PeerCertificates[0])
}

// serverOf reads the one SPIFFE id of a certificate.
func serverOf(cert *x509.Certificate) (ServerID, error) {
	if len(cert.URIs) != 1 {
		return ServerID{}, refused("a server's certificate has one URI name, and this one has %d", len(cert.URIs))
	}
	id, err := ParseServerID(cert.URIs[0].String())
	if err != nil {
		return ServerID{}, fault.Wrap(fault.Unauthenticated, err, "the certificate of the other side is not one of a server")
	}
	return id, nil
}

func refused(format string, args ...any) *fault.Error {
	return fault.New(fault.Unauthenticated, format, args...)
}

// ServerTLS gives the settings of a listener that takes servers of the regions trusted, over one of the protocols
// (ALPN; none: any).
func (t *Trust) ServerTLS(own *Issuer, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols, Time: own.cfg.Now,
		GetCertificate: own.GetCertificate, ClientAuth: tls.RequireAnyClientCert,
		// A ticket would outlive the certificate and the trust that it was given for.
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			_, err := t.check(own, state, protocols)
			return err
		},
	}
}

// ClientTLS gives the settings of a connection to a server of one region.
func (t *Trust) ClientTLS(own *Issuer, region [16]byte, protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: protocols, Time: own.cfg.Now,
		GetClientCertificate: own.GetClientCertificate, SessionTicketsDisabled: true,
		// Host names prove nothing here: VerifyConnection checks the SPIFFE id.
		InsecureSkipVerify: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			id, err := t.check(own, state, protocols)
			if err == nil && id.Region != region {
				return refused("%s answers where a server of region %s is expected", id, RegionText(region)).
					WithHint("check the address of the peer")
			}
			return err
		},
	}
}

// check verifies the other side of a handshake.
func (t *Trust) check(own *Issuer, state tls.ConnectionState, protocols []string) (ServerID, error) {
	if len(protocols) > 0 && state.NegotiatedProtocol == "" {
		return ServerID{}, refused("the other side speaks none of the protocols %q", protocols)
	}
	return t.Verify(state.PeerCertificates, own.cfg.Now())
}
