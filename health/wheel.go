package health

import (
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
)

// A heartbeat does not touch the wheel: it only stores the time. When a slot comes up, each of its sessions that was
// heard of meanwhile moves on to the slot of its new deadline. So a session costs one visit for each TTL, however
// often it is heard of.

// writtenAgain is the output of a transition that repeats a lost one: what the lost one said is not kept.
const writtenAgain = "written again: the store showed something else"

// link puts a session into the slot of a deadline, or into the last one of this turn if that is further away.
func (s *sessions) link(i uint32, deadline time.Duration) {
	x := s.at(i)
	// Rounded up, so that a session is never visited before its deadline.
	due := int64((deadline + tick - 1) / tick)
	due = min(max(due, s.turned+1), s.turned+wheelSlots-1)
	x.slot = int16(due % wheelSlots)
	head := &s.wheel[x.slot]
	x.next, x.prev = *head, none
	if *head != none {
		s.at(*head).prev = i
	}
	*head = i
}

func (s *sessions) unlink(i uint32) {
	x := s.at(i)
	if x.prev != none {
		s.at(x.prev).next = x.next
	} else {
		s.wheel[x.slot] = x.next
	}
	if x.next != none {
		s.at(x.next).prev = x.prev
	}
}

// turn visits what came due since the last turn. gap is how long this node's loop paused. It answers the checks that
// expired, those to be written again because the store shows something else, and how many expiries were held.
func (s *sessions) turn(now, gap time.Duration) (changed []transition, held int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	silent := s.visit(now, &changed)
	hold := s.guard.Hold(gap, len(silent), s.alive)
	for _, i := range silent {
		x := s.at(i)
		if hold && x.held != x.seen.Load() {
			x.seen.Store(int64(now))
			x.held = int64(now)
			held++
			s.link(i, now+x.life())
			continue
		}
		next, _ := check.State{Health: pb.Health(x.health)}.Expire(time.Now(), x.life())
		changed = append(changed, s.become(x, next))
		s.link(i, now+x.life())
	}
	return changed, held
}

// visit empties the slots that came due and re-arms every session that is not silent; it answers the silent ones.
func (s *sessions) visit(now time.Duration, changed *[]transition) (silent []uint32) {
	to := int64(now / tick)
	from := max(s.turned, to-wheelSlots)
	s.turned = to
	for t := from + 1; t <= to; t++ {
		head := &s.wheel[t%wheelSlots]
		i := *head
		*head = none
		for i != none {
			x := s.at(i)
			next := x.next
			deadline := time.Duration(x.seen.Load()) + x.life()
			if deadline <= now && pb.Health(x.health) != pb.Health_HEALTH_CRITICAL {
				silent = append(silent, i)
				i = next
				continue
			}
			if deadline <= now {
				deadline = now + x.life()
			}
			s.link(i, deadline)
			if x.lost() {
				again := check.State{Health: pb.Health(x.health), Since: time.Now(), Output: writtenAgain}
				*changed = append(*changed, s.become(x, again))
			}
			i = next
		}
	}
	return silent
}

// lost reports whether the store has shown another health than ours at two visits in a row, as it does when two nodes
// both took a check for theirs for a moment. Once may just be a write on its way.
func (x *session) lost() bool {
	if x.health == x.written || pb.Health(x.health) == pb.Health_HEALTH_UNSPECIFIED {
		x.differs = 0
		return false
	}
	x.differs++
	return x.differs >= 2
}
