package ca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	mathrand "math/rand/v2"
	"net/url"
	"sync/atomic"
	"time"

	"supercluster/internal/fault"
)

const (
	// lifetime of a server's certificate.
	lifetime = 24 * time.Hour
	// longestWait bounds how long the clock is not looked at: a machine that slept, or whose clock was set, renews soon.
	longestWait = time.Hour
	// retryAfter is the pause after a failed renewal, and the shortest one between two.
	retryAfter = time.Minute
)

// IssuerConfig says whose certificates an Issuer makes.
type IssuerConfig struct {
	Identity *Identity
	// Server is the name of this server in its region.
	Server string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Issuer keeps a fresh certificate for this server, signed by the CA of its region. Key and certificate are in memory
// only.
type Issuer struct {
	cfg     IssuerConfig
	id      *url.URL
	current atomic.Pointer[leaf]
}

// leaf is a certificate in use.
type leaf struct {
	certificate *tls.Certificate
	renewAt     time.Time
}

// NewIssuer issues the first certificate and starts nothing.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	id, err := cfg.Identity.Server(cfg.Server).url()
	if err != nil {
		return nil, err
	}
	i := &Issuer{cfg: cfg, id: id}
	return i, i.renew()
}

// Run renews the certificate after two thirds of its lifetime, until ctx ends. A renewal that fails is logged and
// tried again.
func (i *Issuer) Run(ctx context.Context) error {
	wait := i.untilRenewal()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if i.cfg.Now().Before(i.current.Load().renewAt) {
			wait = i.untilRenewal()
			continue
		}
		if err := i.renew(); err != nil {
			i.cfg.Log.Error("the certificate of this server can not be renewed", "server", i.id, "error", err)
			wait = retryAfter
			continue
		}
		i.cfg.Log.Info("certificate renewed", "server", i.id, "until", i.current.Load().certificate.Leaf.NotAfter)
		wait = max(i.untilRenewal(), retryAfter)
	}
}

func (i *Issuer) untilRenewal() time.Duration {
	return min(i.current.Load().renewAt.Sub(i.cfg.Now()), longestWait)
}

func (i *Issuer) renew() error {
	now := i.cfg.Now()
	certificate, err := i.cfg.Identity.issue(i.id, i.cfg.Server, now)
	if err != nil {
		return err
	}
	i.current.Store(&leaf{certificate: certificate, renewAt: renewAt(now, certificate.Leaf.NotAfter, mathrand.Float64())})
	return nil
}

// renewAt is after two thirds of the time that is left, and up to a twelfth of it more (jitter in [0, 1)), so that
// servers that started together do not renew together.
func renewAt(now, end time.Time, jitter float64) time.Time {
	left := end.Sub(now)
	return now.Add(left*2/3 + time.Duration(jitter*float64(left/12)))
}

// issue makes a key and a certificate for it, which ends no later than the root.
func (id *Identity) issue(server *url.URL, name string, now time.Time) (*tls.Certificate, error) {
	if err := checkTime("the CA certificate of region "+id.Name, id.Root, now); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a key can not be made")
	}
	end := now.Add(lifetime)
	if end.After(id.Root.NotAfter) {
		end = id.Root.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-backdate), NotAfter: end, URIs: []*url.URL{server}, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, id.Root, key.Public(), id.signer)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a certificate for %s can not be issued", server)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a certificate for %s can not be issued", server)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: seal(key), Leaf: cert}, nil
}

// Certificate gives the certificate in use.
func (i *Issuer) Certificate() *tls.Certificate { return i.current.Load().certificate }

// GetCertificate is for the tls.Config of a server.
func (i *Issuer) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return i.Certificate(), nil
}

// GetClientCertificate is for the tls.Config of a client.
func (i *Issuer) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return i.Certificate(), nil
}
