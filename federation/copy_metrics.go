package federation

import (
	"context"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"supercluster/federation/link"
	"supercluster/region/record"
	"supercluster/region/state"
)

// copies are the figures of what is here of the peers, of their names, and of this region's own fence.
type copies struct {
	age                                    metric.Float64ObservableGauge
	behind, up, fence, quarantined, shared metric.Int64ObservableGauge
}

// copyGauges show what is here of the peers: how old it is, how far behind, how much of it is not shown.
func copyGauges(m metric.Meter, f *Federation) (metric.Registration, error) {
	var c copies
	var err error
	c.age, err = m.Float64ObservableGauge("supercluster.federation.age", metric.WithUnit("s"),
		metric.WithDescription("How old what this region has of a peer is: the oldest of its channels. +Inf: nobody knows, as after a start until the peer is heard."))
	if err != nil {
		return nil, err
	}
	for _, g := range []struct {
		to         *metric.Int64ObservableGauge
		name, help string
	}{
		{&c.behind, "supercluster.federation.behind", "Records that a peer is known to have and that did not come yet, by region and class; of the node that leads."},
		{&c.up, "supercluster.federation.link.up", "1: the link to a peer is up; 0: it is not; of the node that leads."},
		{&c.fence, "supercluster.federation.fence", "0: the region exports; 1: it heals; 2: another copy of it lives."},
		{&c.quarantined, "supercluster.federation.quarantined", "Imported records that are kept and not shown, by region."},
		{&c.shared, "supercluster.federation.names.shared", "Names that several regions have, and that stand for none of them."},
	} {
		if *g.to, err = m.Int64ObservableGauge(g.name, metric.WithDescription(g.help)); err != nil {
			return nil, err
		}
	}
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(c.shared, int64(len(f.book.conflicts())))
		// A store that is not open yet has nothing to show.
		_ = f.pinned(func(r state.Reader) error { return c.observe(o, f, r) })
		return nil
	}, c.age, c.behind, c.up, c.fence, c.quarantined, c.shared)
}

func (c *copies) observe(o metric.Observer, f *Federation, r state.Reader) error {
	row, _, err := state.ReadFederation(r)
	if err != nil {
		return err
	}
	o.ObserveInt64(c.fence, int64(row.Fence))
	leads, _ := f.cfg.Store.Leads()
	peers, _ := f.book.list()
	for _, p := range peers {
		had, err := f.copyOf(r, p)
		if err != nil {
			return err
		}
		region := attribute.String("region", f.book.name(p.id))
		o.ObserveInt64(c.quarantined, int64(had.quarantined), metric.WithAttributes(region))
		if len(had.behind) > 0 {
			o.ObserveFloat64(c.age, f.ageShown(p), metric.WithAttributes(region))
		}
		if leads {
			c.observeLink(o, f, p, had)
		}
	}
	return nil
}

// observeLink shows what only the node knows that holds the links: what peers have by now.
func (c *copies) observeLink(o metric.Observer, f *Federation, p *peer, had peerCopy) {
	region, up := attribute.String("region", f.book.name(p.id)), int64(0)
	if f.linkState(p.id) == link.Up.String() {
		up = 1
	}
	o.ObserveInt64(c.up, up, metric.WithAttributes(region))
	for class, n := range had.behind {
		o.ObserveInt64(c.behind, int64(n), metric.WithAttributes(region, attribute.String("class", className(class))))
	}
}

// ageShown is the age of a peer's copy in seconds. Where it is not known it is infinite: so it is over the limit of any alert rule,
// which an absent figure never is, and no average takes it for a measured one.
func (f *Federation) ageShown(p *peer) float64 {
	if age, known := f.ages.region(p.id); known {
		return age.Seconds()
	}
	return math.Inf(1)
}

// peerCopy is what is here of a peer, in figures.
type peerCopy struct {
	quarantined uint64
	behind      map[record.Class]uint64 // of the classes of which anything came, as far as the peer still gives it
}

func (f *Federation) copyOf(r state.Reader, p *peer) (peerCopy, error) {
	had := peerCopy{behind: map[record.Class]uint64{}}
	err := state.EachFeedState(r, p.alias, func(channel uint32, s *record.FeedState) error {
		had.quarantined += s.Quarantined
		doc, err := record.DecodeChannelDocument(s.Document)
		if err != nil || !doc.Channel.MayHave(f.cfg.Identity.RegionID) {
			return nil // nothing came yet, or nothing comes any more
		}
		had.behind[doc.Channel.Class] += f.behind(channelName{p.id, channel}, s.Position)
		return nil
	})
	return had, err
}

// behind gives how many records of a channel that is at a position are known to be at its home, as far as this node was told.
func (f *Federation) behind(name channelName, at record.FeedPosition) uint64 {
	newest, _ := f.routes.positions(name)
	if !newest.After(at) {
		return 0
	}
	return newest.Sequence - min(newest.Sequence, at.Sequence)
}
