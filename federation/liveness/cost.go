package liveness

import "time"

// trips are the last round trips. Their least is taken: what is above it is waiting, on the way or for a processor.
type trips struct {
	last [16]time.Duration
	n    int
}

// enoughTrips is from how many on they are believed.
const enoughTrips = 3

func (t *trips) add(d time.Duration) {
	t.last[t.n%len(t.last)] = max(d, 1)
	t.n++
}

// smooth gives the least of them; false: there are too few.
func (t *trips) smooth() (time.Duration, bool) {
	if t.n < enoughTrips {
		return 0, false
	}
	least := t.last[0]
	for _, d := range t.last[:min(t.n, len(t.last))] {
		least = min(least, d)
	}
	return least.Round(costGrain), true
}

// A cost that was shown stays until the round trip is off by costShare of it and costMargin more: plans must not follow
// every breath of the network.
const (
	costGrain  = 100 * time.Microsecond
	costShare  = 5 // a fifth
	costMargin = 2 * time.Millisecond
)

// settle brings the cost that is shown up to the round trip.
func (p *peer) settle() {
	trip, ok := p.trips.smooth()
	if !ok {
		return
	}
	off := trip - p.cost
	if p.cost < 0 || max(off, -off) > p.cost/costShare+costMargin {
		p.cost = trip
	}
}

// shownCost is what an operator set, or else the round trip.
func (p *peer) shownCost() time.Duration {
	if p.Cost >= 0 {
		return p.Cost
	}
	return p.cost
}
