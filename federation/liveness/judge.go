package liveness

import (
	"fmt"
	"slices"
	"time"

	"supercluster/federation/plan"
)

// Step judges every region by what is known now.
func (m *Machine) Step(now time.Duration) *plan.Reach {
	if now-m.stepped > standstill {
		m.since = now // it did not look, or has just begun to
	}
	m.stepped = now
	m.judgeIsland(now)
	if !m.island {
		for _, p := range m.peers {
			m.judge(p, now)
		}
	}
	for _, p := range m.peers {
		p.settle()
	}
	m.publish()
	return m.reach
}

// judgeIsland finds out whether this region reaches anybody. When it does again, all have the time to be heard that
// they had before.
func (m *Machine) judgeIsland(now time.Duration) {
	alone := len(m.peers) > 0
	for _, p := range m.peers {
		alone = alone && now-max(p.sign(), m.from(p)) >= Suspect
	}
	if alone == m.island {
		return
	}
	m.island, m.islandAt = alone, now
	if !alone {
		m.since = now
		return
	}
	for _, p := range m.peers {
		if p.state == plan.StateSuspect && now-p.at < Away {
			p.set(plan.StateUp, now, "") // it fell silent a moment before the others, for the same reason
		}
	}
}

// sign is when a region last gave any sign of being there.
func (p *peer) sign() time.Duration { return max(p.probed, p.heard, p.feed) }

// from is when the silence of a region begins to count.
func (m *Machine) from(p *peer) time.Duration { return max(m.since, p.since) }

// reached reports whether clients of this region may be expected to get there: its probe listener answers, or, where it
// never did and so may not be open to this region, it is heard of otherwise.
func (p *peer) reached(now time.Duration) bool { return now-p.way() < Suspect }

// way is when a region last gave the sign that counts.
func (p *peer) way() time.Duration {
	if p.probed == never {
		return p.sign()
	}
	return p.probed
}

// quiet is how long a region was not reached, and why that is thought.
func (m *Machine) quiet(p *peer, now time.Duration) (time.Duration, string) {
	from := m.from(p)
	switch {
	case p.probed == never:
		return now - max(p.sign(), from), "its feed is silent, and its probe listener has not answered yet"
	case now-p.heard < Suspect:
		if other := m.reachedBy(p, now); other != "" {
			// Half reachable: it talks to this region, and its listener is seen by another one.
			return min(now-max(p.probed, from), Away-1), fmt.Sprintf("its probe listener is silent here, but answers region %q; its link is up", other)
		}
		return now - max(p.probed, from), "its probe listener is silent, although its link is up"
	case now-p.feed < Suspect:
		return now - max(p.probed, p.heard, from), "its probe listener and its link are silent; what it tells comes through others"
	default:
		return now - max(p.probed, p.heard, from), "its probe listener and its feed are silent"
	}
}

// judge gives a region its state. It gets better only by being reached.
func (m *Machine) judge(p *peer, now time.Duration) {
	if p.reached(now) {
		m.judgeReached(p, now)
		return
	}
	p.steady = never
	quiet, why := m.quiet(p, now)
	switch {
	case p.state == plan.StateAway:
		p.why = why
	case quiet >= Away && !m.mayFall(p, now):
		p.set(plan.StateSuspect, now, why+"; not given up, since too many regions went at once and no other region says so")
	case quiet >= Away:
		p.confirmed = m.deniedBy(p, now)
		p.falls++
		if now-p.fell > forgetAfter {
			p.falls = 1
		}
		p.fell = now
		p.set(plan.StateAway, now, why)
	case quiet >= Suspect:
		p.set(plan.StateSuspect, now, why)
	}
}

func (m *Machine) judgeReached(p *peer, now time.Duration) {
	fed := now-max(p.feed, m.from(p)) < Suspect
	why := ""
	switch {
	case p.probed == never:
		why = "its probe listener has not answered yet; its feed is heard"
	case !fed:
		why = "its feed is silent, but its probe listener answers: what is here of it is kept as it was"
	}
	if p.state != plan.StateAway {
		p.set(plan.StateUp, now, why)
		return
	}
	if p.steady == never {
		p.steady = p.way()
	}
	hold := p.hold()
	if answers := p.way() - p.steady; answers < hold || now-p.feed >= Suspect && answers < hold+feedGrace {
		p.why = fmt.Sprintf("it answers again, and must for %v", hold)
		return
	}
	p.set(plan.StateUp, now, why)
}

// hold is how long a region must answer before it is up again.
func (p *peer) hold() time.Duration {
	hold := Return
	for range min(max(p.falls-1, 0), 10) {
		hold *= 2
	}
	return min(hold, maxReturn)
}

func (p *peer) set(s plan.State, now time.Duration, why string) {
	if p.state != s {
		p.state, p.at, p.steady = s, now, never
	}
	p.why = why
}

// mayFall is the guard against mass change: so many regions at once are lost seldom, and what looks like it is more
// often a fault of this region.
func (m *Machine) mayFall(p *peer, now time.Duration) bool {
	if m.deniedBy(p, now) {
		return true
	}
	alone := 1
	for _, o := range m.peers {
		if o != p && o.state == plan.StateAway && !o.confirmed {
			alone++
		}
	}
	return alone <= max(1, len(m.peers)/2)
}

// reachedBy names another region that says that it reaches one; empty: none does.
func (m *Machine) reachedBy(p *peer, now time.Duration) string {
	for _, r := range m.rows {
		if seen, ok := m.says(r, p, now); ok && seen.Reached {
			return m.find(r.from).Name
		}
	}
	return ""
}

// deniedBy reports whether another region says that it does not reach one.
func (m *Machine) deniedBy(p *peer, now time.Duration) bool {
	return slices.ContainsFunc(m.rows, func(r *row) bool {
		seen, ok := m.says(r, p, now)
		return ok && !seen.Reached
	})
}

// says gives what a region said lately of another one.
func (m *Machine) says(r *row, p *peer, now time.Duration) (Seen, bool) {
	if r.from == p.ID || now-r.at >= rowFor {
		return Seen{}, false
	}
	i := slices.IndexFunc(r.seen, func(s Seen) bool { return s.ID == p.ID })
	if i < 0 {
		return Seen{}, false
	}
	return r.seen[i], true
}

// publish makes a new Reach if anything is not as the last one says.
func (m *Machine) publish() {
	next := &plan.Reach{Island: m.island}
	for _, p := range m.peers {
		next.Regions = append(next.Regions, plan.RegionReach{ID: p.ID, Region: p.Name, State: p.state, Cost: p.shownCost(), Why: p.why})
	}
	if m.reach.Island != next.Island || !slices.Equal(m.reach.Regions, next.Regions) {
		m.reach = next
	}
}
