package xds

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
	"supercluster/xds/resources"
)

// authority is a certificate authority with files of a server and a client.
type authority struct {
	t    testing.TB
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	last int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.key, a.cert = a.issue("ca", template)
	a.issue("server", &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	a.issue("client", &x509.Certificate{DNSNames: []string{"edge-1"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return a
}

// issue writes NAME.pem and NAME-key.pem; the first certificate signs itself and the others.
func (a *authority) issue(name string, template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	template.SerialNumber = big.NewInt(a.last)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+"-key.pem", "EC PRIVATE KEY", keyDER)
	return key, cert
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// server is the transport of a server that asks for a certificate.
func (a *authority) server() grpc.ServerOption {
	a.t.Helper()
	cert, err := tls.LoadX509KeyPair(a.file("server.pem"), a.file("server-key.pem"))
	if err != nil {
		a.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}))
}

func (a *authority) client() *resources.TLS {
	return &resources.TLS{CA: a.file("ca.pem"), Cert: a.file("client.pem"), Key: a.file("client-key.pem")}
}

func TestTLS_BootstrapsOfBothClients(t *testing.T) {
	r := newRegistry(t)
	r.register(t, "greeter", grpcBackend(t))
	r.register(t, "web", runBackend(t, "one").port)
	r.route(t, "shop", "shop.example", "/", "web")
	a := newAuthority(t)
	s := startWith(t, testConfig(r), a.server())

	t.Run("gRPC", func(t *testing.T) {
		c := grpcClientWith(t, "greeter", resources.GRPCBootstrapOptions{
			ID: "my-client", Servers: []string{s.address}, Region: "dc1", TLS: a.client(),
		})
		if _, err := call(c); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("Envoy", func(t *testing.T) {
		envoyBinary(t)
		o := envoyOptions(t, s.address)
		o.TLS = a.client()
		e := runEnvoyWith(t, o)
		eventually(t, "the first answer", func() bool { code, _ := e.get("shop.example", "/"); return code == 200 })
	})
}

// An instance that fails its check gets no request, also when it is the only one: the plan decides, not Envoy.
func TestEnvoy_FollowsHealth(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	one := runBackend(t, "one")
	r.register(t, "web", one.port, func(in *pb.Instance) {
		in.Checks = []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TCP}}
	})
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)
	answers := func(code int) func() bool {
		return func() bool { got, _ := e.get("shop.example", "/"); return got == code }
	}
	eventually(t, "503 before the first check", answers(503))
	if one.hits.Load() != 0 {
		t.Error("an instance that was never checked got a request")
	}
	for _, step := range []struct {
		health pb.Health
		closed bool
		code   int
	}{
		{pb.Health_HEALTH_PASSING, true, 200},
		{pb.Health_HEALTH_CRITICAL, true, 503},
		{pb.Health_HEALTH_CRITICAL, false, 200},
		{pb.Health_HEALTH_CRITICAL, true, 503},
		{pb.Health_HEALTH_WARNING, true, 200},
	} {
		r.judge(t, "web", step.closed, step.health)
		eventually(t, step.health.String(), answers(step.code))
	}
}

// judge makes a service fail-closed or not, and has the first checks of its instances say something.
func (r *registryOf) judge(t testing.TB, service string, closed bool, health pb.Health) {
	t.Helper()
	op, _, err := registry.PutServiceOp(r.View(), &pb.Service{Name: service, FailClosed: closed}, 0, registry.Write{})
	r.write(t, op, err)
	for in := range r.View().Instances("default", "default", registry.Filter{Service: service}) {
		op, err := registry.CheckStatusOp(in, &pb.CheckStatus{CheckId: in.Checks[0].GetId(), Health: health}, registry.Write{})
		r.write(t, op, err)
	}
}
