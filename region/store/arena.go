package store

import "supercluster/region/record"

// arenaChunk is what an arena takes at once, and what it keeps from one Update to the next.
const arenaChunk = 256 << 10

// arena holds the keys and values of one Update, so that a write costs no allocation.
type arena struct {
	kept []byte // the first chunk
	free []byte // the rest of the current one
}

func (a *arena) reset() {
	if a.kept == nil {
		a.kept = make([]byte, arenaChunk)
	}
	a.free = a.kept
}

func (a *arena) copy(b []byte) []byte {
	if len(b) > arenaChunk/4 {
		return append([]byte(nil), b...)
	}
	if len(b) > len(a.free) {
		a.free = make([]byte, arenaChunk)
	}
	held := a.free[:len(b):len(b)]
	a.free = a.free[len(b):]
	copy(held, b)
	return held
}

// replace copies b, into the place of a value before when it fits.
func (a *arena) replace(before, b []byte) []byte {
	if before != nil && len(b) <= cap(before) {
		return append(before[:0], b...)
	}
	return a.copy(b)
}

// maxFixedRows and maxFixedBytes bound what fixedRows holds; its rows are few and small in any real region.
const (
	maxFixedRows  = 8192
	maxFixedBytes = 16 << 10
)

// fixedRows keeps rows that Apply reads by their exact key again and again: the head row, counters, proposer windows, where
// channels stand. Of some spaces it also keeps that a row is not there (nil): most regions have no federation row, import
// without a selector and take no snapshot over, and each entry asks for it. Only Update uses it.
type fixedRows struct{ rows map[string][]byte }

func newFixedRows() *fixedRows { return &fixedRows{rows: map[string][]byte{}} }

func (f *fixedRows) clear() { clear(f.rows) }

func fixed(key []byte) bool {
	if len(key) == 0 {
		return false
	}
	switch key[0] {
	case record.SpaceMeta, record.SpaceCounters, record.SpaceAlarms, record.SpaceWindows, record.SpaceCursors,
		record.SpaceResync, record.SpaceRegions, record.SpaceFederated:
		return true
	default:
		return false
	}
}

func (f *fixedRows) get(key []byte) ([]byte, bool) {
	value, ok := f.rows[string(key)]
	return value, ok
}

// put keeps a row that was read.
func (f *fixedRows) put(key, value []byte) {
	if !fixed(key) || len(value) > maxFixedBytes {
		return
	}
	if len(f.rows) >= maxFixedRows {
		clear(f.rows)
	}
	f.rows[string(key)] = append([]byte{}, value...) // not nil, also when empty
}

// missed keeps that a row is not there.
func (f *fixedRows) missed(key []byte) {
	if len(key) == 0 || len(f.rows) >= maxFixedRows {
		return
	}
	switch key[0] {
	case record.SpaceMeta, record.SpaceRegions, record.SpaceFederated, record.SpaceCursors, record.SpaceResync:
		f.rows[string(key)] = nil
	}
}

// update brings a kept row up to a write.
func (f *fixedRows) update(w *write) {
	before, kept := f.rows[string(w.key)]
	switch {
	case !kept:
	case w.deleted || len(w.value) > maxFixedBytes:
		delete(f.rows, string(w.key))
	case before != nil && len(w.value) <= cap(before):
		f.rows[string(w.key)] = append(before[:0], w.value...)
	default:
		f.rows[string(w.key)] = append([]byte{}, w.value...)
	}
}
