package health

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	pb "supercluster/api/gen/supercluster/v1"
)

// Attribute sets made once: a heartbeat or probe must not pay for them.
var (
	fromClient = metric.WithAttributeSet(attribute.NewSet(attribute.String("from", "client")))
	fromNode   = metric.WithAttributeSet(attribute.NewSet(attribute.String("from", "node")))
)

// metrics are the figures of this package. Instruments that cannot be made are no-ops: the meter says why in its log.
type metrics struct {
	probes      metric.Int64Counter
	delay       metric.Float64Histogram
	transitions metric.Int64Counter
	writes      metric.Int64Counter
	beats       metric.Int64Counter
	held        metric.Int64Counter
	results     map[pb.CheckType]map[pb.Health]metric.MeasurementOption
}

func newMetrics(m metric.Meter, r *Runner) *metrics {
	counter := func(name, what string) metric.Int64Counter {
		c, _ := m.Int64Counter("supercluster.health."+name, metric.WithDescription(what))
		return c
	}
	out := &metrics{
		probes:      counter("probes", "Probes that ended, by type of check and result."),
		transitions: counter("transitions", "Transitions written, by the new health."),
		writes:      counter("writes", "Operations proposed and applied; one holds several transitions."),
		beats:       counter("heartbeats", "Heartbeats received, from clients and from other nodes."),
		held:        counter("expiries.held", "Expiries of TTL checks that were held for one TTL."),
		results:     map[pb.CheckType]map[pb.Health]metric.MeasurementOption{},
	}
	out.delay, _ = m.Float64Histogram("supercluster.health.probe.delay", metric.WithUnit("s"),
		metric.WithDescription("How late probes start."), metric.WithExplicitBucketBoundaries(0.001, 0.01, 0.1, 0.5, 1, 5))
	for kind := range pb.CheckType_name {
		byHealth := map[pb.Health]metric.MeasurementOption{}
		for h := range pb.Health_name {
			byHealth[pb.Health(h)] = metric.WithAttributeSet(attribute.NewSet(
				attribute.String("type", word(pb.CheckType(kind).String(), "CHECK_TYPE_")),
				attribute.String("result", word(pb.Health(h).String(), "HEALTH_"))))
		}
		out.results[pb.CheckType(kind)] = byHealth
	}
	_, _ = m.Int64ObservableGauge("supercluster.health.sessions",
		metric.WithDescription("TTL checks of this node."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			count, _ := r.sessions.sizes()
			o.Observe(int64(count))
			return nil
		}))
	_, _ = m.Int64ObservableGauge("supercluster.health.checks",
		metric.WithDescription("Active checks of this node."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(r.active.Load())
			return nil
		}))
	return out
}

func (m *metrics) probed(ctx context.Context, kind pb.CheckType, h pb.Health) {
	if attrs, ok := m.results[kind][h]; ok {
		m.probes.Add(ctx, 1, attrs)
	}
}

func (m *metrics) wrote(ctx context.Context, items []item) {
	m.writes.Add(ctx, 1)
	for _, it := range items {
		m.transitions.Add(ctx, 1, metric.WithAttributes(
			attribute.String("health", word(it.state.Health.String(), "HEALTH_"))))
	}
}

func word(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }
