package link

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"
)

// region ids of tests.
var (
	west  = [16]byte{1}
	east  = [16]byte{2}
	north = [16]byte{3}
)

// authority is the root CA of one region.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour * 1000),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert: cert, key: key}
}

// issue gives a server of a region a certificate that is valid for so long.
func (a *authority) issue(t testing.TB, id PeerID, valid time.Duration) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	uri := &url.URL{
		Scheme: "spiffe", Host: "supercluster.internal",
		Path: "/region/" + hex.EncodeToString(id.Region[:]) + "/server/" + id.Server,
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// config trusts the authorities given, whatever the name of the host.
func tlsConfig(own tls.Certificate, trusted ...*authority) *tls.Config {
	roots := x509.NewCertPool()
	for _, a := range trusted {
		roots.AddCert(a.cert)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{own}, InsecureSkipVerify: true, ClientAuth: tls.RequireAnyClientCert,
		VerifyConnection: func(s tls.ConnectionState) error {
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
			})
			return err
		},
	}
}

func identify(s tls.ConnectionState) (PeerID, error) {
	var id PeerID
	cert := s.PeerCertificates[0]
	if len(cert.URIs) != 1 {
		return id, errors.New("no URI")
	}
	parts := strings.Split(cert.URIs[0].Path, "/")
	if len(parts) != 5 {
		return id, errors.New("another URI")
	}
	region, err := hex.DecodeString(parts[2])
	copy(id.Region[:], region)
	id.Server = parts[4]
	return id, err
}
