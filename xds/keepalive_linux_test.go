package xds

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// accepting shows each connection that it accepts. What it gives to its server is still a TCP connection: gRPC sets no option
// on any other.
type accepting struct {
	net.Listener
	accepted chan *net.TCPConn
}

func (l *accepting) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted <- c.(*net.TCPConn)
	return c, nil
}

// gRPC gives the timeout of keepalive to the kernel as well, which then ends a connection whose other end takes nothing for so
// long, however alive it is: a process that waits for a processor. That was 10 s, and of a thousand clients that loaded at once on
// two processors some were cut, connected again and had all to load once more.
func TestServerOptions_KernelLeavesASlowClientItsTime(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &accepting{Listener: inner, accepted: make(chan *net.TCPConn, 1)}
	g := grpc.NewServer(ServerOptions()...)
	healthpb.RegisterHealthServer(g, health.NewServer())
	var serving sync.WaitGroup
	serving.Go(func() { _ = g.Serve(l) })
	defer serving.Wait()
	defer g.Stop()
	conn, err := grpc.NewClient(inner.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// The answer of a call comes after the options of its connection are set.
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	limit := Limits{}.withDefaults().Send
	if got := userTimeout(t, <-l.accepted); got < limit {
		t.Errorf("the kernel ends a connection whose client takes nothing for %s, the limit for a response is %s", got, limit)
	}
}

func userTimeout(t *testing.T, c *net.TCPConn) time.Duration {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var ms int
	var failed error
	if err := raw.Control(func(fd uintptr) {
		ms, failed = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
	}); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatal(failed)
	}
	return time.Duration(ms) * time.Millisecond
}
