package health

import (
	"sync"
	"sync/atomic"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/registry"
)

// session is what the owner knows of one TTL check: 48 bytes, in pages, without a timer or goroutine of its own.
// Times are nanoseconds since the Runner was made. All fields but seen are guarded by sessions.mu.
type session struct {
	// seen is when the last heartbeat came. Heartbeats store it under the read lock.
	seen atomic.Int64
	// held is the value of seen that a held expiry left; while it still is, no heartbeat came since.
	held int64
	// in is the instance as the view last showed it.
	in  *registry.InstanceView
	ttl uint32 // milliseconds
	// next and prev link the sessions of one slot of the wheel, sibling those of one instance.
	next, prev, sibling uint32
	slot                int16
	check               uint8 // index in in.Checks
	health              uint8
	// written is the health that the view shows, and differs counts the visits in a row at which it was not ours.
	written uint8
	differs uint8
}

// none ends the lists of sessions; slot 0 of the slab is never used.
const none uint32 = 0

// The wheel turns one slot each tick; a session further away than one turn is visited once each turn.
const (
	tick       = 100 * time.Millisecond
	wheelSlots = 512
	pageSize   = 1024
)

// Bounds of a TTL, whatever a record holds.
const (
	minTTL     = time.Second
	maxTTL     = 24 * time.Hour
	defaultTTL = 15 * time.Second
)

// transition is a change of a check's health that is to be written.
type transition struct {
	key   registry.CheckKey
	state check.State
}

// sessions are the TTL checks of this node. Heartbeats only take the read lock unless they change something.
type sessions struct {
	guard check.Guard

	mu         sync.RWMutex
	byInstance map[registry.InstanceKey]uint32
	pages      []*[pageSize]session
	free       uint32
	count      int
	alive      int // not critical
	wheel      [wheelSlots]uint32
	turned     int64 // the last tick visited
}

func newSessions(g check.Guard) *sessions {
	return &sessions{guard: g, byInstance: map[registry.InstanceKey]uint32{}}
}

func (s *sessions) at(i uint32) *session { return &s.pages[i/pageSize][i%pageSize] }

// put adopts a TTL check, or takes over a new definition. A check that is new here gets one whole TTL from now.
func (s *sessions) put(now time.Duration, in *registry.InstanceView, index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	def := in.Checks[index]
	written := pb.Health_HEALTH_UNSPECIFIED
	if in.Status[index] != nil {
		written = in.Status[index].GetHealth()
	}
	i := s.find(in.Key, def.GetId())
	if i != none && created(s.at(i).in, def) != created(in, def) {
		// Removed and made again between two views: nothing is known of the new one.
		s.remove(i)
		i = none
	}
	if i != none {
		x := s.at(i)
		x.in, x.check, x.ttl, x.written = in, uint8(index), ttlOf(def), uint8(written)
		return
	}
	i = s.take()
	x := s.at(i)
	x.in, x.check, x.ttl = in, uint8(index), ttlOf(def)
	x.health, x.written, x.differs, x.held = uint8(written), uint8(written), 0, -1
	x.seen.Store(int64(now))
	x.sibling = s.byInstance[in.Key]
	s.byInstance[in.Key] = i
	s.count++
	if written != pb.Health_HEALTH_CRITICAL {
		s.alive++
	}
	s.link(i, now+x.life())
}

// drop forgets a TTL check; it reports whether there was one.
func (s *sessions) drop(k registry.InstanceKey, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(k, id)
	if i == none {
		return false
	}
	s.remove(i)
	return true
}

func (s *sessions) remove(i uint32) {
	x := s.at(i)
	k := x.in.Key
	if head := s.byInstance[k]; head != i {
		before := head
		for s.at(before).sibling != i {
			before = s.at(before).sibling
		}
		s.at(before).sibling = x.sibling
	} else if x.sibling == none {
		delete(s.byInstance, k)
	} else {
		s.byInstance[k] = x.sibling
	}
	s.unlink(i)
	s.count--
	if pb.Health(x.health) != pb.Health_HEALTH_CRITICAL {
		s.alive--
	}
	x.in, x.sibling = nil, none
	x.next, s.free = s.free, i
}

// created is the revision at which a check of an instance was made.
func created(in *registry.InstanceView, def *pb.Check) uint64 {
	meta, _ := in.CheckMeta(def.GetId())
	return meta.CreateRevision
}

// beat takes a heartbeat for one check of an instance, or for all of them. known is false when it has no session
// here. What changes is answered as transitions.
func (s *sessions) beat(now time.Duration, k registry.InstanceKey, t *pb.HeartbeatTarget) (changed []transition, known bool) {
	says := t.GetHealth()
	if says == pb.Health_HEALTH_UNSPECIFIED {
		says = pb.Health_HEALTH_PASSING
	}
	change := false
	s.mu.RLock()
	for i := s.byInstance[k]; i != none; i = s.at(i).sibling {
		x := s.at(i)
		if t.GetCheck() != "" && t.GetCheck() != x.id() {
			continue
		}
		known = true
		x.seen.Store(int64(now))
		change = change || x.health != uint8(says)
	}
	s.mu.RUnlock()
	if !change {
		return nil, known
	}
	return s.transit(k, t, says), known
}

func (s *sessions) transit(k registry.InstanceKey, t *pb.HeartbeatTarget, says pb.Health) (changed []transition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.byInstance[k]; i != none; i = s.at(i).sibling {
		x := s.at(i)
		if t.GetCheck() != "" && t.GetCheck() != x.id() {
			continue
		}
		output := t.GetOutput()
		if output == "" {
			output = "heartbeat"
		}
		now := check.State{Health: pb.Health(x.health)}
		if next, ok := now.ObserveHealth(time.Now(), says, output, check.Policy{}); ok {
			changed = append(changed, s.become(x, next))
		}
	}
	return changed
}

func (s *sessions) become(x *session, next check.State) transition {
	critical := uint8(pb.Health_HEALTH_CRITICAL)
	if x.health == critical {
		s.alive++
	}
	x.health, x.differs = uint8(next.Health), 0
	if x.health == critical {
		s.alive--
	}
	return transition{key: x.in.Key.Check(x.id()), state: next}
}

// sizes tells how many sessions there are.
func (s *sessions) sizes() (count, alive int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.count, s.alive
}

func (s *sessions) find(k registry.InstanceKey, id string) uint32 {
	i := s.byInstance[k]
	for i != none && s.at(i).id() != id {
		i = s.at(i).sibling
	}
	return i
}

// take gives a free place of the slab.
func (s *sessions) take() uint32 {
	if s.free == none {
		first := uint32(len(s.pages)) * pageSize
		s.pages = append(s.pages, new([pageSize]session))
		for i := first + pageSize - 1; i > first; i-- {
			s.at(i).next, s.free = s.free, i
		}
		if first != none {
			s.at(first).next, s.free = s.free, first
		}
	}
	i := s.free
	s.free = s.at(i).next
	return i
}

func (x *session) id() string          { return x.in.Checks[x.check].GetId() }
func (x *session) life() time.Duration { return time.Duration(x.ttl) * time.Millisecond }

func ttlOf(def *pb.Check) uint32 {
	ttl := def.GetTtl().AsDuration()
	if ttl <= 0 {
		ttl = defaultTTL
	}
	return uint32(min(max(ttl, minTTL), maxTTL) / time.Millisecond)
}
