package federation

import (
	"context"
	"sync"

	"supercluster/federation/feed"
	"supercluster/internal/fault"
	"supercluster/region/state"
)

// tails keeps the tail of each channel that somebody pulls here. It looks at the store once for each publication,
// whatever the number of receivers, and wakes them only when a channel moved.
type tails struct {
	f *Federation

	mu     sync.Mutex
	pulled map[channelName]int // by how many exporters
	tails  map[channelName]*feed.Tail
	moved  chan struct{}
}

func newTails(f *Federation) *tails {
	return &tails{f: f, pulled: map[channelName]int{}, tails: map[channelName]*feed.Tail{}, moved: make(chan struct{})}
}

// pull counts one more exporter of a channel, unpull one less.
func (t *tails) pull(name channelName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pulled[name]++
}

func (t *tails) unpull(name channelName) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pulled[name]--; t.pulled[name] <= 0 {
		delete(t.pulled, name)
		delete(t.tails, name)
	}
}

// changed is closed when any channel that is pulled moves next.
func (t *tails) changed() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.moved
}

func (t *tails) of(name channelName) *feed.Tail {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tails[name]
}

// run looks at the store after each publication until ctx ends.
func (t *tails) run(ctx context.Context) error {
	select {
	case <-t.f.cfg.Store.Ready():
	case <-ctx.Done():
		return nil
	}
	for {
		changed := t.f.cfg.Store.Changed()
		if err := t.look(); fault.KindOf(err) == fault.Corrupt {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// look brings the tails up to what is published.
func (t *tails) look() error {
	t.mu.Lock()
	names := make([]channelName, 0, len(t.pulled))
	for name := range t.pulled {
		names = append(names, name)
	}
	t.mu.Unlock()
	if len(names) == 0 {
		return nil
	}
	now := t.f.cfg.Now().UnixNano()
	any := false
	err := t.f.pinned(func(r state.Reader) error {
		for _, name := range names {
			before := t.of(name)
			next, err := t.f.server.Tail(r, name.region, name.channel, before, now)
			if err != nil {
				return err
			}
			if next != before {
				any = true
				t.set(name, next)
			}
		}
		return nil
	})
	if any {
		t.mu.Lock()
		close(t.moved)
		t.moved = make(chan struct{})
		t.mu.Unlock()
	}
	return err
}

func (t *tails) set(name channelName, next *feed.Tail) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pulled[name] > 0 {
		t.tails[name] = next
	}
}
