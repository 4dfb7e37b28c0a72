package store

import (
	"sync"

	"supercluster/region/record"
)

// fixedRows keeps rows that Apply reads by their exact key again and again. Only Update uses it, but for what is shared.
type fixedRows struct {
	// shared are rows that whoever sends, takes over or tells of changes reads after each of them: the head row, what is known
	// of regions, where channels stand.
	shared sharedRows
	// fixed are counters and alarms. They are few and small in any real region.
	fixed keptRows
	// windows are what proposers are remembered for.
	windows windows
	// carried are small rows of what channels carry: what changed once, the health of an instance say, changes again, and each
	// change looks for what was there. There may be many, so they are in no way of the others.
	carried keptRows
}

func newFixedRows() *fixedRows {
	return &fixedRows{
		shared:  sharedRows{rows: map[string]sharedRow{}},
		fixed:   keptRows{rows: map[string][]byte{}, most: mostFixed, largest: largestFixed},
		windows: windows{rows: map[string]map[string][]byte{}},
		carried: keptRows{rows: map[string][]byte{}, most: 4096, largest: 1 << 10},
	}
}

const (
	mostFixed    = 8192
	largestFixed = 16 << 10
)

func (f *fixedRows) clear() {
	f.shared.clear()
	clear(f.fixed.rows)
	clear(f.windows.rows)
	clear(f.carried.rows)
}

// isShared reports whether a row is one of the shared ones.
func isShared(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	switch key[0] {
	case record.SpaceMeta, record.SpaceCursors, record.SpaceResync, record.SpaceRegions, record.SpaceFederated:
		return true
	default:
		return false
	}
}

// of gives where a row is kept that is not shared; nil: nowhere.
func (f *fixedRows) of(key []byte) *keptRows {
	if len(key) == 0 {
		return nil
	}
	switch key[0] {
	case record.SpaceCounters, record.SpaceAlarms:
		return &f.fixed
	case record.SpaceExported, record.SpaceOrigins:
		return &f.carried
	default:
		return nil
	}
}

// get gives a row that is kept; a value of nil says that the row is not there.
func (f *fixedRows) get(key []byte) ([]byte, bool) {
	if isShared(key) {
		return f.shared.newest(key)
	}
	if window := windowOf(key); window != nil {
		return f.windows.get(window, key)
	}
	kept := f.of(key)
	if kept == nil {
		return nil, false
	}
	value, ok := kept.rows[string(key)]
	return value, ok
}

// put keeps a row that was read, in the publication of some sequence.
func (f *fixedRows) put(key, value []byte, sequence uint64) {
	if isShared(key) {
		f.shared.put(key, append([]byte{}, value...), sequence) // not nil, also when empty
		return
	}
	if kept := f.of(key); kept != nil {
		kept.put(key, value)
	}
}

// missed keeps that a row is not there in the publication of some sequence, if it is a shared one: most regions have no
// federation row, import without a selector and take no snapshot over, and each entry asks for it.
func (f *fixedRows) missed(key []byte, sequence uint64) {
	if isShared(key) {
		f.shared.put(key, nil, sequence)
	}
}

// update brings a kept row up to a write, in the publication of some sequence, which is the next one.
func (f *fixedRows) update(w *write, sequence uint64) {
	if isShared(w.key) {
		f.shared.update(w, sequence)
		return
	}
	if window := windowOf(w.key); window != nil {
		f.windows.update(window, w)
		return
	}
	if kept := f.of(w.key); kept != nil {
		kept.update(w)
	}
}

// sharedRows are rows that Update keeps and readers of a publication find without Pebble. Update alone changes them, so it
// reads them without the lock.
//
// Coherence, as that of the cache: a row is good for the publication since which it is so and for later ones. It changes
// before the next publication shows, and whoever reads an older one is sent to Pebble.
type sharedRows struct {
	mu   sync.RWMutex
	rows map[string]sharedRow // at most mostFixed; when they are full all are dropped
}

// sharedRow never changes. value is nil if the row is not there.
type sharedRow struct {
	value []byte
	since uint64
}

// newest gives a row as it was published last; a value of nil says that it is not there. It is for Update.
func (s *sharedRows) newest(key []byte) ([]byte, bool) {
	row, ok := s.rows[string(key)]
	return row.value, ok
}

// in gives a row as the publication of some sequence has it; a value of nil says that it is not there.
func (s *sharedRows) in(sequence uint64, key []byte) ([]byte, bool) {
	s.mu.RLock()
	row, ok := s.rows[string(key)]
	s.mu.RUnlock()
	return row.value, ok && row.since <= sequence
}

func (s *sharedRows) put(key, value []byte, since uint64) {
	if len(value) > largestFixed {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rows) >= mostFixed {
		clear(s.rows)
	}
	s.rows[string(key)] = sharedRow{value, since}
}

func (s *sharedRows) update(w *write, since uint64) {
	if _, kept := s.rows[string(w.key)]; !kept {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.deleted || len(w.value) > largestFixed {
		delete(s.rows, string(w.key))
		return
	}
	s.rows[string(w.key)] = sharedRow{append([]byte{}, w.value...), since}
}

func (s *sharedRows) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rows)
}

// keptRows are at most so many rows, none larger than largest bytes. When they are full all are dropped.
type keptRows struct {
	rows          map[string][]byte
	most, largest int
}

func (k *keptRows) put(key, value []byte) {
	if len(value) > k.largest {
		return
	}
	if len(k.rows) >= k.most {
		clear(k.rows)
	}
	k.rows[string(key)] = append([]byte{}, value...) // not nil, also when empty
}

func (k *keptRows) update(w *write) {
	before, kept := k.rows[string(w.key)]
	switch {
	case !kept:
	case w.deleted || len(w.value) > k.largest:
		delete(k.rows, string(w.key))
	case before != nil && len(w.value) <= cap(before):
		k.rows[string(w.key)] = append(before[:0], w.value...)
	default:
		k.rows[string(w.key)] = append([]byte{}, w.value...)
	}
}
