package drive

import (
	"context"
	"fmt"
	"sync"
	"time"

	"supercluster/chaos/history"
	"supercluster/chaos/schedule"
)

// Site is a region as its clients and watches see it, with what nemeses do to them.
type Site struct {
	Region
	run  *Run
	name string
	gate sync.RWMutex // held for writing while no client may ask

	mu   sync.Mutex
	life int
	slow func() time.Duration // how long its watches wait before they read on; nil: they do not
	lag  uint64               // how many revisions they were behind then
}

// Site finds a region by its name; it is there once the world has started.
func (r *Run) Site(name string) *Site {
	for _, s := range r.sites {
		if s.name == name {
			return s
		}
	}
	return nil
}

// Hold lets no client of the region ask any more, until Release.
func (s *Site) Hold() { s.gate.Lock() }

// Release lets clients ask again.
func (s *Site) Release() { s.gate.Unlock() }

// Reborn begins a new life of the region. None of its servers runs.
func (s *Site) Reborn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life++
	s.run.Log.Add(history.Line{Type: history.Lived, Region: s.name, Life: &history.Life{}})
}

// Healed says that the new life has brought back what the old one had told, at a revision.
func (s *Site) Healed(revision uint64) {
	s.run.Log.Add(history.Line{Type: history.Lived, Region: s.name, Life: &history.Life{Healed: true, Revision: revision}})
}

func (s *Site) lifeNow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// Slow lets the watches of the region wait before they read on, for the time of a nemesis; wait says how long, each time.
// It gives how many revisions they were behind.
func (s *Site) Slow(ctx context.Context, n *schedule.Nemesis, wait func() time.Duration) uint64 {
	s.mu.Lock()
	s.slow, s.lag = wait, 0
	s.mu.Unlock()
	behind := func() uint64 { s.mu.Lock(); defer s.mu.Unlock(); return s.lag }
	Last(ctx, n, func() bool { return behind() > 0 })
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slow = nil
	return s.lag
}

// waits is how long a watch waits now before it reads on.
func (s *Site) waits() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slow == nil {
		return 0
	}
	return s.slow()
}

func (s *Site) behind(by uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lag = max(s.lag, by)
}

// Seen is the revision that every watch of the region was given.
func (s *Site) Seen() uint64 {
	at, _ := s.latest()
	return at
}

// latest is the watch that was given the least, and how far it is.
func (s *Site) latest() (at uint64, name string) {
	for _, w := range s.run.watchers {
		if w.site != s {
			continue
		}
		if is := w.position().Data; name == "" || is < at {
			at, name = is, w.name
		}
	}
	return at, name
}

// Shown waits until the watches of the region were given a revision, at most as long as the last reads may take.
func (s *Site) Shown(ctx context.Context, revision uint64) error {
	return Wait(ctx, s.run.Plan.Phases.Final.Duration(), "the watches of "+s.name, func(context.Context) string {
		if at, name := s.latest(); name != "" && at < revision {
			return fmt.Sprintf("%s is at %d of %d", name, at, revision)
		}
		return ""
	})
}
