package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"supercluster/chaos/history"
	"supercluster/region/record"
)

// watcher is a client that watches all records of a region, on one node after another.
type watcher struct {
	world *world
	site  *site
	name  string
	turn  int // which node is next

	mu sync.Mutex
	at record.Positions
}

// watches makes those of all regions, from where each region is now. Nothing may be written yet.
func (w *world) watches(ctx context.Context) (all []*watcher, err error) {
	for _, s := range w.regions {
		at, err := s.nodes[0].live().region.Linearize(ctx)
		if err != nil {
			return nil, fmt.Errorf("where %s is: %w", s.name, err)
		}
		for n := range w.plan.Workload.Watches {
			all = append(all, &watcher{world: w, site: s, name: fmt.Sprintf("%s-w%d", s.name, n), turn: n, at: at})
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watchers = all
	return all, nil
}

// run watches until ctx ends.
func (r *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		r.turn++
		n := r.site.nodes[r.turn%len(r.site.nodes)]
		if l := n.live(); l != nil {
			r.follow(ctx, n, l)
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// follow watches on one node, until it ends or half a second has passed: resuming is watched too.
func (r *watcher) follow(ctx context.Context, n *node, l *life) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	select {
	case <-l.region.Ready():
	default:
		return
	}
	from := r.position()
	r.tell(n, history.Watch{Event: history.WatchOpen, Revision: from.Data})
	_ = l.region.Follow(ctx, from, 50*time.Millisecond, func(commits []record.Commit, at record.Positions) error {
		if err := l.heard(nil); err != nil {
			return err
		}
		for i := range commits {
			if c := &commits[i]; c.Position.Shard == record.ShardData {
				if changes := r.changes(c.Events); len(changes) > 0 {
					r.tell(n, history.Watch{Event: history.WatchEvent, Revision: c.Position.Revision, Changes: changes})
				}
			}
		}
		r.tell(n, history.Watch{Event: history.WatchProgress, Revision: at.Data})
		r.mu.Lock()
		r.at = at
		r.mu.Unlock()
		r.slowly(ctx, at, l)
		return nil
	})
}

// slowly pauses while a nemesis wants it, and notes how far behind it is.
func (r *watcher) slowly(ctx context.Context, at record.Positions, l *life) {
	w := r.world
	w.mu.Lock()
	pause := w.pause[r.site.name]
	w.mu.Unlock()
	if pause == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(pause):
	}
	now := l.region.Freshness().Positions.Data
	w.mu.Lock()
	defer w.mu.Unlock()
	if now > at.Data {
		w.lag[r.site.name] = max(w.lag[r.site.name], now-at.Data)
	}
}

func (r *watcher) position() record.Positions {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.at
}

func (r *watcher) tell(n *node, watch history.Watch) {
	watch.Name = r.name
	r.world.log.Add(history.Line{Type: history.Watched, Region: r.site.name, Node: n.name, Watch: &watch})
}

// changes gives what clients of the run changed.
func (r *watcher) changes(events []record.Event) (all []history.Change) {
	for i := range events {
		e := &events[i]
		key, channel := keyOf(e.Record.Key)
		if key == "" {
			continue
		}
		c := history.Change{Key: key, Channel: channel, Deleted: e.Type == record.EventDelete}
		if !c.Deleted {
			c.Value = string(e.Record.Value)
		}
		if maker := r.world.makerOf(key); maker != r.site.name {
			c.Source = maker
		}
		all = append(all, c)
	}
	return all
}

// keyOf names a record in histories; "" when it is none of the clients'.
func keyOf(k record.Key) (key, channel string) {
	switch k.Kind {
	case record.KindConfig:
		return configKey + k.Name, "config"
	case record.KindInstance:
		return serviceKey + k.Name, "endpoints"
	default:
		return "", ""
	}
}

// makerOf is the region whose clients write a key.
func (w *world) makerOf(key string) string {
	_, name, _ := strings.Cut(key, ":")
	for _, s := range w.regions {
		if strings.HasPrefix(name, s.name+"/") || strings.HasPrefix(name, s.name+"-") {
			return s.name
		}
	}
	return ""
}
