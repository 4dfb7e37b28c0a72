package wire

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

type metrics struct {
	bytes   metric.Int64Counter
	refuse  metric.Int64Counter
	options [KindProbe + 1]metric.MeasurementOption
}

func newMetrics(meter metric.Meter) (metrics, error) {
	if meter == nil {
		meter = noop.NewMeterProvider().Meter("")
	}
	var m metrics
	var err error
	m.bytes, err = meter.Int64Counter("supercluster.wire.sent", metric.WithUnit("By"),
		metric.WithDescription("Bytes sent to other nodes of the region, by kind of connection."))
	if err != nil {
		return m, err
	}
	m.refuse, err = meter.Int64Counter("supercluster.wire.refused",
		metric.WithDescription("Connections on the Raft port that were refused."))
	for k := range m.options {
		m.options[k] = metric.WithAttributeSet(attribute.NewSet(attribute.String("kind", Kind(k).String())))
	}
	return m, err
}

func (m *metrics) sent(kind Kind, n int) {
	m.bytes.Add(context.Background(), int64(n), m.options[kind])
}

func (m *metrics) refused(ctx context.Context) { m.refuse.Add(ctx, 1) }
