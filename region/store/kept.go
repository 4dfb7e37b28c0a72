package store

import "supercluster/region/record"

// fixedRows keeps rows that Apply reads by their exact key again and again. Only Update uses it.
type fixedRows struct {
	// fixed are the head row, counters, proposer windows, where channels stand. They are few and small in any real region. Of
	// some spaces it is also kept that a row is not there: most regions have no federation row, import without a selector and
	// take no snapshot over, and each entry asks for it.
	fixed keptRows
	// carried are small rows of what channels carry: what changed once, the health of an instance say, changes again, and each
	// change looks for what was there. There may be many, so they are in no way of the others.
	carried keptRows
}

func newFixedRows() *fixedRows {
	return &fixedRows{
		fixed:   keptRows{rows: map[string][]byte{}, most: 8192, largest: 16 << 10},
		carried: keptRows{rows: map[string][]byte{}, most: 4096, largest: 1 << 10},
	}
}

func (f *fixedRows) clear() {
	clear(f.fixed.rows)
	clear(f.carried.rows)
}

// of gives where a row is kept; nil: nowhere.
func (f *fixedRows) of(key []byte) *keptRows {
	if len(key) == 0 {
		return nil
	}
	switch key[0] {
	case record.SpaceMeta, record.SpaceCounters, record.SpaceAlarms, record.SpaceWindows, record.SpaceCursors,
		record.SpaceResync, record.SpaceRegions, record.SpaceFederated:
		return &f.fixed
	case record.SpaceExported, record.SpaceOrigins:
		return &f.carried
	default:
		return nil
	}
}

// get gives a row that is kept; a value of nil says that the row is not there.
func (f *fixedRows) get(key []byte) ([]byte, bool) {
	kept := f.of(key)
	if kept == nil {
		return nil, false
	}
	value, ok := kept.rows[string(key)]
	return value, ok
}

// put keeps a row that was read.
func (f *fixedRows) put(key, value []byte) {
	if kept := f.of(key); kept != nil {
		kept.put(key, value)
	}
}

// missed keeps that a row is not there.
func (f *fixedRows) missed(key []byte) {
	if len(key) == 0 || len(f.fixed.rows) >= f.fixed.most {
		return
	}
	switch key[0] {
	case record.SpaceMeta, record.SpaceRegions, record.SpaceFederated, record.SpaceCursors, record.SpaceResync:
		f.fixed.rows[string(key)] = nil
	}
}

// update brings a kept row up to a write.
func (f *fixedRows) update(w *write) {
	if kept := f.of(w.key); kept != nil {
		kept.update(w)
	}
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
