package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// harness is a server over a fake region, reachable as clients reach it.
type harness struct {
	*Server
	region *fakeRegion
	views  *fakeViews
	conn   *grpc.ClientConn
	url    string
	client *http.Client

	tenants  pb.TenantServiceClient
	registry pb.RegistryServiceClient
	config   pb.ConfigServiceClient
	watch    pb.WatchServiceClient
	cluster  pb.ClusterServiceClient
	proxy    pb.ProxyServiceClient
}

type principalFunc func(context.Context) (access.Principal, error)

// as gives the principal function of a fixed caller.
func as(role access.Role) principalFunc {
	return func(context.Context) (access.Principal, error) {
		return access.Principal{Name: "test", Role: role}, nil
	}
}

func newHarness(t testing.TB, change ...func(*Config)) *harness {
	t.Helper()
	h := &harness{region: newFakeRegion(t)}
	h.views = &fakeViews{r: h.region}
	cfg := Config{
		Region: h.region, Views: h.views, Principal: Dev(), RegionName: "dc1", Node: "n1", Version: "test", Dev: true,
		Log:     slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }),
	}
	for _, fn := range change {
		fn(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = s
	h.serve(t)
	return h
}

// serve runs the server's gRPC side on a socket and its HTTP side in a test server.
func (h *harness) serve(t testing.TB) {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, lis, web) }()
	h.url, h.client = "http://"+web.Addr().String(), &http.Client{Transport: &http.Transport{}}
	h.conn, err = grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.conn.Close(); err != nil {
			t.Error(err)
		}
		h.client.CloseIdleConnections()
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not end")
		}
	})
	h.tenants, h.registry = pb.NewTenantServiceClient(h.conn), pb.NewRegistryServiceClient(h.conn)
	h.config, h.watch = pb.NewConfigServiceClient(h.conn), pb.NewWatchServiceClient(h.conn)
	h.cluster, h.proxy = pb.NewClusterServiceClient(h.conn), pb.NewProxyServiceClient(h.conn)
}

// wantFault checks the kind and field of an answer.
func wantFault(t testing.TB, err error, kind fault.Kind, field string) *fault.Error {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s on %q", kind, field)
	}
	e, ok := fault.As(status.FromGRPC(err))
	if !ok || e.Kind != kind || e.Field != field {
		t.Fatalf("error %v: kind %s field %q, want %s on %q", err, fault.KindOf(status.FromGRPC(err)), e.Field, kind, field)
	}
	return e
}

func (h *harness) register(t testing.TB, service, id, address string, port uint32) *pb.Instance {
	t.Helper()
	resp, err := h.registry.RegisterInstance(t.Context(), &pb.RegisterInstanceRequest{Instance: &pb.Instance{
		Service: service, Id: id, Address: address, Port: port,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetInstance()
}

func (h *harness) put(t testing.TB, name, value string) *pb.PutConfigResponse {
	t.Helper()
	resp, err := h.config.PutConfig(t.Context(), &pb.PutConfigRequest{Config: &pb.Config{Name: name, Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}
