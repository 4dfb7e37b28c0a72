package federation

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"supercluster/federation/plan"
)

// reachGauges show how this region can reach the others.
func reachGauges(m metric.Meter, f *Federation) (metric.Registration, error) {
	state, err := m.Int64ObservableGauge("supercluster.federation.region.state",
		metric.WithDescription("0: the region is up; 1: suspect; 2: away, behind all that are not."))
	if err != nil {
		return nil, err
	}
	island, err := m.Int64ObservableGauge("supercluster.federation.island",
		metric.WithDescription("1: this region reaches no other, and keeps what it has of them as it is."))
	if err != nil {
		return nil, err
	}
	trip, err := m.Float64ObservableGauge("supercluster.federation.region.round_trip", metric.WithUnit("s"),
		metric.WithDescription("The round trip to the probe listeners of a region: the least of the last ones."))
	if err != nil {
		return nil, err
	}
	cost, err := m.Float64ObservableGauge("supercluster.federation.region.cost", metric.WithUnit("s"),
		metric.WithDescription("What regions are ordered by: the round trip, or what an operator set."))
	if err != nil {
		return nil, err
	}
	clock, err := m.Float64ObservableGauge("supercluster.federation.clock_offset", metric.WithUnit("s"),
		metric.WithDescription("How far the clock of a region is ahead of this one's, and that of a node of this region of the one that leads; negative: behind."))
	if err != nil {
		return nil, err
	}
	return m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		now := f.reach.message()
		alone := int64(0)
		if now.GetIsland() {
			alone = 1
		}
		o.ObserveInt64(island, alone)
		for _, g := range now.GetRegions() {
			at := metric.WithAttributes(attribute.String("region", g.GetRegion()))
			o.ObserveInt64(state, int64(stateOf(g.GetState())), at)
			if g.GetRoundTrip() != nil {
				o.ObserveFloat64(trip, g.GetRoundTrip().AsDuration().Seconds(), at)
			}
			if g.GetCost() != nil {
				o.ObserveFloat64(cost, g.GetCost().AsDuration().Seconds(), at)
			}
			if g.GetClockOffset() != nil {
				o.ObserveFloat64(clock, g.GetClockOffset().AsDuration().Seconds(), at)
			}
		}
		for _, n := range now.GetNodes() {
			o.ObserveFloat64(clock, n.GetOffset().AsDuration().Seconds(), metric.WithAttributes(attribute.String("node", n.GetNode())))
		}
		return nil
	}, state, island, trip, cost, clock)
}

// turned counts that a region has another state.
func (x *metrics) turned(region string, s plan.State) {
	x.turns.Add(context.Background(), 1, metric.WithAttributes(attribute.String("region", region), attribute.String("state", s.String())))
}
