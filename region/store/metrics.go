package store

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
)

// metrics are the store's instruments. What readers count on the hot path are plain counters, read when asked for.
type metrics struct {
	applyTime    metric.Float64Histogram
	applyEntries metric.Int64Histogram
	fallbacks    metric.Int64Counter
}

func newMetrics(meter metric.Meter, s *Store) (*metrics, error) {
	m := &metrics{}
	var errs [7]error
	m.applyTime, errs[0] = meter.Float64Histogram("supercluster.store.apply.time", metric.WithUnit("s"),
		metric.WithDescription("Time to apply and publish one batch of log entries."),
		metric.WithExplicitBucketBoundaries(25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 1))
	m.applyEntries, errs[1] = meter.Int64Histogram("supercluster.store.apply.entries", metric.WithUnit("{entry}"),
		metric.WithDescription("Log entries in one batch."),
		metric.WithExplicitBucketBoundaries(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
	m.fallbacks, errs[2] = meter.Int64Counter("supercluster.store.ring.fallbacks", metric.WithUnit("{read}"),
		metric.WithDescription("Reads of followers that the ring of recent commits no longer had, so the disk was read."))
	_, errs[3] = meter.Int64ObservableCounter("supercluster.store.cache.hits", metric.WithUnit("{read}"),
		metric.WithDescription("Reads of a newest version answered from memory."),
		metric.WithInt64Callback(observe(func() int64 { return int64(s.cache.hits.Load()) })))
	_, errs[4] = meter.Int64ObservableCounter("supercluster.store.cache.misses", metric.WithUnit("{read}"),
		metric.WithDescription("Reads of a newest version that went to disk."),
		metric.WithInt64Callback(observe(func() int64 { return int64(s.cache.misses.Load()) })))
	_, errs[5] = meter.Int64ObservableGauge("supercluster.store.disk.state", metric.WithUnit("By"),
		metric.WithDescription("Bytes that the state takes on disk."),
		metric.WithInt64Callback(observe(s.diskBytes)))
	_, errs[6] = meter.Int64ObservableGauge("supercluster.store.applied", metric.WithUnit("{entry}"),
		metric.WithDescription("Index of the last log entry that reads show."),
		metric.WithInt64Callback(observe(func() int64 {
			p, _ := s.Published()
			return int64(p.Applied)
		})))
	for _, err := range errs {
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "the store's metrics can not be made")
		}
	}
	return m, nil
}

func observe(value func() int64) metric.Int64Callback {
	return func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(value())
		return nil
	}
}

func (m *metrics) applied(ctx context.Context, entries int, took time.Duration) {
	m.applyTime.Record(ctx, took.Seconds())
	m.applyEntries.Record(ctx, int64(entries))
}

func (s *Store) diskBytes() int64 {
	v, err := s.acquire()
	if err != nil {
		return 0
	}
	defer v.release()
	return int64(v.database.Metrics().DiskSpaceUsage())
}
