package server

import (
	"fmt"
	"sync/atomic"
	"testing"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"

	"google.golang.org/grpc/health/grpc_health_v1"
)

func TestQuota_PerPrincipalAndClass(t *testing.T) {
	q := newQuotas(Limits{ReadRate: 3, WriteRate: 1, OpenRate: 0.5})
	take := func(c class, who string, n int) (allowed int) {
		for range n {
			if q.take(c, who) == nil {
				allowed++
			}
		}
		return allowed
	}
	if got := take(classRead, "a", 10); got != 3 {
		t.Errorf("a read %d times in a moment, its quota is 3", got)
	}
	if got := take(classRead, "b", 10); got != 3 {
		t.Errorf("b read %d times: it has a quota of its own", got)
	}
	if got := take(classWrite, "a", 10); got != 1 {
		t.Errorf("a wrote %d times: writes have a quota of their own", got)
	}
	if got := take(classOpen, "a", 10); got != 1 {
		t.Errorf("a opened %d streams: a rate below one still allows the first", got)
	}
	if got := take(classFree, "a", 1000); got != 1000 {
		t.Errorf("health was refused %d times", 1000-got)
	}
	e, _ := fault.As(q.take(classRead, "a"))
	if e == nil || e.Kind != fault.Busy || e.RetryAfter <= 0 {
		t.Errorf("over the quota: %+v, want busy with a time to wait", e)
	}
}

// Names cannot fill the memory.
func TestQuota_IsBounded(t *testing.T) {
	q := newQuotas(Limits{ReadRate: 1, WriteRate: 1, OpenRate: 1})
	for i := range maxPrincipals + 100 {
		_ = q.take(classRead, fmt.Sprint(i))
	}
	if len(q.buckets) != maxPrincipals {
		t.Errorf("%d buckets, want %d", len(q.buckets), maxPrincipals)
	}
	if q.of("one more") != q.shared {
		t.Error("the principals over the bound do not share a bucket")
	}
}

// Over its quota a client is told so, over HTTP with Retry-After, and health still answers.
func TestQuota_AtTheDoor(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Limits.ReadRate = 0.2 })
	if _, err := h.cluster.GetStatus(t.Context(), &pb.GetStatusRequest{}); err != nil {
		t.Fatal(err)
	}
	_, err := h.cluster.GetStatus(t.Context(), &pb.GetStatusRequest{})
	wantFault(t, err, fault.Busy, "")
	a := h.do(t, "GET", "/api/v1/status", "")
	a.wantError(t, 429, fault.Busy, "")
	if a.header.Get("Retry-After") != "5" {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	for range 20 {
		if _, err := grpc_health_v1.NewHealthClient(h.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHealth(t *testing.T) {
	var reasons atomic.Pointer[[]string]
	reasons.Store(&[]string{})
	h := newHarness(t, func(c *Config) { c.NotReady = func() []string { return *reasons.Load() } })
	health := grpc_health_v1.NewHealthClient(h.conn)
	check := func(service string) grpc_health_v1.HealthCheckResponse_ServingStatus {
		resp, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		return resp.GetStatus()
	}
	if got := check("supercluster.v1.ConfigService"); got != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("a ready node is %s", got)
	}
	reasons.Store(&[]string{"loading"})
	if got := check(""); got != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("a loading node is %s", got)
	}
	_, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "none"})
	wantFault(t, err, fault.NotFound, "")
	list, err := health.List(t.Context(), &grpc_health_v1.HealthListRequest{})
	if err != nil || len(list.GetStatuses()) < 7 {
		t.Errorf("%v, %v", list, err)
	}
	stream, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "none"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := stream.Recv()
	if err != nil || first.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("%v, %v", first, err)
	}
}
