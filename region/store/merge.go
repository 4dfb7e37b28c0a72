package store

import (
	"bytes"

	"github.com/tidwall/btree"

	"supercluster/region/state"
)

// Ordered reads of an overlay: its writes merged with the rows of the base.

// order makes the ordered index of the writes.
func (o *overlay) order() {
	if o.ordered != nil {
		return
	}
	less := func(a, b int32) bool { return bytes.Compare(o.keyOf(a), o.keyOf(b)) < 0 }
	o.ordered = btree.NewBTreeGOptions(less, btree.Options{NoLocks: true})
	for i := range o.writes {
		o.ordered.Set(int32(i + 1))
	}
}

// probe stands in the ordered index for the key that is looked for.
const probe = 0

func (o *overlay) keyOf(i int32) []byte {
	if i == probe {
		return o.sought
	}
	return o.writes[i-1].key
}

// nearest gives the first write at or after a key (or at or before it) that is not a deletion, nil when there is none.
func (o *overlay) nearest(key []byte, exclusive, reverse bool) *write {
	o.order()
	o.sought = key
	var found *write
	take := func(i int32) bool {
		w := &o.writes[i-1]
		if w.deleted || exclusive && bytes.Equal(w.key, key) {
			return true
		}
		found = w
		return false
	}
	if reverse {
		if key == nil {
			o.ordered.Reverse(take)
		} else {
			o.ordered.Descend(probe, take)
		}
	} else {
		o.ordered.Ascend(probe, take)
	}
	return found
}

// firstMerged is First for any range.
func (o *overlay) firstMerged(from, to []byte) (key, value []byte, found bool, err error) {
	w := o.nearest(from, false, false)
	if w != nil && !within(w.key, from, to) {
		w = nil
	}
	for seek := from; ; seek = append(bytes.Clone(key), 0x00) {
		key, value, found, err = o.base.First(seek, to)
		if err != nil {
			return nil, nil, false, err
		}
		if !found || o.find(key) == nil {
			break
		}
	}
	if w != nil && (!found || bytes.Compare(w.key, key) < 0) {
		return w.key, w.value, true, nil
	}
	return key, value, found, nil
}

// Scan implements state.Reader.
func (o *overlay) Scan(from, to []byte, reverse bool) (state.Iterator, error) {
	base, err := o.base.Scan(from, to, reverse)
	if err != nil {
		return nil, err
	}
	it := &mergedIterator{o: o, base: base, from: bytes.Clone(from), to: bytes.Clone(to), reverse: reverse}
	it.nextBase()
	it.written = o.nearest(it.start(), reverse && to != nil, reverse)
	return it, nil
}

// mergedIterator walks the base and the writes side by side. A base row that was written is skipped: its write counts.
type mergedIterator struct {
	o        *overlay
	base     state.Iterator
	more     bool // base stands on a row
	written  *write
	from, to []byte
	reverse  bool

	key, value []byte
	atBase     bool // key is that of base
	begun      bool
	done       bool
}

func (it *mergedIterator) start() []byte {
	if it.reverse {
		return it.to
	}
	return it.from
}

func (it *mergedIterator) nextBase() {
	for it.more = it.base.Next(); it.more && it.o.find(it.base.Key()) != nil; {
		it.more = it.base.Next()
	}
}

// Next implements state.Iterator.
func (it *mergedIterator) Next() bool {
	switch {
	case it.done:
		return false
	case !it.begun: // both stand on their first
		it.begun = true
	case it.atBase:
		it.nextBase()
	default:
		it.written = it.o.nearest(it.key, true, it.reverse)
	}
	if it.written != nil && !within(it.written.key, it.from, it.to) {
		it.written = nil
	}
	it.atBase = it.more
	if it.more && it.written != nil {
		it.atBase = bytes.Compare(it.base.Key(), it.written.key) < 0 != it.reverse
	}
	switch {
	case it.atBase:
		it.key, it.value = it.base.Key(), it.base.Value()
	case it.written != nil:
		it.key, it.value = it.written.key, it.written.value
	default:
		it.done = true
	}
	return !it.done
}

// Key implements state.Iterator.
func (it *mergedIterator) Key() []byte { return it.key }

// Value implements state.Iterator.
func (it *mergedIterator) Value() []byte { return it.value }

// Close implements state.Iterator.
func (it *mergedIterator) Close() error { return it.base.Close() }
