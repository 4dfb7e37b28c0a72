package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"supercluster/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func make1(t *testing.T, cfg Config) *Telemetry {
	t.Helper()
	if cfg.Level == "" {
		cfg.Level, cfg.Format = "info", "json"
	}
	if cfg.Output == nil {
		cfg.Output = io.Discard
	}
	tel, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func TestLog_LevelAndFormat(t *testing.T) {
	var out bytes.Buffer
	tel := make1(t, Config{Level: "warn", Format: "json", Output: &out})
	tel.Log().Info("quiet")
	tel.Log().Warn("loud", "n", 1)
	var line struct {
		Msg string
		N   int
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line.Msg != "loud" || line.N != 1 {
		t.Errorf("log = %q (%v), want the one line in JSON", out.String(), err)
	}
	for _, cfg := range []Config{{Level: "loud", Format: "text"}, {Level: "info", Format: "xml"}} {
		if _, err := New(cfg); !fault.Is(err, fault.Invalid) {
			t.Errorf("%+v: error = %v, want an invalid one", cfg, err)
		}
	}
}

func TestMetrics_OwnRuntimeAndFurther(t *testing.T) {
	tel := make1(t, Config{Further: func(w io.Writer) { fmt.Fprintln(w, "dragonboat_x 7") }})
	counter, err := tel.Meter("test").Int64Counter("supercluster.test.things")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	r.Header.Set("Accept-Encoding", "gzip")
	tel.Metrics().ServeHTTP(w, r)
	for _, want := range []string{"supercluster_test_things_total 3\n", "go_goroutines ", "process_resident_memory_bytes ", "dragonboat_x 7\n"} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("metrics lack %q:\n%s", want, w.Body.String())
		}
	}
}

// collector takes spans as a real OTLP collector does.
type collector struct {
	coltrace.UnimplementedTraceServiceServer
	names chan string
}

func (c *collector) Export(_ context.Context, r *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	for _, rs := range r.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				select {
				case c.names <- ss.Scope.Name + " " + s.Name:
				default: // one is enough
				}
			}
		}
	}
	return &coltrace.ExportTraceServiceResponse{}, nil
}

func TestTraces_AreFlushedAtTheEnd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	c := &collector{names: make(chan string, 1)}
	coltrace.RegisterTraceServiceServer(server, c)
	go server.Serve(listener)
	defer server.Stop()

	tel := make1(t, Config{Endpoint: "http://" + listener.Addr().String()})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tel.Run(ctx) }()
	// Spans made before Run registered the exporter go nowhere, so make them until one arrives or Run has ended.
	for i := 0; len(c.names) == 0 && i < 2000; i++ {
		_, span := tel.Tracer("api").Start(t.Context(), "put")
		span.End()
		if i == 100 {
			cancel()
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-c.names:
		if name != "supercluster/api put" {
			t.Errorf("the collector got %q", name)
		}
	default:
		t.Error("the collector got no span")
	}
}

func TestTraces_WithoutACollector(t *testing.T) {
	if tel := make1(t, Config{}); tel.Tracer("api") != nil {
		t.Error("there is a tracer though spans go nowhere")
	}
}

func TestRun_ACollectorThatIsAwayDoesNotHoldTheEndUp(t *testing.T) {
	tel := make1(t, Config{Endpoint: "http://127.0.0.1:1"})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- tel.Run(ctx) }()
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * flushWithin):
		t.Error("Run does not end")
	}
}
