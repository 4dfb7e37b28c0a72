package server

import (
	"fmt"
	"sort"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/grpc/metadata"

	pb "supercluster/api/gen/supercluster/v1"
)

// A write is one trace: the caller's, the call's span, and the commit, which carries both for the view.
func TestTrace_ReachesTheCommit(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	h := newHarness(t, func(c *Config) { c.Tracer = provider.Tracer("test") })
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", parent)
	if _, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Name: "a", Value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	if a := h.do(t, "PUT", "/api/v1/config/b", config(`{}`), "traceparent: "+parent); a.status != 200 {
		t.Fatal(a.text)
	}
	ended := spans.Ended()
	h.region.mu.Lock()
	commits := h.region.commits[len(h.region.commits)-2:]
	h.region.mu.Unlock()
	if len(ended) != 2 {
		t.Fatalf("%d spans, want one for each call", len(ended))
	}
	for i, span := range ended {
		if got := fmt.Sprintf("%s %s", span.SpanContext().TraceID(), span.Parent().SpanID()); got != "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331" {
			t.Errorf("span %d is of %s", i, got)
		}
		trace := commits[i].Trace
		if trace.TraceID != span.SpanContext().TraceID() || trace.SpanID != span.SpanContext().SpanID() || trace.Flags != 1 {
			t.Errorf("commit %d carries %x %x", i, trace.TraceID, trace.SpanID)
		}
	}
}

func TestMetrics_CountCallsByOutcome(t *testing.T) {
	reader := metric.NewManualReader()
	h := newHarness(t, func(c *Config) { c.Meter = metric.NewMeterProvider(metric.WithReader(reader)).Meter("test") })
	h.put(t, "a", "1")
	_, err := h.config.GetConfig(t.Context(), &pb.GetConfigRequest{Name: "none"})
	if err == nil {
		t.Fatal("found what is not there")
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			hist, ok := m.Data.(metricdata.Histogram[float64])
			if !ok {
				continue
			}
			for _, p := range hist.DataPoints {
				method, _ := p.Attributes.Value("method")
				outcome, _ := p.Attributes.Value("outcome")
				got = append(got, fmt.Sprintf("%s %s %s %d", m.Name, method.AsString(), outcome.AsString(), p.Count))
			}
		}
	}
	sort.Strings(got)
	const want = "supercluster.api.duration /supercluster.v1.ConfigService/GetConfig not-found 1\n" +
		"supercluster.api.duration /supercluster.v1.ConfigService/PutConfig ok 1"
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("metrics:\n%s\nwant:\n%s", s, want)
	}
}
