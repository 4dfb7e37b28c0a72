package store

import (
	"bytes"

	"supercluster/region/record"
)

// mostWindows bounds how many proposers' windows are kept. A region has one for each node, and one for each that it had.
const mostWindows = 32

// windows keeps the windows of proposers whole: each entry asks whether its group ran before, and the answer is most often
// a row that is not there, for which Pebble searches everything. Only Update uses it.
type windows struct {
	rows map[string]map[string][]byte // by what the keys of a window begin with; a window that is here has all its rows
}

// windowOf gives what the keys of a window begin with; nil for any other key.
func windowOf(key []byte) []byte {
	const head = 1 + 8 // the space, and the replica
	if len(key) != head+2 || key[0] != record.SpaceWindows {
		return nil
	}
	return key[:head]
}

// get gives a row of a window that is kept; a value of nil says that the row is not there.
func (w *windows) get(window, key []byte) ([]byte, bool) {
	rows, ok := w.rows[string(window)]
	return rows[string(key)], ok
}

// load reads a window.
func (w *windows) load(window []byte, base *reader) error {
	it, err := base.Scan(window, record.PrefixSuccessor(bytes.Clone(window)), false)
	if err != nil {
		return err
	}
	rows := map[string][]byte{}
	for it.Next() {
		rows[string(it.Key())] = append([]byte{}, it.Value()...) // not nil, also when empty
	}
	if err := it.Close(); err != nil {
		return err
	}
	if len(w.rows) >= mostWindows {
		clear(w.rows)
	}
	w.rows[string(window)] = rows
	return nil
}

// update brings a window that is kept up to a write.
func (w *windows) update(window []byte, by *write) {
	rows, ok := w.rows[string(window)]
	switch {
	case !ok:
	case by.deleted:
		delete(rows, string(by.key))
	default:
		rows[string(by.key)] = append([]byte{}, by.value...) // not nil, also when empty
	}
}
