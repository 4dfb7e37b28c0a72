package federation

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"supercluster/federation/feed"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// metrics are the figures of the exchange.
type metrics struct {
	out, in, batches, pulls, fences, turns, repairs metric.Int64Counter
	copies, reach                                   metric.Registration
}

func newMetrics(m metric.Meter, f *Federation) (*metrics, error) {
	if m == nil {
		m = noop.NewMeterProvider().Meter("federation")
	}
	var x metrics
	for _, c := range []struct {
		to         *metric.Int64Counter
		name, help string
	}{
		{&x.out, "supercluster.federation.records.sent", "Records that were sent to peers."},
		{&x.in, "supercluster.federation.records.imported", "Records that were taken over from other regions."},
		{&x.batches, "supercluster.federation.imports", "Log entries by which records were taken over."},
		{&x.pulls, "supercluster.federation.repulls", "Times a channel had to be pulled anew, by reason."},
		{&x.fences, "supercluster.federation.fences", "Times this region fenced itself, by kind."},
		{&x.repairs, "supercluster.federation.repairs", "Messages that a copy brought before the original, which was lost or late."},
		{&x.turns, "supercluster.federation.region.turns", "Times a region became up, suspect or away, by region and state."},
	} {
		var err error
		if *c.to, err = m.Int64Counter(c.name, metric.WithDescription(c.help)); err != nil {
			return nil, err
		}
	}
	var err error
	if x.copies, err = copyGauges(m, f); err != nil {
		return nil, err
	}
	x.reach, err = reachGauges(m, f)
	return &x, err
}

func (x *metrics) stop() {
	// The meter may be gone already at shutdown; there is nobody to tell then.
	_ = x.copies.Unregister()
	_ = x.reach.Unregister()
}

func (x *metrics) sent(m *feed.Message) {
	if m.Batch != nil {
		x.out.Add(context.Background(), int64(len(m.Batch.Records)))
	}
	if m.Chunk != nil {
		x.out.Add(context.Background(), int64(len(m.Chunk.Items)))
	}
}

func (x *metrics) imported(op *record.Op) {
	x.batches.Add(context.Background(), 1)
	if op.Import != nil {
		x.in.Add(context.Background(), int64(len(op.Import.Records)))
	}
	if op.Replace != nil {
		x.in.Add(context.Background(), int64(len(op.Replace.Items)))
	}
}

func (x *metrics) repulled(err error) {
	x.pulls.Add(context.Background(), 1, metric.WithAttributes(attribute.String("reason", fault.KindOf(err).String())))
}

func (x *metrics) repaired() { x.repairs.Add(context.Background(), 1) }

func (x *metrics) fenced(fence record.Fence) {
	kind := "healing"
	if fence == record.FenceClone {
		kind = "clone"
	}
	x.fences.Add(context.Background(), 1, metric.WithAttributes(attribute.String("kind", kind)))
}
