package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"supercluster/internal/fault"
)

// flushWithin bounds how long the end of a process waits for a collector.
const flushWithin = 5 * time.Second

// exportWithin bounds one delivery to a collector.
const exportWithin = 2 * time.Second

// Config says what goes where.
type Config struct {
	// Level is debug, info, warn or error; Format text or json.
	Level  string
	Format string
	Output io.Writer
	// Endpoint is the URL of an OTLP/gRPC collector for traces; empty: none.
	Endpoint string
	// Version, Region and Node name the process in traces.
	Version, Region, Node string
	// Further writes more metrics in Prometheus text; nil: none.
	Further func(io.Writer)
}

// Telemetry is the log, metrics and traces of a process.
type Telemetry struct {
	cfg      Config
	log      *slog.Logger
	registry *prometheus.Registry
	meters   *sdkmetric.MeterProvider
	tracers  *sdktrace.TracerProvider // nil without a collector

	mu          sync.Mutex
	instruments map[string]Instrument
}

// Instrument is a metric that something of the process registered, whether it has a value yet or not.
type Instrument struct {
	// Name is as in Prometheus text.
	Name string
	// Kind is counter, gauge or histogram.
	Kind string
	Help string
}

// New makes the telemetry of a process; it starts nothing.
func New(cfg Config) (*Telemetry, error) {
	log, err := newLog(cfg)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{cfg: cfg, log: log, registry: prometheus.NewRegistry(), instruments: map[string]Instrument{}}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(t.registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the metrics exporter cannot be made")
	}
	t.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithView(t.note),
		// Prometheus text has no exemplars, and looking for a span costs every measurement.
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter))
	if cfg.Endpoint != "" {
		t.tracers = sdktrace.NewTracerProvider(
			sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.AlwaysSample())),
			sdktrace.WithResource(resource.NewSchemaless(
				attribute.String("service.name", "supercluster"), attribute.String("service.version", cfg.Version),
				attribute.String("supercluster.region", cfg.Region), attribute.String("supercluster.node", cfg.Node))),
		)
	}
	return t, nil
}

func newLog(cfg Config) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Level)); err != nil {
		return nil, fault.Field("log.level", "%q is not one of debug, info, warn, error", cfg.Level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.Format {
	case "text":
		return slog.New(slog.NewTextHandler(cfg.Output, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(cfg.Output, options)), nil
	default:
		return nil, fault.Field("log.format", "%q is not one of text, json", cfg.Format)
	}
}

// Log is the log of the process.
func (t *Telemetry) Log() *slog.Logger { return t.log }

// Meter makes instruments for one area.
func (t *Telemetry) Meter(area string) metric.Meter { return t.meters.Meter("supercluster/" + area) }

// Tracer makes spans for one area; nil when traces go nowhere.
func (t *Telemetry) Tracer(area string) trace.Tracer {
	if t.tracers == nil {
		return nil
	}
	return t.tracers.Tracer("supercluster/" + area)
}

// Metrics serves all metrics as Prometheus text.
func (t *Telemetry) Metrics() http.Handler {
	// Uncompressed text only, so that more text can follow.
	inner := promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{DisableCompression: true})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.Header.Del("Accept")
		inner.ServeHTTP(w, r)
		if t.cfg.Further != nil {
			t.cfg.Further(w)
		}
	})
}

// Run exports spans until ctx ends, then flushes them.
func (t *Telemetry) Run(ctx context.Context) error {
	if t.tracers != nil {
		// No retries: spans that a collector does not take are lost, and the end of the process does not wait for it.
		client := otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(t.cfg.Endpoint),
			otlptracegrpc.WithTimeout(exportWithin), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{}))
		exporter, err := otlptrace.New(context.WithoutCancel(ctx), client)
		if err != nil {
			return fault.Wrap(fault.Invalid, err, "otlp.endpoint: %s cannot be used", t.cfg.Endpoint)
		}
		t.tracers.RegisterSpanProcessor(sdktrace.NewBatchSpanProcessor(exporter))
	}
	<-ctx.Done()
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	if t.tracers != nil {
		if err := t.tracers.Shutdown(flush); err != nil {
			t.log.Warn("some spans were lost at the end", "error", err)
		}
	}
	if err := t.meters.Shutdown(flush); err != nil {
		t.log.Warn("metrics did not end cleanly", "error", err)
	}
	return nil
}
