package health

import (
	"context"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// grpc asks the standard health service of a gRPC server. A connection is kept while it answers; after a failure the
// next probe makes a new one, so that no back-off of an old connection delays the recovery.
func (p prober) grpc(ctx context.Context, t target, kept io.Closer) outcome {
	conn, ok := kept.(*grpc.ClientConn)
	if !ok {
		var err error
		if conn, err = p.grpcConn(t); err != nil {
			return failed("gRPC health %v: %v", t.addr, err)
		}
	}
	res, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{Service: t.path})
	if err != nil {
		_ = conn.Close()
		return failed("gRPC health %v%s: %s", t.addr, of(t.path), grpcReason(ctx, t, err))
	}
	out := passed(fmt.Sprintf("gRPC health %v%s: %v", t.addr, of(t.path), res.GetStatus()))
	if res.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		out = failed("gRPC health %v%s: %v", t.addr, of(t.path), res.GetStatus())
	}
	out.link = conn
	return out
}

func (p prober) grpcConn(t target) (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+t.addr.String(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return p.dial(ctx, addr) }),
		grpc.WithNoProxy(),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(),
		grpc.WithDisableHealthCheck(),
		grpc.WithIdleTimeout(0),
		grpc.WithUserAgent("supercluster-health/1"),
		grpc.WithReadBufferSize(2<<10),
		grpc.WithWriteBufferSize(2<<10),
		grpc.WithMaxHeaderListSize(16<<10),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(4<<10)),
	)
}

func of(service string) string {
	if service == "" {
		return ""
	}
	return " of " + service
}

func grpcReason(ctx context.Context, t target, err error) string {
	s := status.Convert(err)
	switch {
	case s.Code() == codes.DeadlineExceeded || ctx.Err() != nil:
		return fmt.Sprintf("no answer within %v", t.timeout)
	case s.Code() == codes.Unimplemented:
		return "the server does not implement grpc.health.v1"
	case s.Code() == codes.NotFound:
		return "the server does not know this service"
	default:
		return fmt.Sprintf("%v: %s", s.Code(), s.Message())
	}
}
