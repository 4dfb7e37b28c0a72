package ca

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"os"
	"time"

	"supercluster/internal/fault"
)

const (
	rootYears = 10
	// backdate is how far before now certificates begin, for machines whose clocks are behind: an hour off is what a wrong time
	// zone or a missed change to summer time makes, and one machine may be ahead while another is behind.
	backdate = 2*time.Hour + 5*time.Minute
)

// Options says what identity to make.
type Options struct {
	// Name is the name of the region.
	Name string
	// TrustDomain is DefaultTrustDomain when it is empty.
	TrustDomain string
	// RegionID is a new random one when it is 0; a region that exists already keeps its own.
	RegionID [16]byte
	Now      time.Time
}

// Init makes the identity of a region and writes its files to a folder, which it makes when there is none. No file is
// ever overwritten. The region file comes last: without it, an attempt was cut short.
func Init(dir string, o Options) (*Identity, error) {
	if o.TrustDomain == "" {
		o.TrustDomain = DefaultTrustDomain
	}
	if err := checkName("region", o.Name); err != nil {
		return nil, err
	}
	if err := checkTrustDomain(o.TrustDomain); err != nil {
		return nil, err
	}
	if o.RegionID == [16]byte{} {
		_, _ = rand.Read(o.RegionID[:]) // it never fails
	}
	id := &Identity{RegionID: o.RegionID, Name: o.Name, TrustDomain: o.TrustDomain, Created: o.Now.UTC().Truncate(time.Second)}
	files, err := id.generate(In(dir))
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, f := range files {
			clear(f.data)
		}
	}()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, writeFault(dir, err)
	}
	return id, writeNew(files)
}

// generate makes the keys and the root, and what their files hold.
func (id *Identity) generate(p Paths) ([]newFile, error) {
	_, feed, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a feed key can not be made")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "a CA key can not be made")
	}
	id.Feed, id.signer = newFeedKey(feed), seal(key)
	if id.Root, err = id.makeRoot(); err != nil {
		return nil, err
	}
	feedPEM, err := encodeKey(feed)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return []newFile{
		{p.FeedKey, feedPEM, 0o600},
		{p.CAKey, keyPEM, 0o600},
		{p.CACert, EncodeBundle(id.Root), 0o644},
		{p.Region, describe(id), 0o644},
	}, nil
}

// makeRoot signs the root: it names the region, and may issue certificates of servers (no further CA) in the trust
// domain only. A SPIFFE id of a CA has no path, so the region stands in the subject.
func (id *Identity) makeRoot() (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{Organization: []string{"SuperCluster"}, CommonName: id.Name, SerialNumber: RegionText(id.RegionID)},
		NotBefore:    id.Created.Add(-backdate), NotAfter: id.Created.AddDate(rootYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		URIs:                        []*url.URL{{Scheme: "spiffe", Host: id.TrustDomain}},
		PermittedDNSDomainsCritical: true, PermittedURIDomains: []string{id.TrustDomain},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, id.signer.public, id.signer)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the CA certificate can not be made")
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the CA certificate can not be made")
	}
	return root, nil
}

// newSerial gives 127 random bits: never 0, never negative, never twice.
func newSerial() *big.Int {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // it never fails
	raw[0] &= 0x7f
	raw[15] |= 1
	return new(big.Int).SetBytes(raw[:])
}
