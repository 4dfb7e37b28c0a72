package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"slices"
	"time"

	"supercluster/internal/fault"
)

// Files names certificate files in PEM form.
type Files struct {
	// Cert and Key are the certificate chain and private key of this process.
	Cert, Key string
	// CA is what the other side's certificate must come from.
	CA string
}

// Empty reports whether no file is named.
func (f Files) Empty() bool { return f == Files{} }

// Identity is a loaded set of files.
type Identity struct {
	certificate tls.Certificate
	ca          *x509.CertPool
}

// Load reads all three files and checks that they fit.
func Load(f Files, now time.Time) (*Identity, error) {
	for _, need := range []struct{ what, path string }{{"certificate", f.Cert}, {"key", f.Key}, {"CA", f.CA}} {
		if need.path == "" {
			return nil, fault.New(fault.Invalid, "the %s file is missing: certificate, key and CA belong together", need.what)
		}
	}
	cert, err := loadPair(f.Cert, f.Key, now)
	if err != nil {
		return nil, err
	}
	pool, err := loadPool(f.CA)
	if err != nil {
		return nil, err
	}
	return &Identity{certificate: cert, ca: pool}, nil
}

// ClientConfig gives the settings of a client that may have a certificate (both Cert and Key, or neither) and
// trusts the CA file, or the system's authorities when none is named.
func ClientConfig(f Files, now time.Time) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if f.CA != "" {
		pool, err := loadPool(f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	if (f.Cert == "") != (f.Key == "") {
		return nil, fault.New(fault.Invalid, "certificate and key belong together: only one of them is named")
	}
	if f.Cert != "" {
		cert, err := loadPair(f.Cert, f.Key, now)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

// Server gives the settings of a listener that takes only clients with a certificate of the CA.
func (id *Identity) Server(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.certificate},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    id.ca,
		NextProtos:   protocols,
	}
}

// Client gives the settings of a connection to another server of the region.
func (id *Identity) Client(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{id.certificate},
		RootCAs:      id.ca,
		NextProtos:   protocols,
	}
}

// Names lists the subject alternative names of a certificate: DNS names, URIs (SPIFFE ids), e-mail and IP
// addresses. The common name is no identity and is left out.
func Names(cert *x509.Certificate) []string {
	names := slices.Clone(cert.DNSNames)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	names = append(names, cert.EmailAddresses...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func loadPair(certPath, keyPath string, now time.Time) (tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(certPath, keyPath)
	if err != nil {
		return tls.Certificate{}, fault.Wrap(fault.Invalid, err, "cannot use certificate %s with key %s", certPath, keyPath)
	}
	if now.After(cert.Leaf.NotAfter) {
		return tls.Certificate{}, fault.New(fault.Invalid, "certificate %s expired at %s", certPath, cert.Leaf.NotAfter.UTC().Format(time.RFC3339)).
			WithHint("issue a new one")
	}
	if now.Before(cert.Leaf.NotBefore) {
		return tls.Certificate{}, fault.New(fault.Invalid, "certificate %s is not valid before %s", certPath, cert.Leaf.NotBefore.UTC().Format(time.RFC3339)).
			WithHint("is the clock of this machine right?")
	}
	return cert, nil
}

func loadPool(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "cannot read CA file %s", path)
	}
	pool := x509.NewCertPool()
	found := 0
	for len(data) > 0 {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "CA file %s holds a certificate that does not parse", path)
		}
		pool.AddCert(cert)
		found++
	}
	if found == 0 {
		return nil, fault.New(fault.Invalid, "CA file %s holds no PEM certificate", path)
	}
	return pool, nil
}
