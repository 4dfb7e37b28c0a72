package health

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/registry"
)

// target is what one active check probes. It is immutable.
type target struct {
	kind    pb.CheckType
	addr    netip.AddrPort
	path    string // HTTP: the path; gRPC: the service
	host    string
	timeout time.Duration
	every   time.Duration
	policy  check.Policy
}

// Bounds of a probe's times, whatever a record holds: the API refuses other values, older records might have them.
const (
	minInterval     = 100 * time.Millisecond
	maxInterval     = time.Hour
	defaultInterval = 2 * time.Second
	defaultTimeout  = time.Second
)

// targetOf reads the definition of an active check.
func targetOf(in *registry.InstanceView, def *pb.Check, damping check.Damping) target {
	every := def.GetInterval().AsDuration()
	if every <= 0 {
		every = defaultInterval
	}
	every = min(max(every, minInterval), maxInterval)
	timeout := def.GetTimeout().AsDuration()
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	port := def.GetPort()
	if port == 0 {
		port = in.Instance.GetPort()
	}
	return target{
		kind: def.GetType(), addr: netip.AddrPortFrom(in.Addr, uint16(port)),
		path: def.GetPath(), host: def.GetHost(),
		timeout: min(timeout, every), every: every,
		policy: check.Policy{Rise: def.GetRise(), Fall: max(def.GetFall(), 1), Damping: damping},
	}
}

// outcome is the result of one probe.
type outcome struct {
	health pb.Health
	output string
	// link is a connection to keep for the next probe; nil when there is none.
	link io.Closer
}

func passed(output string) outcome { return outcome{health: pb.Health_HEALTH_PASSING, output: output} }

func failed(format string, args ...any) outcome {
	return outcome{health: pb.Health_HEALTH_CRITICAL, output: fmt.Sprintf(format, args...)}
}

// prober runs single probes. It keeps nothing: connections are handed in and out.
type prober struct {
	dial func(ctx context.Context, addr string) (net.Conn, error)
}

// probe runs one probe, within the target's time-out.
func (p prober) probe(ctx context.Context, t target, link io.Closer) outcome {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	switch t.kind {
	case pb.CheckType_CHECK_TYPE_HTTP:
		return p.http(ctx, t, link)
	case pb.CheckType_CHECK_TYPE_GRPC:
		return p.grpc(ctx, t, link)
	default:
		return p.tcp(ctx, t)
	}
}

func (p prober) tcp(ctx context.Context, t target) outcome {
	conn, err := p.dial(ctx, t.addr.String())
	if err != nil {
		return failed("TCP connect %v: %s", t.addr, reason(ctx, t, err))
	}
	_ = conn.Close()
	return passed(fmt.Sprintf("TCP connect %v: ok", t.addr))
}
