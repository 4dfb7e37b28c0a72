package live

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// meters are the figures of the view.
type meters struct {
	lag      metric.Float64Histogram
	rebuilds metric.Int64Counter
	loads    int
	gauges   metric.Registration
}

// measure makes the instruments; stop ends them.
func (r *Runner) measure() (*meters, error) {
	var (
		m   meters
		err error
	)
	if m.lag, err = r.cfg.Meter.Float64Histogram("supercluster.view.lag", metric.WithUnit("s"),
		metric.WithDescription("From the time a write was proposed to the view that shows it; across nodes with their clocks' error."),
	); err != nil {
		return nil, err
	}
	if m.rebuilds, err = r.cfg.Meter.Int64Counter("supercluster.view.rebuilds",
		metric.WithDescription("Times the view was built anew from the store after the first.")); err != nil {
		return nil, err
	}
	instances, err := r.cfg.Meter.Int64ObservableGauge("supercluster.view.instances",
		metric.WithDescription("Instances in the view."))
	if err != nil {
		return nil, err
	}
	undecodable, err := r.cfg.Meter.Int64ObservableGauge("supercluster.view.undecodable",
		metric.WithDescription("Records that cannot be decoded and are kept out of the view."))
	if err != nil {
		return nil, err
	}
	revision, err := r.cfg.Meter.Int64ObservableGauge("supercluster.view.revision",
		metric.WithDescription("Revision of the data shard that the view shows."))
	if err != nil {
		return nil, err
	}
	m.gauges, err = r.cfg.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		v := r.View()
		o.ObserveInt64(instances, int64(v.InstanceCount()))
		o.ObserveInt64(undecodable, int64(v.Undecodable()))
		o.ObserveInt64(revision, int64(v.At().Data))
		return nil
	}, instances, undecodable, revision)
	return &m, err
}

func (m *meters) stop() {
	// The meter may be gone already at shutdown; there is nobody to tell then.
	_ = m.gauges.Unregister()
}

func (m *meters) loaded(ctx context.Context) {
	if m.loads++; m.loads > 1 {
		m.rebuilds.Add(ctx, 1)
	}
}

// moved records how old the newest write was when its view was published.
func (m *meters) moved(ctx context.Context, proposed int64) {
	if proposed > 0 {
		m.lag.Record(ctx, max(time.Since(time.Unix(0, proposed)).Seconds(), 0))
	}
}
