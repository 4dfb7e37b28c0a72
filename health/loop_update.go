package health

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/registry"
)

// timing says when checks that this update brings are first probed.
type timing bool

const (
	atOnce timing = false // registered or taken over just now
	spread timing = true  // this process started: over one interval, if their health is known
)

// update applies what changed between two states of a service; either may be nil. Instances of other regions are
// theirs to check. With the same state twice, it applies a change of the live nodes.
func (l *loop) update(before, now *registry.ServiceView, when timing) {
	var old, next []*registry.InstanceView
	if before != nil && before != now {
		old = before.Local()
	}
	if now != nil {
		next = now.Local()
	}
	switch {
	case len(next) > 0:
		l.known[now.Key] = now
	case before != nil:
		delete(l.known, before.Key)
	}
	pair(old, next, func(old, next *registry.InstanceView) {
		if old == next {
			return
		}
		if old != nil {
			l.dropGone(old, next)
		}
		if next != nil {
			l.look(next, when)
		}
	})
}

// pair walks two lists of instances, both by id, side by side: what is in one only comes with nil.
func pair(old, next []*registry.InstanceView, visit func(old, next *registry.InstanceView)) {
	for len(old) > 0 || len(next) > 0 {
		var order int
		switch {
		case len(old) == 0:
			order = 1
		case len(next) == 0:
			order = -1
		default:
			order = strings.Compare(old[0].Key.ID, next[0].Key.ID)
		}
		switch {
		case order < 0:
			visit(old[0], nil)
			old = old[1:]
		case order > 0:
			visit(nil, next[0])
			next = next[1:]
		default:
			visit(old[0], next[0])
			old, next = old[1:], next[1:]
		}
	}
}

// look takes in the checks of an instance that is new or changed.
func (l *loop) look(in *registry.InstanceView, when timing) {
	for i, def := range in.Checks {
		if def.GetType() == pb.CheckType_CHECK_TYPE_TTL {
			l.updateSession(in, i)
		} else {
			l.updateJob(in, i, when)
		}
	}
}

// dropGone drops the checks of an instance that its later state does not have; nil: there is none.
func (l *loop) dropGone(in, next *registry.InstanceView) {
	for _, def := range in.Checks {
		if next == nil || !slices.ContainsFunc(next.Checks, func(d *pb.Check) bool {
			return d.GetId() == def.GetId() && (d.GetType() == pb.CheckType_CHECK_TYPE_TTL) == (def.GetType() == pb.CheckType_CHECK_TYPE_TTL)
		}) {
			l.drop(in.Key.Check(def.GetId()))
		}
	}
}

// drop forgets a check that is gone, or is another node's now.
func (l *loop) drop(k registry.CheckKey) {
	l.writer.forget(k)
	if l.sessions.drop(k.Instance, k.ID) {
		return
	}
	j, ok := l.jobs[k]
	if !ok {
		return
	}
	delete(l.jobs, k)
	l.active.Add(-1)
	l.agenda.remove(j)
	j.dropped = true
	l.unlink(j)
}

func (l *loop) mine(hash uint64, in *registry.InstanceView) bool {
	return l.nodes.owner(hash) == l.cfg.Node && !in.Instance.GetDraining()
}

func (l *loop) updateSession(in *registry.InstanceView, i int) {
	if l.mine(instanceHash(in.Key), in) {
		l.sessions.put(l.now(), in, i)
	} else {
		l.drop(in.Key.Check(in.Checks[i].GetId()))
	}
}

func (l *loop) updateJob(in *registry.InstanceView, i int, when timing) {
	def := in.Checks[i]
	key := in.Key.Check(def.GetId())
	if !l.mine(checkHash(key), in) {
		l.drop(key)
		return
	}
	written := pb.Health_HEALTH_UNSPECIFIED
	if in.Status[i] != nil {
		written = in.Status[i].GetHealth()
	}
	to := targetOf(in, def, l.cfg.Damping)
	if j, ok := l.jobs[key]; ok && j.created != created(in, def) {
		// Removed and made again between two views: nothing is known of the new one.
		l.drop(key)
	}
	if j, ok := l.jobs[key]; ok {
		j.written = written
		if j.to != to {
			l.unlink(j)
			j.to, j.spread = to, true
			j.stale = j.index < 0
			l.agenda.move(j, l.now())
		}
		return
	}
	j := &job{
		key: key, created: created(in, def), to: to, state: check.Resume(in.Status[i]), written: written, spread: true,
	}
	l.jobs[key] = j
	l.active.Add(1)
	due := l.now()
	if when == spread && written != pb.Health_HEALTH_UNSPECIFIED {
		due += time.Duration(rand.Float64() * float64(to.every))
		j.spread = false
	}
	l.agenda.add(j, due)
}
