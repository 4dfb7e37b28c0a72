package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/fault"
)

func TestHello_Judged(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	n1 := m.run(m.config("n1"))
	n1.SetRegion([16]byte{1}, func(node string) bool { return node == "n2" })
	stranger := func(change func(*Config)) *Wire {
		cfg := m.config("n2")
		cfg.Listener = nil
		change(&cfg)
		w, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	moved := map[string]string{"n1": "127.0.0.1:1", "n2": m.members["n2"], "n3": m.members["n1"]}
	outsider := map[string]string{"n1": m.members["n1"], "n9": "127.0.0.1:1"}
	tests := []struct {
		name string
		w    *Wire
		to   string
		kind fault.Kind
		text string
	}{
		{"a member", stranger(func(*Config) {}), "n1", fault.Internal, ""},
		{"another region", stranger(func(c *Config) { c.Region = "dc2" }), "n1", fault.Denied, `this is region "dc1", not "dc2"`},
		{"no member", stranger(func(c *Config) { c.Node, c.Members = "n9", outsider }), "n1", fault.Denied, `"n9" is not another member`},
		{"a wrong address", stranger(func(c *Config) { c.Members = moved }), "n3", fault.Denied, `this is node "n1", not "n3"`},
	}
	for _, tt := range tests {
		_, err := tt.w.Knows(testContext(t, 2*time.Second), tt.to)
		if tt.text == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, want %v: %s", tt.name, err, tt.kind, tt.text)
		}
	}
	other := stranger(func(*Config) {})
	other.SetRegion([16]byte{2}, func(string) bool { return false })
	if _, err := other.Knows(testContext(t, time.Second), "n1"); !fault.Is(err, fault.Denied) || !strings.Contains(err.Error(), "ids differ") {
		t.Errorf("another region of the same name: %v", err)
	}
}

func TestKnows(t *testing.T) {
	m := newMesh(t, "n1", "n2", "n3")
	n1 := m.run(m.config("n1"))
	n2, _ := New(m.config("n2"))
	n3, _ := New(m.config("n3"))
	ctx := testContext(t, 3*time.Second)
	if known, err := n2.Knows(ctx, "n1"); known || err != nil {
		t.Errorf("before the region exists: %v, %v", known, err)
	}
	n1.SetRegion([16]byte{1}, func(node string) bool { return node == "n2" })
	if known, err := n2.Knows(ctx, "n1"); !known || err != nil {
		t.Errorf("a node with a record: %v, %v", known, err)
	}
	if known, err := n3.Knows(ctx, "n1"); known || err != nil {
		t.Errorf("a node without one: %v, %v", known, err)
	}
}

func TestAccept_GarbageAndSilence(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	n1 := m.run(m.config("n1"), handle(2, echo))
	for _, garbage := range []string{"GET / HTTP/1.1\r\n\r\n", strings.Repeat("\xff", 64), "\x00\x00\x00\x00\x01"} {
		c, err := net.Dial("tcp", m.members["n1"])
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(garbage))
		defer c.Close()
	}
	m.run(m.config("n2"), handle(2, echo))
	eventually(t, "n1 still serves", time.Second, func() bool {
		_, err := n1.Call(testContext(t, time.Second), "n2", 2, nil)
		return err == nil
	})
}

func TestListen_PortInUse(t *testing.T) {
	m := newMesh(t, "n1")
	cfg := m.config("n1")
	cfg.Listener = nil
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(context.Background()); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

func TestTLS_CertificatesRotateAndStrangersAreRefused(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	var current atomic.Pointer[tls.Certificate]
	first := ours.issue(t)
	current.Store(&first)
	var asked atomic.Int64
	server := &tls.Config{
		MinVersion: tls.VersionTLS13, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ours.pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked.Add(1)
			return current.Load(), nil
		},
	}
	client := &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: ours.pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return current.Load(), nil },
	}
	m := newMesh(t, "n1", "n2", "n3")
	n1 := m.run(withTLS(m.config("n1"), server, client), handle(2, echo))
	m.run(withTLS(m.config("n2"), server, client), handle(2, echo))
	eventually(t, "n1 hears n2", 2*time.Second, func() bool { return len(n1.Alive()) == 2 })
	if _, err := n1.Call(testContext(t, time.Second), "n2", 2, []byte("over TLS")); err != nil {
		t.Error(err)
	}

	before := asked.Load()
	second := ours.issue(t)
	current.Store(&second)
	probe, err := New(withTLS(m.config("n3"), server, client))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := probe.Knows(testContext(t, time.Second), "n1"); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
	if asked.Load() == before {
		t.Error("a new handshake did not ask for the certificate")
	}

	stolen := theirs.issue(t)
	refused := map[string]*tls.Config{
		"a certificate of an unknown CA": {RootCAs: ours.pool, Certificates: []tls.Certificate{stolen}},
		"no certificate":                 {RootCAs: ours.pool},
		"trusting another CA":            {RootCAs: theirs.pool, Certificates: []tls.Certificate{first}},
	}
	for name, cfg := range refused {
		w, err := New(withTLS(m.config("n3"), server, cfg))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Knows(testContext(t, 2*time.Second), "n1"); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
	plain, _ := New(m.config("n3"))
	if _, err := plain.Knows(testContext(t, 2*time.Second), "n1"); err == nil {
		t.Error("plain TCP was let in")
	}
}

func TestNew_Refuses(t *testing.T) {
	tests := []Config{
		{Node: "n1", Members: map[string]string{"n2": "127.0.0.1:1"}},
		{Node: "n1", Members: map[string]string{"n1": "nowhere"}},
		{Node: "n1", Members: map[string]string{"n1": "127.0.0.1:1"}, Server: &tls.Config{}},
	}
	for i, cfg := range tests {
		if _, err := New(cfg); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// authority is a CA that lives as long as a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{key: key, cert: cert, pool: pool}
}

func (a *authority) issue(t *testing.T) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "node"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}
