package store

import (
	"bytes"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"supercluster/region/record"
	"supercluster/region/state"
)

// rows is the part of Pebble that reading needs: a snapshot, or the database itself for the one goroutine that writes.
type rows interface {
	Get(key []byte) ([]byte, io.Closer, error)
	NewIter(*pebble.IterOptions) (*pebble.Iterator, error)
}

// reader reads rows as state.Reader. It is used by one goroutine and must be closed.
type reader struct {
	rows rows
	held io.Closer        // of the value that Get gave last
	iter *pebble.Iterator // for First, opened when first needed

	shared   *sharedRows // of the publication that is read; nil: Pebble has all
	sequence uint64
}

var _ state.Reader = (*reader)(nil)

// Get implements state.Reader.
func (r *reader) Get(key []byte) ([]byte, bool, error) {
	if err := r.letGo(); err != nil {
		return nil, false, err
	}
	if value, ok := r.kept(key); ok {
		return value, value != nil, nil
	}
	value, held, err := r.rows.Get(key)
	if err == pebble.ErrNotFound {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, diskFault(err, "a row can not be read")
	}
	r.held = held
	return value, true, nil
}

// kept gives a row that is found without Pebble; a value of nil says that it is not there.
func (r *reader) kept(key []byte) ([]byte, bool) {
	if r.shared == nil || !isShared(key) {
		return nil, false
	}
	return r.shared.in(r.sequence, key)
}

func (r *reader) letGo() error {
	if r.held == nil {
		return nil
	}
	held := r.held
	r.held = nil
	return diskFault(held.Close(), "a row can not be read")
}

// First implements state.Reader. A range inside the versions of one record lets Pebble skip by its bloom filters.
func (r *reader) First(from, to []byte) (key, value []byte, found bool, err error) {
	if err := r.open(); err != nil {
		return nil, nil, false, err
	}
	if prefix := versionsOf(from, to); prefix != nil {
		found = r.iter.SeekPrefixGE(from)
	} else {
		found = r.iter.SeekGE(from)
	}
	if !found {
		return nil, nil, false, diskFault(r.iter.Error(), "rows can not be read")
	}
	if key = r.iter.Key(); to != nil && bytes.Compare(key, to) >= 0 {
		return nil, nil, false, nil
	}
	if value, err = r.iter.ValueAndErr(); err != nil {
		return nil, nil, false, diskFault(err, "a row can not be read")
	}
	return key, value, true, nil
}

// open has the iterator of First and getAll opened.
func (r *reader) open() (err error) {
	if r.iter == nil {
		r.iter, err = r.rows.NewIter(nil)
	}
	return diskFault(err, "rows can not be read")
}

// getAll calls fn with the rows of some of the keys, which ascend. A key before the row that was found for one before it is
// that of no row, so where there are none one search answers for all.
func (r *reader) getAll(keys [][]byte, which []int, fn func(i int, value []byte, found bool) error) error {
	if err := r.open(); err != nil {
		return err
	}
	valid := true
	for n, i := range which {
		if n == 0 || valid && bytes.Compare(r.iter.Key(), keys[i]) < 0 {
			valid = r.iter.SeekGE(keys[i])
		}
		if err := r.iter.Error(); err != nil {
			return diskFault(err, "rows can not be read")
		}
		var value []byte
		found := valid && bytes.Equal(r.iter.Key(), keys[i])
		if found {
			var err error
			if value, err = r.iter.ValueAndErr(); err != nil {
				return diskFault(err, "a row can not be read")
			}
		}
		if err := fn(i, value, found); err != nil {
			return err
		}
	}
	return nil
}

// Scan implements state.Reader.
func (r *reader) Scan(from, to []byte, reverse bool) (state.Iterator, error) {
	iter, err := r.rows.NewIter(&pebble.IterOptions{LowerBound: bytes.Clone(from), UpperBound: bytes.Clone(to)})
	if err != nil {
		return nil, diskFault(err, "rows can not be read")
	}
	return &iterator{iter: iter, reverse: reverse}, nil
}

func (r *reader) close() error {
	err := r.letGo()
	if r.iter != nil {
		if closeErr := r.iter.Close(); err == nil {
			err = diskFault(closeErr, "rows can not be read")
		}
		r.iter = nil
	}
	return err
}

// iterator walks the rows of a Scan.
type iterator struct {
	iter    *pebble.Iterator
	reverse bool
	started bool
	value   []byte
	err     error
}

// Next implements state.Iterator.
func (it *iterator) Next() bool {
	var valid bool
	switch {
	case it.err != nil:
		return false
	case it.started && it.reverse:
		valid = it.iter.Prev()
	case it.started:
		valid = it.iter.Next()
	case it.reverse:
		valid = it.iter.Last()
	default:
		valid = it.iter.First()
	}
	it.started = true
	if valid {
		it.value, it.err = it.iter.ValueAndErr()
	}
	return valid && it.err == nil
}

// Key implements state.Iterator.
func (it *iterator) Key() []byte { return it.iter.Key() }

// Value implements state.Iterator.
func (it *iterator) Value() []byte { return it.value }

// Close implements state.Iterator.
func (it *iterator) Close() error {
	closeErr := it.iter.Close()
	if it.err == nil {
		it.err = closeErr
	}
	return diskFault(it.err, "rows can not be read")
}

// versionsOf gives the prefix of the versions of one record when [from, to) lies inside them, else nil.
func versionsOf(from, to []byte) []byte {
	if len(from) == 0 || from[0] != record.SpaceVersions {
		return nil
	}
	n := record.Split(from)
	if n == len(from) && !bytes.HasSuffix(from, endOfName[:]) {
		return nil
	}
	prefix := from[:n]
	if bytes.HasPrefix(to, prefix) {
		return prefix
	}
	// The end of everything with the prefix: the same bytes, the last one larger by one.
	if last := n - 1; len(to) == n && bytes.HasPrefix(to, prefix[:last]) && to[last] == prefix[last]+1 {
		return prefix
	}
	return nil
}

// endOfName is what a complete record key ends with.
var endOfName = [2]byte{0x00, 0x01}

// versionPrefix gives the record's part of the key of a version row, nil for any other key.
func versionPrefix(key []byte) []byte {
	if len(key) == 0 || key[0] != record.SpaceVersions {
		return nil
	}
	if n := record.Split(key); n == len(key)-8 {
		return key[:n:n]
	}
	return nil
}
