package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "supercluster/api/gen/supercluster/v1"
)

// collector takes spans as an OTLP collector does and remembers which trace each belongs to.
type collector struct {
	coltrace.UnimplementedTraceServiceServer
	mu     sync.Mutex
	traces map[string][]string // trace id -> region and name of each span
}

func (c *collector) Export(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.ResourceSpans {
		region := ""
		for _, a := range rs.GetResource().GetAttributes() {
			if a.GetKey() == "supercluster.region" {
				region = a.GetValue().GetStringValue()
			}
		}
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.traces[string(s.TraceId)] = append(c.traces[string(s.TraceId)], region+":"+s.Name)
			}
		}
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

// joined reports whether one trace has a span of each name.
func (c *collector) joined(names ...string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, spans := range c.traces {
		all := strings.Join(spans, " ") + " "
		if !slices.ContainsFunc(names, func(name string) bool { return !strings.Contains(all, name+" ") }) {
			return true
		}
	}
	return false
}

// collect runs a collector and gives its URL.
func collect(t *testing.T) (*collector, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{traces: map[string][]string{}}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, c)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return c, "http://" + l.Addr().String()
}

// TestTrace_AWriteIsOneTraceFromAPIToView runs dev with a collector. The spans arrive at the latest when it stops.
func TestTrace_AWriteIsOneTraceFromAPIToView(t *testing.T) {
	c, url := collect(t)
	t.Run("script", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Files: []string{"testdata/trace.txtar"},
			Setup: func(env *testscript.Env) error {
				env.Setenv("COLLECTOR", url)
				return setup(env)
			},
			Cmds: commands(),
		})
	})
	if !c.joined("dc1:/supercluster.v1.RegistryService/RegisterInstance", "dc1:view.publish") {
		t.Errorf("no trace has both the call and the publication of the view: %q", c.traces)
	}
}

// TestTrace_AWriteIsOneTraceAcrossRegions: what a client writes in one region is one trace to the views of all. So is a
// write that its home is asked for.
func TestTrace_AWriteIsOneTraceAcrossRegions(t *testing.T) {
	c, url := collect(t)
	t.Run("regions", func(t *testing.T) {
		_, r := startRegions(t, 3, map[string][]string{"otlp-endpoint": {url}})
		ctx := within(t, time.Minute)
		for i := range 2 { // what the first one tells comes with a snapshot perhaps, which has no traces
			h := r[1].putUntil(ctx, t, fmt.Sprint("app/", i), "1", "") // dc1 is its home
			for _, each := range r {
				if _, err := each.get(ctx, fmt.Sprint("app/", i), &pb.ReadOptions{Session: h.GetSessionToken()}); err != nil {
					t.Fatal(err)
				}
			}
		}
		web := &pb.Instance{Service: "web", Id: "a", Address: "10.0.0.1", Port: 80}
		if _, err := r[0].registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: web}); err != nil {
			t.Fatal(err)
		}
		for _, other := range r[1:] {
			for listed := 0; listed == 0; time.Sleep(20 * time.Millisecond) {
				answer, err := other.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web"})
				if err != nil && status.Code(err) != codes.NotFound { // until it has come
					t.Fatal(err)
				}
				listed = len(answer.GetInstances())
			}
		}
	})
	const registry, config = "supercluster.v1.RegistryService/", "supercluster.v1.ConfigService/"
	if !c.joined("dc1:/"+registry+"RegisterInstance", "dc1:view.publish", "dc2:view.publish", "dc3:view.publish") {
		t.Errorf("no trace goes from the call in one region to the views of all: %q", c.traces)
	}
	if !c.joined("dc2:/"+config+"PutConfig", "dc1:view.publish", "dc2:view.publish", "dc3:view.publish") {
		t.Errorf("no trace goes from the call over the home to the views of all: %q", c.traces)
	}
}
