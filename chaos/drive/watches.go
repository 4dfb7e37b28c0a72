package drive

import (
	"context"
	"fmt"
	"sync"

	"supercluster/chaos/history"
	"supercluster/region/record"
)

// watcher is a client that watches all records of a region, on one server after another.
type watcher struct {
	site *Site
	name string
	turn int // which server is next

	mu   sync.Mutex
	life int // of the region, that at is of
	at   record.Positions
}

// watch makes the watches of all regions, from where each region is now. Nothing may be written yet.
func (r *Run) watch(ctx context.Context) error {
	for _, s := range r.sites {
		at, err := s.Now(ctx)
		if err != nil {
			return fmt.Errorf("where %s is: %w", s.name, err)
		}
		for n := range r.Plan.Workload.Watches {
			r.watchers = append(r.watchers, &watcher{site: s, name: fmt.Sprintf("%s-w%d", s.name, n), turn: n, at: at})
		}
	}
	return nil
}

// run watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.turn++
		if servers := w.site.Serving(); len(servers) > 0 {
			w.follow(ctx, servers[w.turn%len(servers)])
		}
		Pause(ctx, w.site.run.tier.Pace.Resume)
	}
}

// follow watches on one server for a while: going on where a watch stopped is watched too.
func (w *watcher) follow(ctx context.Context, s Server) {
	ctx, cancel := context.WithTimeout(ctx, w.site.run.tier.Pace.Follow)
	defer cancel()
	from, life := w.begin()
	s.Follow(ctx, from, func(message history.Watch, at record.Positions) bool {
		if !w.tell(s, life, message, at) {
			return false
		}
		if at != (record.Positions{}) {
			w.slowly(ctx, s)
		}
		return true
	})
}

// begin gives where to go on; in a new life of the region, from its beginning.
func (w *watcher) begin() (from record.Positions, life int) {
	life = w.site.lifeNow()
	w.mu.Lock()
	defer w.mu.Unlock()
	if life != w.life {
		w.life, w.at = life, record.Positions{}
	}
	return w.at, life
}

// tell writes a message down; false: the life of the region that it is of is over.
func (w *watcher) tell(s Server, life int, message history.Watch, at record.Positions) bool {
	message.Name = w.name
	w.site.mu.Lock()
	defer w.site.mu.Unlock()
	if life != w.site.life {
		return false
	}
	w.site.run.Log.Add(history.Line{Type: history.Watched, Region: w.site.name, Node: s.Name(), Watch: &message})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at.System, w.at.Data = max(w.at.System, at.System), max(w.at.Data, at.Data)
	return true
}

func (w *watcher) position() record.Positions {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// slowly reads nothing while a nemesis wants it, and notes how far behind the watch is then.
func (w *watcher) slowly(ctx context.Context, s Server) {
	wait := w.site.waits()
	if wait <= 0 || !Pause(ctx, wait) {
		return
	}
	if now, at := s.Newest(ctx), w.position().Data; now > at {
		w.site.behind(now - at)
	}
}
