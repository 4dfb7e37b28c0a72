package federation

import (
	"sync"

	"supercluster/federation/feed"
)

// tip is the newest rows, as all outlets share them: what is read once of a change serves every peer.
type tip struct {
	store Store

	mu      sync.Mutex
	users   int
	at      <-chan struct{} // what was to be closed by the next change when rows were pinned
	rows    *feed.Rows
	release func()
}

// enter keeps rows between uses, until leave has been called as often.
func (t *tip) enter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.users++
}

func (t *tip) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.users--; t.users == 0 {
		t.drop()
	}
}

func (t *tip) drop() {
	if t.release != nil {
		t.release()
	}
	t.at, t.rows, t.release = nil, nil, nil
}

// use runs fn on the newest rows. One runs at a time.
func (t *tip) use(fn func(r *feed.Rows) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.store.Changed(); t.rows == nil || t.at != now {
		t.drop()
		r, release, err := t.store.Pin()
		if err != nil {
			return err
		}
		t.at, t.rows, t.release = now, feed.NewRows(r), release
	}
	err := fn(t.rows)
	if t.users == 0 {
		t.drop()
	}
	return err
}
