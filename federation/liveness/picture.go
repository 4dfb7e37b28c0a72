package liveness

import (
	"slices"
	"time"

	"supercluster/federation/plan"
)

// Picture is everything that a machine knows, with ages instead of times, so that it can travel: the leader of a region
// shows it to the other nodes, and one of them goes on from it.
type Picture struct {
	Island bool
	For    time.Duration // how long it has been so
	// Regions are in order of ID.
	Regions []Standing
	Rows    []Row
}

// Standing is how a region stands. Ages are negative for what never happened.
type Standing struct {
	Peer
	State     plan.State
	Why       string
	For       time.Duration // how long it has had the state
	Known     time.Duration // how long the region has been known
	Confirmed bool

	Probed, Heard, Feed time.Duration // ages of the last sign of each kind
	RoundTrip           time.Duration // as measured; 0: not yet
	Shown               time.Duration // the cost that plans are made with; negative: not known
	Falls               int
	Fell, Steady        time.Duration // ages
}

// Row is what a region said that it reaches.
type Row struct {
	From [16]byte
	Age  time.Duration
	Seen []Seen
}

// Picture gives everything that is known.
func (m *Machine) Picture(now time.Duration) Picture {
	out := Picture{Island: m.island, For: now - m.islandAt}
	for _, p := range m.peers {
		trip, _ := p.trips.smooth()
		out.Regions = append(out.Regions, Standing{
			Peer: p.Peer, State: p.state, Why: p.why, For: now - p.at, Known: now - p.since, Confirmed: p.confirmed,
			Probed: age(p.probed, now), Heard: age(p.heard, now), Feed: age(p.feed, now), RoundTrip: trip, Shown: p.shownCost(),
			Falls: p.falls, Fell: age(p.fell, now), Steady: age(p.steady, now),
		})
	}
	for _, r := range m.rows {
		out.Rows = append(out.Rows, Row{From: r.from, Age: now - r.at, Seen: slices.Clone(r.seen)})
	}
	return out
}

func age(at, now time.Duration) time.Duration {
	if at == never {
		return -1
	}
	return max(now-at, 0)
}

func when(age, now time.Duration) time.Duration {
	if age < 0 {
		return never
	}
	return now - age
}

// Restore makes the machine know what a picture shows, and nothing else.
func (m *Machine) Restore(now time.Duration, p Picture) *plan.Reach {
	m.island, m.islandAt, m.stepped = p.Island, now-p.For, now
	m.peers, m.rows = nil, nil
	for i := range p.Regions {
		m.peers = append(m.peers, p.Regions[i].peer(now))
	}
	slices.SortFunc(m.peers, byID)
	for _, r := range p.Rows {
		m.Told(r.From, now-r.Age, r.Seen)
	}
	m.publish()
	return m.reach
}

func (s *Standing) peer(now time.Duration) *peer {
	p := newPeer(s.Peer, now-s.Known)
	p.state, p.why, p.at, p.confirmed = s.State, s.Why, now-s.For, s.Confirmed
	p.probed, p.heard, p.feed = when(s.Probed, now), when(s.Heard, now), when(s.Feed, now)
	p.falls, p.fell, p.steady = s.Falls, when(s.Fell, now), when(s.Steady, now)
	if s.RoundTrip > 0 {
		for range enoughTrips {
			p.trips.add(s.RoundTrip)
		}
	}
	if s.Peer.Cost < 0 {
		p.cost = s.Shown
	}
	return p
}
