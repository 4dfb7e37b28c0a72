package store

import (
	"bytes"
	"hash/maphash"
)

// lonely is after how many searches in a row that each answered for one record no more is looked for ahead: such records lie far
// from each other, and one by one the filters of the tables end most searches for what is not there.
const lonely = 4

// Foresee implements state.KV. Who makes many records together, such as one who catches up with another region, makes them
// side by side: one search then answers for all that are not there.
func (o *overlay) Foresee(prefixes [][]byte) error {
	at, alone := walker{reader: o.base}, 0
	for _, prefix := range prefixes {
		hash := maphash.Bytes(o.seed, prefix)
		if o.heads[hash] != 0 {
			continue
		}
		if at.passed(prefix) {
			o.lacks(hash, prefix)
			alone = 0
			continue
		}
		if o.cache.get(prefix) != nil {
			continue
		}
		if alone++; alone > lonely {
			return nil
		}
		key, value, err := at.seek(prefix)
		switch {
		case err != nil:
			return err
		case bytes.HasPrefix(key, prefix):
			o.cache.put(newHead(key, value))
		default:
			o.lacks(hash, prefix)
		}
	}
	return nil
}

// lacks notes that base has no version of a record. Who finds nothing in the way of a new record asks again to make it.
func (o *overlay) lacks(hash uint64, prefix []byte) { o.lacking[hash] = o.arena.copy(prefix) }

// walker goes through rows in ascending order.
type walker struct {
	reader *reader
	from   []byte // what was sought last; nil: nothing
	valid  bool   // there is a row from there on
}

// passed reports whether the last search says that there is no row with a prefix.
func (w *walker) passed(prefix []byte) bool {
	if w.from == nil || bytes.Compare(prefix, w.from) < 0 {
		return false
	}
	return !w.valid || bytes.Compare(w.reader.iter.Key(), prefix) > 0 && !bytes.HasPrefix(w.reader.iter.Key(), prefix)
}

// seek finds the first row from a prefix on; no key when there is none. Key and value are valid until the next search.
func (w *walker) seek(prefix []byte) (key, value []byte, err error) {
	if err := w.reader.open(); err != nil {
		return nil, nil, err
	}
	iter := w.reader.iter
	w.from, w.valid = prefix, iter.SeekGE(prefix)
	if !w.valid {
		return nil, nil, diskFault(iter.Error(), "rows can not be read")
	}
	if value, err = iter.ValueAndErr(); err != nil {
		return nil, nil, diskFault(err, "a row can not be read")
	}
	return iter.Key(), value, nil
}
