package liveness

import (
	"bytes"
	"slices"
	"time"

	"supercluster/federation/plan"
)

// How long a region may be silent.
const (
	Suspect = 2 * time.Second
	Away    = 5 * time.Second
)

// A region that comes back must answer for so long, doubled for each fall since forgetAfter, at most maxReturn. What it
// has to tell may be waited for up to feedGrace more, so that clients see it come back once.
const (
	Return      = 2 * time.Second
	maxReturn   = time.Minute
	forgetAfter = 10 * time.Minute
	feedGrace   = 5 * time.Second
)

// standstill is from how long between two steps on this node did not look.
const standstill = 2 * time.Second

// rowFor is how long what another region said that it reaches counts.
const rowFor = 3 * time.Second

// never is when something happened that did not.
const never = -1000 * time.Hour

// Peer is another region.
type Peer struct {
	ID   [16]byte
	Name string
	// Cost is what an operator set; negative: the round trip is measured.
	Cost time.Duration
}

// Seen is what one region says of another: whether it reaches it, and its round trip; 0: not measured.
type Seen struct {
	ID        [16]byte
	Reached   bool
	RoundTrip time.Duration
}

// Machine judges the regions. All times are those since some moment of this node.
type Machine struct {
	peers []*peer // by ID
	rows  []*row  // by region

	since    time.Duration // silence before it is held against nobody
	stepped  time.Duration // when Step was called last
	island   bool
	islandAt time.Duration
	reach    *plan.Reach
}

// row is what a region said last.
type row struct {
	from [16]byte
	at   time.Duration
	seen []Seen
}

// peer is what is known of a region.
type peer struct {
	Peer
	since time.Duration // when it became known

	state     plan.State
	why       string
	at        time.Duration // since when it has the state
	confirmed bool          // that it is away was said by another region too

	probed, heard, feed time.Duration // when each last gave a sign
	steady              time.Duration // since when it answers again, while it is away
	falls               int
	fell                time.Duration

	trips trips
	cost  time.Duration
}

// New makes a machine that knows nobody.
func New() *Machine { return &Machine{stepped: never, reach: &plan.Reach{}} }

// SetPeers says which regions there are. What is known of those that stay is kept.
func (m *Machine) SetPeers(now time.Duration, all []Peer) {
	next := make([]*peer, 0, len(all))
	for _, p := range all {
		k := m.find(p.ID)
		if k == nil {
			k = newPeer(p, now)
		}
		k.Peer = p
		next = append(next, k)
	}
	slices.SortFunc(next, byID)
	m.peers = next
	m.rows = slices.DeleteFunc(m.rows, func(r *row) bool { return m.find(r.from) == nil })
}

func newPeer(p Peer, now time.Duration) *peer {
	return &peer{Peer: p, since: now, at: now, probed: never, heard: never, feed: never, steady: never, fell: never, cost: -1}
}

func byID(a, b *peer) int { return bytes.Compare(a.ID[:], b.ID[:]) }

func (m *Machine) find(id [16]byte) *peer {
	for _, p := range m.peers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Probed says that a probe that began at a time was answered after a round trip. Probes that fail say nothing: it is
// their absence that counts.
func (m *Machine) Probed(id [16]byte, at, roundTrip time.Duration) {
	if p := m.find(id); p != nil {
		if p.probed == never {
			p.trips = trips{} // those of the link are of another path
		}
		p.probed = max(p.probed, at)
		p.trips.add(roundTrip)
	}
}

// Heard says that the region itself answered on the own link what was asked at a time.
func (m *Machine) Heard(id [16]byte, at, roundTrip time.Duration) {
	if p := m.find(id); p != nil {
		p.heard = max(p.heard, at)
		if p.probed == never {
			p.trips.add(roundTrip)
		}
	}
}

// Fed says that what is here of the region was the newest at a time, through whomever it came.
func (m *Machine) Fed(id [16]byte, at time.Duration) {
	if p := m.find(id); p != nil {
		p.feed = max(p.feed, at)
	}
}

// Told takes in the row of another region, as it was at a time.
func (m *Machine) Told(from [16]byte, at time.Duration, seen []Seen) {
	if m.find(from) == nil {
		return
	}
	i := slices.IndexFunc(m.rows, func(r *row) bool { return r.from == from })
	if i < 0 {
		m.rows = append(m.rows, &row{from: from, at: never})
		slices.SortFunc(m.rows, func(a, b *row) int { return bytes.Compare(a.from[:], b.from[:]) })
		i = slices.IndexFunc(m.rows, func(r *row) bool { return r.from == from })
	}
	if r := m.rows[i]; at >= r.at {
		r.at, r.seen = at, slices.Clone(seen)
	}
}

// Row is what this region says of the others, as it was when it judged them last, and when that was.
func (m *Machine) Row() (all []Seen, at time.Duration) {
	for _, p := range m.peers {
		trip, _ := p.trips.smooth()
		all = append(all, Seen{ID: p.ID, Reached: p.reached(m.stepped), RoundTrip: trip})
	}
	return all, m.stepped
}

// Reach is what the last step decided. It is the same pointer until something changes.
func (m *Machine) Reach() *plan.Reach { return m.reach }
