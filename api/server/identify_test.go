package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// authority is a certificate authority of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{key: newKey(t), pool: x509.NewCertPool()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert = signed(t, template, template, &a.key.PublicKey, a.key)
	a.pool.AddCert(a.cert)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t *testing.T, template, parent *x509.Certificate, pub *ecdsa.PublicKey, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a certificate with names for client and server.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "op.example"}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	change(template)
	leaf := signed(t, template, a.cert, &key.PublicKey, a.key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

func named(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

func TestIdentify(t *testing.T) {
	ca := newAuthority(t)
	identify := Identify([]string{"op.example", "both.example"}, []string{"spiffe://sc/reader", "both.example"}, []string{"10.0.0.7", "p@example.org"})
	spiffe, err := url.Parse("spiffe://sc/reader")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*x509.Certificate)
		want   access.Principal
	}{
		{"operator", named("op.example"), access.Principal{Name: "op.example", Role: access.RoleOperator}},
		{"listed twice", named("both.example"), access.Principal{Name: "both.example", Role: access.RoleOperator}},
		{"second name", named("x.example", "op.example"), access.Principal{Name: "op.example", Role: access.RoleOperator}},
		{"URI", func(c *x509.Certificate) { c.URIs = []*url.URL{spiffe} }, access.Principal{Name: "spiffe://sc/reader", Role: access.RoleReader}},
		{"address", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 0, 0, 7)} }, access.Principal{Name: "10.0.0.7", Role: access.RoleProxy}},
		{"mail", func(c *x509.Certificate) { c.EmailAddresses = []string{"p@example.org"} }, access.Principal{Name: "p@example.org", Role: access.RoleProxy}},
		{"unlisted", named("x.example"), access.Principal{Name: "x.example"}},
		// The common name is for people: it decides nothing.
		{"common name only", named(), access.Principal{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			leaf := ca.issue(t, tt.change).Leaf
			state := tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf, ca.cert}}}
			got, err := identify(peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}}))
			if err != nil || got != tt.want {
				t.Errorf("%+v, %v, want %+v", got, err, tt.want)
			}
			// A certificate that was shown but not verified is nobody's.
			shown := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
			got, err = identify(peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: shown}}))
			if err != nil || got != (access.Principal{}) {
				t.Errorf("unverified: %+v, %v", got, err)
			}
		})
	}
	if got, err := identify(t.Context()); err != nil || got != (access.Principal{}) {
		t.Errorf("without a peer: %+v, %v", got, err)
	}
}

// Outside loopback: both listeners ask for a certificate and take the principal from it.
func TestTLS_BothListeners(t *testing.T) {
	ca := newAuthority(t)
	serverCert := ca.issue(t, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	region := newFakeRegion(t)
	s, err := New(Config{
		Region: region, Views: &fakeViews{r: region}, Principal: Identify([]string{"op"}, []string{"reader"}, nil),
		RegionName: "dc1", Node: "n1",
		TLS: &tls.Config{Certificates: []tls.Certificate{serverCert}, ClientCAs: ca.pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		t.Fatal(err)
	}
	grpcAddr, httpAddr, stop := runServer(t, s)
	defer stop()
	for _, tt := range []struct {
		name                      string
		put, get                  fault.Kind // Internal stands for none
		httpPut, httpGet, healthz int
	}{
		{"op", fault.Internal, fault.Internal, 200, 200, 200},
		{"reader", fault.Denied, fault.Internal, 403, 200, 200},
		{"stranger", fault.Unauthenticated, fault.Unauthenticated, 401, 401, 200},
	} {
		client := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, named(tt.name))}, RootCAs: ca.pool}
		conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(credentials.NewTLS(client)))
		if err != nil {
			t.Fatal(err)
		}
		config := pb.NewConfigServiceClient(conn)
		_, err = config.PutConfig(t.Context(), &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("1")}})
		wantKind(t, tt.name+" puts", err, tt.put)
		_, err = config.GetConfig(t.Context(), &pb.GetConfigRequest{Name: "a"})
		wantKind(t, tt.name+" gets", err, tt.get)
		health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health for %s: %v, %v", tt.name, health, err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{TLSClientConfig: client}
		web := &harness{url: "https://" + httpAddr, client: &http.Client{Transport: transport}}
		if a := web.do(t, "PUT", "/api/v1/config/a", config64); a.status != tt.httpPut {
			t.Errorf("%s puts over HTTP: %d %s", tt.name, a.status, a.text)
		}
		if a := web.do(t, "GET", "/api/v1/config/a", ""); a.status != tt.httpGet {
			t.Errorf("%s gets over HTTP: %d %s", tt.name, a.status, a.text)
		}
		if a := web.do(t, "GET", "/healthz", ""); a.status != tt.healthz {
			t.Errorf("%s asks for health: %d", tt.name, a.status)
		}
		transport.CloseIdleConnections()
	}
	// Without a certificate there is no connection.
	bare := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool}}
	defer bare.CloseIdleConnections()
	resp, err := (&http.Client{Transport: bare}).Get("https://" + httpAddr + "/healthz")
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		t.Error("a client without a certificate was answered")
	}
}

var config64 = config(`{}`)

// wantKind checks the kind of an answer; Internal stands for no error.
func wantKind(t *testing.T, what string, err error, want fault.Kind) {
	t.Helper()
	if want == fault.Internal && err == nil {
		return
	}
	if got := fault.KindOf(fromGRPC(err)); err == nil || got != want {
		t.Errorf("%s: %v, want %s", what, err, want)
	}
}

// runServer runs a server on two loopback ports until stop is called.
func runServer(t *testing.T, s *Server) (grpcAddr, httpAddr string, stop func()) {
	t.Helper()
	var lis [2]net.Listener
	for i := range lis {
		var err error
		if lis[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, lis[0], lis[1]) }()
	return lis[0].Addr().String(), lis[1].Addr().String(), func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}
