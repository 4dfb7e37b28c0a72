package store

import (
	"context"

	"supercluster/region/record"
	"supercluster/region/state"
)

// Published says what readers see now; false before Open and after Close.
func (s *Store) Published() (Published, bool) {
	v := s.view.Load()
	if v == nil {
		return Published{}, false
	}
	return v.Published, true
}

// Summary gives the state in numbers, as published.
func (s *Store) Summary() (state.Summary, error) {
	v, err := s.acquire()
	if err != nil {
		return state.Summary{}, err
	}
	defer v.release()
	return v.summed()
}

// Hash gives the hash of the logical state and the index it belongs to.
func (s *Store) Hash() (hash [32]byte, applied uint64, err error) {
	v, err := s.acquire()
	if err != nil {
		return hash, 0, err
	}
	defer v.release()
	err = v.read(func(r *reader) error {
		hash, err = state.Hash(r)
		return err
	})
	return hash, v.Applied, err
}

// Wait waits until readers see the entry with an index.
func (s *Store) Wait(ctx context.Context, index uint64) error {
	for {
		changed := s.applied.wait()
		v := s.view.Load()
		if v == nil {
			return errClosed
		}
		if v.Applied >= index {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Get reads one record at a revision, 0 for the newest, and says at which positions it was read.
func (s *Store) Get(k record.Key, revision uint64) (record.Record, bool, record.Positions, error) {
	if revision == 0 {
		if rec, found, at, ok := s.cached(k); ok {
			return rec, found, at, nil
		}
	}
	v, err := s.acquire()
	if err != nil {
		return record.Record{}, false, record.Positions{}, err
	}
	defer v.release()
	var rec record.Record
	var found bool
	err = v.read(func(r *reader) error {
		rec, found, err = state.Get(&filling{reader: r, cache: s.cache, sequence: v.sequence}, k, revision)
		return err
	})
	return rec, found, v.Positions, err
}

// cached answers the newest version from memory. It pins nothing: the row itself says whether the view has it.
func (s *Store) cached(k record.Key) (rec record.Record, found bool, at record.Positions, ok bool) {
	v := s.view.Load()
	if v == nil {
		return rec, false, at, false
	}
	var buf [192]byte
	h := s.cache.get(record.AppendVersionPrefix(buf[:0], k))
	if h == nil || h.revision > v.Positions.Of(k.Shard) {
		s.cache.misses.Add(1)
		return rec, false, at, false
	}
	decoded, err := h.record(k)
	if err != nil {
		return rec, false, at, false // the slow path reports it
	}
	s.cache.hits.Add(1)
	if decoded.Deleted {
		return rec, false, v.Positions, true
	}
	return *decoded, true, v.Positions, true
}

// filling is a reader that keeps the newest versions it meets.
type filling struct {
	*reader
	cache    *cache
	sequence uint64
}

// First implements state.Reader.
func (f *filling) First(from, to []byte) (key, value []byte, found bool, err error) {
	key, value, found, err = f.reader.First(from, to)
	if prefix := versionsOf(from, to); found && prefix != nil && len(from) == len(prefix) {
		f.cache.fill(newHead(key, value), f.sequence)
	}
	return key, value, found, err
}

// Range reads records in key order at a revision, 0 for the newest.
func (s *Store) Range(rng record.Range, revision uint64) (result record.RangeResult, at record.Positions, err error) {
	at, err = s.readView(func(r *reader) error {
		result, err = state.ReadRange(r, rng, revision)
		return err
	})
	return result, at, err
}

// History reads the kept versions of one record, newest first, tombstones included; limit 0 is all.
func (s *Store) History(k record.Key, limit int) (versions []record.Record, at record.Positions, err error) {
	at, err = s.readView(func(r *reader) error {
		versions, err = state.History(r, k, limit)
		return err
	})
	return versions, at, err
}

// Commits reads at most limit commits of a shard after a revision from the transaction log. From below the floor it
// fails with Compacted.
func (s *Store) Commits(shard uint32, from uint64, limit int) (commits []record.Commit, at record.Positions, err error) {
	at, err = s.readView(func(r *reader) error {
		commits, err = state.Commits(r, shard, from, limit)
		return err
	})
	return commits, at, err
}

// Load gives every live record of some kinds at one moment, in key order, and says which moment.
func (s *Store) Load(ctx context.Context, kinds []record.Kind, fn func(record.Record) error) (record.Positions, error) {
	return s.readView(func(r *reader) error {
		return state.Load(r, kinds, func(rec record.Record) error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if s.view.Load() == nil {
				return errClosed // Close waits for us
			}
			return fn(rec)
		})
	})
}

// readView runs fn on the published state and says at which positions that was.
func (s *Store) readView(fn func(r *reader) error) (record.Positions, error) {
	v, err := s.acquire()
	if err != nil {
		return record.Positions{}, err
	}
	defer v.release()
	return v.Positions, v.read(fn)
}

// Busy reports whether tables are written now, which takes the disk and a processor: bulk work waits longer then.
func (s *Store) Busy() bool { return s.writing.Load() > 0 }

// Pin gives the published rows, as they are, until release.
func (s *Store) Pin() (rows state.Reader, release func(), err error) {
	v, err := s.acquire()
	if err != nil {
		return nil, nil, err
	}
	r := v.reader()
	return r, func() {
		if err := r.close(); err != nil {
			v.database.log.Error("a reader of the state did not close cleanly", "error", err)
		}
		v.release()
	}, nil
}

// Changed is closed when a view is published next.
func (s *Store) Changed() <-chan struct{} { return s.applied.wait() }
