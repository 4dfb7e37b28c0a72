package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
)

// collector takes spans as an OTLP collector does and remembers which trace each belongs to.
type collector struct {
	coltrace.UnimplementedTraceServiceServer
	mu     sync.Mutex
	traces map[string][]string // trace id -> span names
}

func (c *collector) Export(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.traces[string(s.TraceId)] = append(c.traces[string(s.TraceId)], s.Name)
			}
		}
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

// joined reports whether one trace has a span of a call and the one of the view.
func (c *collector) joined(call string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, names := range c.traces {
		all := strings.Join(names, " ")
		if strings.Contains(all, call) && strings.Contains(all, "view.publish") {
			return true
		}
	}
	return false
}

// TestTrace_AWriteIsOneTraceFromAPIToView runs dev with a collector. The spans arrive at the latest when it stops.
func TestTrace_AWriteIsOneTraceFromAPIToView(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{traces: map[string][]string{}}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, c)
	go server.Serve(l)
	defer server.Stop()
	t.Run("script", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Files: []string{"testdata/trace.txtar"},
			Setup: func(env *testscript.Env) error {
				env.Setenv("COLLECTOR", "http://"+l.Addr().String())
				return setup(env)
			},
			Cmds: commands(),
		})
	})
	if !c.joined("RegisterInstance") {
		t.Errorf("no trace has both the call and the publication of the view: %q", c.traces)
	}
}
