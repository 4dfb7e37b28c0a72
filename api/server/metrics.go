package server

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
)

// callMetrics counts and times calls. The attributes of every method and outcome are made once: making them for
// each call would cost more than counting it.
type callMetrics struct {
	seconds metric.Float64Histogram
	ok      map[string][]metric.RecordOption
	failed  map[string]map[fault.Kind][]metric.RecordOption
	slow    metric.Int64Counter
}

func newCallMetrics(meter metric.Meter) (*callMetrics, error) {
	m := &callMetrics{ok: map[string][]metric.RecordOption{}, failed: map[string]map[fault.Kind][]metric.RecordOption{}}
	var err error
	m.seconds, err = meter.Float64Histogram("supercluster.api.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a decoded request head to its answer, by method and outcome."),
		metric.WithExplicitBucketBoundaries(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10))
	if err != nil {
		return nil, err
	}
	m.slow, err = meter.Int64Counter("supercluster.api.slow_consumers",
		metric.WithDescription("Streams ended because the client did not read."))
	if err != nil {
		return nil, err
	}
	for _, r := range methodTable {
		m.ok[r.method] = recordOption(r.method, "ok")
		m.failed[r.method] = map[fault.Kind][]metric.RecordOption{}
		for _, k := range fault.Kinds() {
			m.failed[r.method][k] = recordOption(r.method, k.String())
		}
	}
	return m, nil
}

func recordOption(method, outcome string) []metric.RecordOption {
	set := attribute.NewSet(attribute.String("method", method), attribute.String("outcome", outcome))
	return []metric.RecordOption{metric.WithAttributeSet(set)}
}

func (m *callMetrics) record(ctx context.Context, r *row, kind *fault.Kind, elapsed time.Duration) {
	if !m.seconds.Enabled(ctx) {
		return
	}
	opts := m.ok[r.method]
	if kind != nil {
		opts = m.failed[r.method][*kind]
	}
	m.seconds.Record(ctx, elapsed.Seconds(), opts...)
}
