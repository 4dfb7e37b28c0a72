package state

import (
	"bytes"

	"github.com/tidwall/btree"
)

// Memory is the in-memory twin of the store: a KV for tests and simulations.
type Memory struct {
	rows *btree.BTreeG[row]
}

type row struct{ key, value []byte }

// NewMemory makes an empty one.
func NewMemory() *Memory {
	less := func(a, b row) bool { return bytes.Compare(a.key, b.key) < 0 }
	return &Memory{rows: btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})}
}

// Snapshot gives a copy that later writes do not change. It is cheap.
func (m *Memory) Snapshot() *Memory { return &Memory{rows: m.rows.Copy()} }

// Len is the number of rows.
func (m *Memory) Len() int { return m.rows.Len() }

// Get implements Reader.
func (m *Memory) Get(key []byte) ([]byte, bool, error) {
	r, ok := m.rows.Get(row{key: key})
	return r.value, ok, nil
}

// First implements Reader.
func (m *Memory) First(from, to []byte) (key, value []byte, found bool, err error) {
	m.rows.Ascend(row{key: from}, func(r row) bool {
		if to == nil || bytes.Compare(r.key, to) < 0 {
			key, value, found = r.key, r.value, true
		}
		return false
	})
	return key, value, found, nil
}

// Scan implements Reader.
func (m *Memory) Scan(from, to []byte, reverse bool) (Iterator, error) {
	return &memoryIterator{rows: m.rows, from: bytes.Clone(from), to: bytes.Clone(to), reverse: reverse}, nil
}

// GetAll implements KV.
func (m *Memory) GetAll(keys [][]byte, fn func(i int, value []byte, found bool) error) error {
	for i, key := range keys {
		r, ok := m.rows.Get(row{key: key})
		if err := fn(i, r.value, ok); err != nil {
			return err
		}
	}
	return nil
}

// Foresee implements KV. One after the other is as good here.
func (m *Memory) Foresee([][]byte) error { return nil }

// Set implements KV.
func (m *Memory) Set(key, value []byte) error {
	m.rows.Set(row{key: bytes.Clone(key), value: bytes.Clone(value)})
	return nil
}

// Delete implements KV.
func (m *Memory) Delete(key []byte) error {
	m.rows.Delete(row{key: key})
	return nil
}

// memoryIterator finds each row anew, so that writes between two steps do no harm.
type memoryIterator struct {
	rows     *btree.BTreeG[row]
	from, to []byte
	reverse  bool
	started  bool
	at       row
}

func (it *memoryIterator) Next() bool {
	found := false
	take := func(r row) bool {
		if it.started && bytes.Equal(r.key, it.at.key) || it.reverse && it.to != nil && bytes.Equal(r.key, it.to) {
			return true
		}
		found = bytes.Compare(r.key, it.from) >= 0 && (it.to == nil || bytes.Compare(r.key, it.to) < 0)
		if found {
			it.at = r
		}
		return false
	}
	switch {
	case !it.reverse && it.started:
		it.rows.Ascend(it.at, take)
	case !it.reverse:
		it.rows.Ascend(row{key: it.from}, take)
	case it.started:
		it.rows.Descend(it.at, take)
	case it.to == nil:
		it.rows.Reverse(take)
	default:
		it.rows.Descend(row{key: it.to}, take)
	}
	it.started = it.started || found
	return found
}

func (it *memoryIterator) Key() []byte   { return it.at.key }
func (it *memoryIterator) Value() []byte { return it.at.value }
func (it *memoryIterator) Close() error  { return nil }
