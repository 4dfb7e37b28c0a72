package store

import (
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/internal/fault"
	"supercluster/region/state"
)

// recoverBatch is how much of a snapshot is written to Pebble at once.
const recoverBatch = 1 << 20

// PrepareSnapshot implements statemachine.IOnDiskStateMachine: it pins the state for SaveSnapshot.
func (s *Store) PrepareSnapshot() (any, error) {
	v, err := s.acquire()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.pinned[v] = struct{}{}
	s.mu.Unlock()
	return v, nil
}

// SaveSnapshot implements statemachine.IOnDiskStateMachine: it streams the pinned state. Updates go on meanwhile.
func (s *Store) SaveSnapshot(pinned any, w io.Writer, stop <-chan struct{}) error {
	v, ok := pinned.(*view)
	if !ok {
		return fault.New(fault.Internal, "the state to save is a %T", pinned)
	}
	s.mu.Lock()
	_, ok = s.pinned[v]
	delete(s.pinned, v)
	s.mu.Unlock()
	if !ok {
		return sm.ErrSnapshotAborted
	}
	defer v.release()
	out := &stoppingWriter{w: w, stop: stop}
	err := v.read(func(r *reader) error { return state.WriteSnapshot(out, r) })
	switch {
	case out.err != nil: // as the library wants it: its own errors unwrapped
		return out.err
	case errors.Is(err, sm.ErrSnapshotStopped):
		return sm.ErrSnapshotStopped
	default:
		return err
	}
}

// stoppingWriter fails once the replica is being stopped, and remembers its error as it was.
type stoppingWriter struct {
	w    io.Writer
	stop <-chan struct{}
	err  error
}

func (w *stoppingWriter) Write(p []byte) (int, error) {
	if w.err == nil && stopped(w.stop) {
		w.err = sm.ErrSnapshotStopped
	}
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// RecoverFromSnapshot implements statemachine.IOnDiskStateMachine: it replaces the state by a streamed one. The new
// database is built beside the old one, which answers reads until CURRENT names the new one; so a recovery may stop
// anywhere and run again.
func (s *Store) RecoverFromSnapshot(r io.Reader, stop <-chan struct{}) error {
	if s.live == nil {
		return errClosed
	}
	next := current{number: s.current.number + 1}
	err := s.build(next, r, stop)
	if err == nil {
		err = s.replace(next)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sm.ErrSnapshotStopped):
		return sm.ErrSnapshotStopped
	default:
		return s.fail(err)
	}
}

// build makes a complete and durable database out of a snapshot stream.
func (s *Store) build(c current, r io.Reader, stop <-chan struct{}) error {
	path := s.folder.path(c.name())
	if err := s.folder.fs.RemoveAll(path); err != nil {
		return diskFault(err, "the rest of an interrupted recovery at %s can not be removed", path)
	}
	if err := s.folder.step("recover create"); err != nil {
		return err
	}
	options := s.pebbleOptions()
	options.DisableWAL = true // what is flushed counts; what is not is built again
	options.ErrorIfExists = true
	db, err := pebble.Open(path, options)
	if err != nil {
		return diskFault(err, "the database %s can not be made", path)
	}
	err = s.load(db, r, stop)
	if err == nil {
		err = s.folder.step("recover flush")
	}
	if err == nil {
		err = diskFault(db.Flush(), "the database %s can not be written", path)
	}
	if closeErr := db.Close(); err == nil {
		err = diskFault(closeErr, "the database %s can not be closed", path)
	}
	if err == nil {
		err = s.folder.step("recover sync")
	}
	if err == nil {
		err = s.folder.syncDir(s.folder.dir)
	}
	return err
}

// load writes the rows of a snapshot stream.
func (s *Store) load(db *pebble.DB, r io.Reader, stop <-chan struct{}) error {
	batch := db.NewBatch()
	defer func() { batch.Close() }()
	commit := func() error {
		if stopped(stop) {
			return sm.ErrSnapshotStopped
		}
		if err := s.folder.step("recover fill"); err != nil {
			return err
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			return diskFault(err, "the recovered state can not be written")
		}
		batch.Close()
		batch = db.NewBatch()
		return nil
	}
	err := state.ReadSnapshot(r, func(key, value []byte) error {
		if err := batch.Set(key, value, nil); err != nil || batch.Len() < recoverBatch {
			return err
		}
		return commit()
	})
	if err == nil {
		err = commit()
	}
	return err
}

// replace switches to a database that build made. The old one is removed when its last reader is done; if the process
// ends before, by the next Open.
func (s *Store) replace(c current) error {
	c.created = true
	d, err := s.openDatabase(c)
	if err != nil {
		return err
	}
	old := s.live
	if err := s.swap(c, d); err != nil {
		d.release()
		return err
	}
	old.obsolete.Store(true)
	old.release()
	return nil
}

// swap makes CURRENT name a database, then shows it.
func (s *Store) swap(c current, d *database) error {
	summary, err := summarize(d)
	if err != nil {
		return err
	}
	if before := s.view.Load(); summary.AppliedIndex < before.Applied && (s.cfg.Restored == 0 || summary.AppliedIndex != s.cfg.Restored) {
		return fault.New(fault.Corrupt, "a snapshot at entry %d can not replace the state at entry %d", summary.AppliedIndex, before.Applied).
			WithHint(replaceHint)
	}
	if err := s.folder.switchTo(c); err != nil {
		return err
	}
	if err := s.folder.step("recover publish"); err != nil {
		return err
	}
	s.show(c, d, summary)
	return nil
}
