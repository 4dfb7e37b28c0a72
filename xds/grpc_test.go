package xds

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	xdsclient "google.golang.org/grpc/xds"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/resources"
)

// grpcBackend is a gRPC server that a client can reach.
func grpcBackend(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() { g.Stop(); serving.Wait() })
	return l.Addr().(*net.TCPAddr).Port
}

// grpcClient dials `xds:///name` with our own bootstrap.
func grpcClient(t testing.TB, name string, servers ...string) healthpb.HealthClient {
	t.Helper()
	return grpcClientWith(t, name, resources.GRPCBootstrapOptions{ID: "my-client", Servers: servers, Region: "dc1"})
}

func grpcClientWith(t testing.TB, name string, o resources.GRPCBootstrapOptions) healthpb.HealthClient {
	t.Helper()
	bootstrap, err := resources.GRPCBootstrap(o)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := xdsclient.NewXDSResolverWithConfigForTesting(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("xds:///"+name, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithResolvers(resolver))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return healthpb.NewHealthClient(conn)
}

// call tells which port answered.
func call(c healthpb.HealthClient) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	var p peer.Peer
	if _, err := c.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Peer(&p)); err != nil {
		return 0, err
	}
	return p.Addr.(*net.TCPAddr).Port, nil
}

func TestGRPC_RealClient(t *testing.T) {
	r := newRegistry(t)
	one, two := grpcBackend(t), grpcBackend(t)
	r.register(t, "greeter", one)
	s := start(t, r)
	c := grpcClient(t, "greeter", s.address)
	if port, err := call(c); err != nil || port != one {
		t.Fatalf("the first call: port %d, %v", port, err)
	}
	r.register(t, "greeter", two)
	eventually(t, "both are used", func() bool {
		port, err := call(c)
		return err == nil && port == two
	})
	// A graceful leave: no call fails.
	r.register(t, "greeter", one, draining)
	eventually(t, "only the second is used", func() bool {
		for range 10 {
			if port, err := call(c); err != nil || port != two {
				return false
			}
		}
		return true
	})
	r.deregister(t, "greeter", one)
	for range 50 {
		if port, err := call(c); err != nil || port != two {
			t.Fatalf("port %d, %v", port, err)
		}
	}
	for _, p := range s.Proxies() {
		if p.GetClient() != "grpc" || p.GetProtocol() != "sotw" || len(p.GetTypes()) != 4 {
			t.Errorf("shown as %v", p)
		}
		for _, pt := range p.GetTypes() {
			if pt.GetNacks() > 0 || pt.GetVersionAcked() == "" {
				t.Errorf("shown as %v", pt)
			}
		}
	}
}

// A client that asks for a service which does not exist waits for it, and has it as soon as it appears.
func TestGRPC_ServiceThatAppearsLater(t *testing.T) {
	r := newRegistry(t)
	s := start(t, r)
	c := grpcClient(t, "later", s.address)
	answered := make(chan error, 1)
	go func() {
		_, err := call(c)
		answered <- err
	}()
	eventually(t, "the client asks", func() bool {
		proxies := s.Proxies()
		return len(proxies) == 1 && len(proxies[0].GetTypes()) > 0 && !proxies[0].GetTypes()[0].GetPending()
	})
	r.register(t, "later", grpcBackend(t))
	if err := <-answered; err != nil {
		t.Errorf("the call: %v", err)
	}
}

func TestGRPC_KeepsItsConfigurationWhenAServerIsLost(t *testing.T) {
	r := newRegistry(t)
	port := grpcBackend(t)
	r.register(t, "greeter", port)
	one, two := start(t, r), start(t, r)
	c := grpcClient(t, "greeter", one.address, two.address)
	if _, err := call(c); err != nil {
		t.Fatal(err)
	}
	one.stop()
	for i := range 50 {
		if _, err := call(c); err != nil {
			t.Fatalf("call %d after the loss: %v", i, err)
		}
	}
	fresh := grpcClient(t, "greeter", one.address, two.address)
	if _, err := call(fresh); err != nil {
		t.Fatalf("a new client with one server lost: %v", err)
	}
}

// While nobody is healthy a gRPC client calls those last known, and nobody when the service is fail-closed.
func TestGRPC_FollowsHealth(t *testing.T) {
	r := newRegistry(t)
	port := grpcBackend(t)
	r.register(t, "greeter", port, func(in *pb.Instance) { in.Checks = []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TCP}} })
	s := start(t, r)
	c := grpcClient(t, "greeter", s.address)
	for _, step := range []struct {
		health pb.Health
		closed bool
		code   codes.Code
	}{
		{pb.Health_HEALTH_PASSING, true, codes.OK},
		{pb.Health_HEALTH_CRITICAL, true, codes.Unavailable},
		{pb.Health_HEALTH_CRITICAL, false, codes.OK},
		{pb.Health_HEALTH_CRITICAL, true, codes.Unavailable},
		{pb.Health_HEALTH_WARNING, true, codes.OK},
	} {
		r.judge(t, "greeter", step.closed, step.health)
		eventually(t, step.health.String(), func() bool {
			_, err := call(c)
			return status.Code(err) == step.code
		})
	}
}
