package federation

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"supercluster/federation/feed"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// metrics are the figures of the exchange.
type metrics struct {
	out, in, batches, pulls, fences, turns metric.Int64Counter
	gauges, reach                          metric.Registration
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
		{&x.turns, "supercluster.federation.region.turns", "Times a region became up, suspect or away, by region and state."},
	} {
		var err error
		if *c.to, err = m.Int64Counter(c.name, metric.WithDescription(c.help)); err != nil {
			return nil, err
		}
	}
	age, err := m.Float64ObservableGauge("supercluster.federation.age", metric.WithUnit("s"),
		metric.WithDescription("How old what this region has of a peer is: the oldest of its channels."))
	if err != nil {
		return nil, err
	}
	fence, err := m.Int64ObservableGauge("supercluster.federation.fence",
		metric.WithDescription("0: the region exports; 1: it heals; 2: another copy of it lives."))
	if err != nil {
		return nil, err
	}
	quarantined, err := m.Int64ObservableGauge("supercluster.federation.quarantined",
		metric.WithDescription("Imported records that are kept and not shown, by region."))
	if err != nil {
		return nil, err
	}
	shared, err := m.Int64ObservableGauge("supercluster.federation.names.shared",
		metric.WithDescription("Names that several regions have, and that stand for none of them."))
	if err != nil {
		return nil, err
	}
	x.gauges, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(shared, int64(len(f.book.conflicts())))
		return f.observe(o, age, fence, quarantined)
	}, age, fence, quarantined, shared)
	if err != nil {
		return nil, err
	}
	x.reach, err = reachGauges(m, f)
	return &x, err
}

func (f *Federation) observe(o metric.Observer, age metric.Float64Observable, fence, quarantined metric.Int64Observable) error {
	peers, _ := f.book.list()
	for _, p := range peers {
		if a, ok := f.ages.region(p.id); ok {
			o.ObserveFloat64(age, a.Seconds(), metric.WithAttributes(attribute.String("region", f.book.name(p.id))))
		}
	}
	_ = f.pinned(func(r state.Reader) error { // a store that is not open yet has nothing to show
		row, _, err := state.ReadFederation(r)
		if err != nil {
			return err
		}
		o.ObserveInt64(fence, int64(row.Fence))
		for _, p := range peers {
			n := uint64(0)
			if err := state.EachFeedState(r, p.alias, func(_ uint32, s *record.FeedState) error {
				n += s.Quarantined
				return nil
			}); err != nil {
				return err
			}
			o.ObserveInt64(quarantined, int64(n), metric.WithAttributes(attribute.String("region", f.book.name(p.id))))
		}
		return nil
	})
	return nil
}

func (x *metrics) stop() {
	// The meter may be gone already at shutdown; there is nobody to tell then.
	_ = x.gauges.Unregister()
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

func (x *metrics) fenced(fence record.Fence) {
	kind := "healing"
	if fence == record.FenceClone {
		kind = "clone"
	}
	x.fences.Add(context.Background(), 1, metric.WithAttributes(attribute.String("kind", kind)))
}
