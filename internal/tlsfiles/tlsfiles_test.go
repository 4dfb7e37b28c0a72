package tlsfiles

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"supercluster/internal/fault"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// authority issues certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
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
	a := &authority{cert: cert, key: key, dir: t.TempDir()}
	writePEM(t, filepath.Join(a.dir, "ca.pem"), "CERTIFICATE", der)
	return a
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// issue writes a certificate for a name, a SPIFFE id and 127.0.0.1, and gives its files.
func (a *authority) issue(t *testing.T, name string, from, to time.Time) Files {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := url.Parse("spiffe://test/" + name)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "not-a-name"}, NotBefore: from, NotAfter: to,
		DNSNames: []string{name}, URIs: []*url.URL{id}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	f := Files{Cert: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+".key"), CA: filepath.Join(a.dir, "ca.pem")}
	writePEM(t, f.Cert, "CERTIFICATE", der)
	writePEM(t, f.Key, "PRIVATE KEY", keyDER)
	return f
}

func (a *authority) valid(t *testing.T, name string) Files {
	t.Helper()
	return a.issue(t, name, now.Add(-time.Hour), now.Add(time.Hour))
}

func TestLoad_Refusals(t *testing.T) {
	a, other := newAuthority(t, "a"), newAuthority(t, "b")
	good := a.valid(t, "n1")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no PEM here"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		files Files
		want  string
	}{
		{"no key", Files{Cert: good.Cert, CA: good.CA}, "the key file is missing"},
		{"no CA", Files{Cert: good.Cert, Key: good.Key}, "the CA file is missing"},
		{"missing file", Files{Cert: good.Cert + "x", Key: good.Key, CA: good.CA}, "cannot use certificate"},
		{"foreign key", Files{Cert: good.Cert, Key: other.valid(t, "n1").Key, CA: good.CA}, "cannot use certificate"},
		{"CA that is text", Files{Cert: good.Cert, Key: good.Key, CA: text}, "holds no PEM certificate"},
		{"CA that is a key", Files{Cert: good.Cert, Key: good.Key, CA: good.Key}, "holds no PEM certificate"},
		{"expired", a.issue(t, "old", now.Add(-2*time.Hour), now.Add(-time.Hour)), "expired at 2026-11-22T11:00:00Z"},
		{"not valid yet", a.issue(t, "new", now.Add(time.Hour), now.Add(2*time.Hour)), "is not valid before"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.files, now)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want an invalid one with %q", err, tt.want)
			}
		})
	}
	if _, err := Load(good, now); err != nil {
		t.Errorf("good files are refused: %v", err)
	}
}

// TestHandshake checks who can talk to whom, with real handshakes.
func TestHandshake(t *testing.T) {
	a, b := newAuthority(t, "a"), newAuthority(t, "b")
	server, err := Load(a.valid(t, "server"), now)
	if err != nil {
		t.Fatal(err)
	}
	own, foreign := a.valid(t, "client"), b.valid(t, "client")
	tests := []struct {
		name  string
		files Files
		ok    bool
	}{
		{"certificate of the CA", own, true},
		{"no certificate", Files{CA: own.CA}, false},
		{"certificate of another CA", Files{Cert: foreign.Cert, Key: foreign.Key, CA: own.CA}, false},
		{"client that trusts another CA", Files{Cert: own.Cert, Key: own.Key, CA: foreign.CA}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			client, err := ClientConfig(tt.files, now)
			if err != nil {
				t.Fatal(err)
			}
			client.ServerName = "server"
			names, err := handshake(t, server.Server(), client)
			if (err == nil) != tt.ok {
				t.Fatalf("handshake error = %v, want success %v", err, tt.ok)
			}
			if tt.ok && !slices.Equal(names, []string{"client", "spiffe://test/client", "127.0.0.1"}) {
				t.Errorf("the server saw the names %q", names)
			}
		})
	}
}

// handshake connects both sides over a socket and gives the names the server saw.
func handshake(t *testing.T, server, client *tls.Config) ([]string, error) {
	t.Helper()
	fixed := func() time.Time { return now }
	server.Time, client.Time = fixed, fixed
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := tls.Dial("tcp", listener.Addr().String(), client)
		if err == nil {
			_, _ = c.Write([]byte("x"))
			c.Close()
		}
	}()
	raw, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	s := tls.Server(raw, server)
	_, err = io.ReadFull(s, make([]byte, 1))
	s.Close()
	<-done
	if err != nil {
		return nil, err
	}
	return Names(s.ConnectionState().PeerCertificates[0]), nil
}

func TestClientConfig_HalfACertificateIsRefused(t *testing.T) {
	if _, err := ClientConfig(Files{Cert: "x"}, now); !fault.Is(err, fault.Invalid) {
		t.Errorf("error = %v, want an invalid one", err)
	}
	if config, err := ClientConfig(Files{}, now); err != nil || config.RootCAs != nil {
		t.Errorf("no files: %v, %v; want the system's authorities", config, err)
	}
	if !(Files{}).Empty() || (Files{CA: "x"}).Empty() {
		t.Error("Empty is wrong")
	}
}
