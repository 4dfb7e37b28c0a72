package server

import (
	"context"
	"sync"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// drains removes draining instances when their time is over. The node that marked an instance removes it on time;
// should that node die, the others do, a little later. The time is in the record, so nothing is lost with a node,
// and whoever comes second finds the instance gone or changed: the removal holds only for what the view showed.
type drains struct {
	s *Server

	mu     sync.Mutex
	mine   map[registry.InstanceKey]time.Time // marked here
	wakeup chan struct{}
}

const (
	// drainGrace is how much later than its time an instance that another node marked is removed. It also covers
	// clocks that differ a little.
	drainGrace = 2 * time.Second
	// drainRetry is the pause after a removal that failed, for example because there is no leader.
	drainRetry = time.Second
	// drainTimeout bounds one removal.
	drainTimeout = 5 * time.Second
)

func newDrains(s *Server) *drains {
	return &drains{s: s, mine: map[registry.InstanceKey]time.Time{}, wakeup: make(chan struct{}, 1)}
}

// own notes that this node marked an instance.
func (d *drains) own(k registry.InstanceKey, until time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	// What was due long ago was removed by somebody: forget it, so that the map stays as small as the drains.
	for key, t := range d.mine {
		if time.Since(t) > maxDrain {
			delete(d.mine, key)
		}
	}
	d.mine[k] = until
	d.wake()
}

func (d *drains) wake() {
	select {
	case d.wakeup <- struct{}{}:
	default:
	}
}

// due says when an instance is to be removed by this node.
func (d *drains) due(in *registry.InstanceView) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.mine[in.Key]; ok {
		return in.DrainUntil
	}
	return in.DrainUntil.Add(drainGrace)
}

// run follows the view until ctx ends. It keeps the services that have a draining instance, no more.
func (d *drains) run(ctx context.Context) error {
	var wait sync.WaitGroup
	defer wait.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	draining := map[registry.ServiceKey]struct{}{}
	wait.Go(func() { d.remove(ctx, &mu, draining) })
	return d.s.cfg.Views.Follow(ctx, func(v *registry.View, c registry.Changes) error {
		mu.Lock()
		defer mu.Unlock()
		concerned := c.All
		if c.All {
			clear(draining)
			for sv := range v.AllServices() {
				note(draining, sv.Key, sv)
			}
		}
		for key := range c.Services {
			sv, _ := v.Service(key)
			concerned = note(draining, key, sv) || concerned
		}
		if concerned {
			d.wake()
		}
		return nil
	})
}

// note keeps a service while it has an instance of this region with a time to go. It reports whether it has, or had.
func note(draining map[registry.ServiceKey]struct{}, key registry.ServiceKey, sv *registry.ServiceView) bool {
	if sv != nil {
		for _, in := range sv.Local() {
			if !in.DrainUntil.IsZero() {
				draining[key] = struct{}{}
				return true
			}
		}
	}
	_, had := draining[key]
	delete(draining, key)
	return had
}

// remove removes what is due and sleeps until the next is, or until the set changed.
func (d *drains) remove(ctx context.Context, mu *sync.Mutex, draining map[registry.ServiceKey]struct{}) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		mu.Lock()
		v := d.s.cfg.Views.View()
		var ripe []*registry.InstanceView
		next := time.Now().Add(time.Hour)
		for key := range draining {
			sv, ok := v.Service(key)
			if !ok {
				continue
			}
			for _, in := range sv.Local() {
				if in.DrainUntil.IsZero() {
					continue
				}
				if at := d.due(in); !at.After(time.Now()) {
					ripe = append(ripe, in)
				} else if at.Before(next) {
					next = at
				}
			}
		}
		mu.Unlock()
		for _, in := range ripe {
			if err := d.removeOne(ctx, in); err != nil {
				next = time.Now().Add(drainRetry)
			}
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case <-d.wakeup:
		case <-timer.C:
		}
	}
}

// removeOne removes one instance. Gone or changed meanwhile is as good as removed.
func (d *drains) removeOne(ctx context.Context, in *registry.InstanceView) error {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	op, err := registry.RemoveDrainedOp(in, registry.Write{Writer: record.Writer{
		Time: time.Now().UnixNano(), Actor: "node " + d.s.cfg.Node, Message: "drained",
	}})
	if err != nil {
		return err
	}
	res, err := d.s.propose(ctx, op)
	if err == nil {
		// Without the wait the next look at the view would find it ripe again.
		d.s.settle(ctx, op, res)
	}
	if err == nil || fault.Is(err, fault.NotFound) || fault.Is(err, fault.Conflict) {
		d.mu.Lock()
		delete(d.mine, in.Key)
		d.mu.Unlock()
		return nil
	}
	d.s.log.Warn("a drained instance was not removed", "service", in.Key.Service.Name, "instance", in.Key.ID, "error", err)
	return err
}
