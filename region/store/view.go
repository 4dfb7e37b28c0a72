package store

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"supercluster/region/state"
)

// view is the state after one Update: what readers see until the next one is published. It pins a Pebble snapshot,
// which costs next to nothing, so a reader sees exactly what was published however long it reads.
type view struct {
	Published
	sequence uint64 // of publications in this process, for the cache
	shared   *sharedRows
	database *database
	snapshot *pebble.Snapshot
	refs     atomic.Int64

	summarize sync.Once
	summary   state.Summary
	err       error
}

// newView pins the database as it is now. The caller holds its first reference.
func newView(d *database, p Published, sequence uint64, shared *sharedRows) *view {
	d.retain()
	v := &view{Published: p, sequence: sequence, shared: shared, database: d, snapshot: d.NewSnapshot()}
	v.refs.Store(1)
	return v
}

// retain fails when the last reference is gone, which happens to a reader that was slow between finding the view and
// retaining it.
func (v *view) retain() bool {
	for {
		n := v.refs.Load()
		if n == 0 {
			return false
		}
		if v.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (v *view) release() {
	if v.refs.Add(-1) > 0 {
		return
	}
	if err := v.snapshot.Close(); err != nil {
		v.database.log.Error("a pinned state did not close cleanly", "error", err)
	}
	v.database.release()
}

func (v *view) reader() *reader {
	return &reader{rows: v.snapshot, shared: v.shared, sequence: v.sequence}
}

// read runs fn on the view's rows.
func (v *view) read(fn func(r *reader) error) error {
	r := v.reader()
	err := fn(r)
	if closeErr := r.close(); err == nil {
		err = closeErr
	}
	return err
}

// summed gives the view's summary, read once.
func (v *view) summed() (state.Summary, error) {
	v.summarize.Do(func() {
		v.err = v.read(func(r *reader) (err error) {
			v.summary, err = state.Summarize(r)
			return err
		})
	})
	return v.summary, v.err
}

// acquire gives the published view, retained; the caller releases it.
func (s *Store) acquire() (*view, error) {
	for {
		v := s.view.Load()
		if v == nil {
			return nil, errClosed
		}
		if v.retain() {
			return v, nil
		}
	}
}

// publish makes a view the one that readers see, and the store gives up the one before.
func (s *Store) publish(v *view) {
	if before := s.view.Swap(v); before != nil {
		before.release()
	}
	s.applied.signal()
}
