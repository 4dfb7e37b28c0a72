package node

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

type metrics struct {
	groups   metric.Int64Counter
	ops      metric.Int64Counter
	repeated metric.Int64Counter
	refused  metric.Int64Counter
	commit   metric.Float64Histogram
	index    metric.Float64Histogram
}

// buckets of times, in seconds: a write is a few fsyncs.
var buckets = metric.WithExplicitBucketBoundaries(
	.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10)

func newMetrics(meter metric.Meter) (*metrics, error) {
	if meter == nil {
		meter = noop.NewMeterProvider().Meter("")
	}
	var m metrics
	var errs [6]error
	m.groups, errs[0] = meter.Int64Counter("supercluster.region.groups",
		metric.WithDescription("Groups of writes that went into the log from this node."))
	m.ops, errs[1] = meter.Int64Counter("supercluster.region.writes",
		metric.WithDescription("Writes that went into the log from this node."))
	m.repeated, errs[2] = meter.Int64Counter("supercluster.region.groups_repeated",
		metric.WithDescription("Proposals of groups that had been proposed before and were not answered."))
	m.refused, errs[3] = meter.Int64Counter("supercluster.region.writes_refused",
		metric.WithDescription("Writes refused because too many waited."))
	m.commit, errs[4] = meter.Float64Histogram("supercluster.region.commit", metric.WithUnit("s"), buckets,
		metric.WithDescription("Time from a group's proposal to its application on this node."))
	m.index, errs[5] = meter.Float64Histogram("supercluster.region.read_index", metric.WithUnit("s"), buckets,
		metric.WithDescription("Time to learn the index that a linearizable read needs."))
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return &m, nil
}

func (m *metrics) group(ops int, took time.Duration) {
	ctx := context.Background()
	m.groups.Add(ctx, 1)
	m.ops.Add(ctx, int64(ops))
	m.commit.Record(ctx, took.Seconds())
}

func (m *metrics) read(took time.Duration) { m.index.Record(context.Background(), took.Seconds()) }
func (m *metrics) again()                  { m.repeated.Add(context.Background(), 1) }
func (m *metrics) busy()                   { m.refused.Add(context.Background(), 1) }
