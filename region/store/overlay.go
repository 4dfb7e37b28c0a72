package store

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/tidwall/btree"

	"supercluster/region/record"
	"supercluster/region/state"
)

// overlay is the state.KV of one Update: what the entries wrote so far, over the cache of newest versions, over the
// database as it was before. Rows that many entries write, like the head row, reach Pebble once.
//
// The writes have a hash index only, because nearly all of Apply is Get, Set and First inside the versions of one
// record. The first ordered read builds an ordered index, which lives until the Update ends.
type overlay struct {
	base      *reader
	published record.Positions // of base: what is written now is newer
	sequence  uint64           // of the publication that base is
	cache     *cache
	fixed     *fixedRows

	writes  []write
	byKey   map[uint64]int32     // hash of the key -> 1 + last write with that hash
	heads   map[uint64]int32     // hash of the record's prefix -> 1 + its newest version among the writes, or searched
	stale   [][]byte             // prefixes of which the cache may hold a wrong version after this Update
	ordered *btree.BTreeG[int32] // writes by key; nil until an ordered read
	sought  []byte               // what a probe of ordered looks for
	sorted  []int32              // writes in key order, made for the batch
	lacking map[uint64][]byte    // hash of a record's prefix -> the prefix; base has no version of it
	seed    maphash.Seed
	arena   arena
}

// write is the last thing that happened to a row.
type write struct {
	key, value []byte
	deleted    bool
	next       int32 // 1 + the write before with the same hash, 0 for none
}

// What heads holds when the newest version of a record is found by an ordered read only.
const (
	searched = -1 // until a version newer than the base is written
	unsure   = -2 // until the Update ends: some version newer than the base may be among the writes
)

var _ state.KV = (*overlay)(nil)

func newOverlay(cache *cache, fixed *fixedRows) *overlay {
	return &overlay{
		cache: cache, fixed: fixed, seed: maphash.MakeSeed(),
		byKey: map[uint64]int32{}, heads: map[uint64]int32{}, lacking: map[uint64][]byte{},
	}
}

// begin makes the overlay empty, over a state that was published.
func (o *overlay) begin(base *reader, published record.Positions, sequence uint64) {
	const keep = 1 << 13 // a map never shrinks, so after a giant another one is cheaper to clear
	if len(o.byKey) > keep {
		o.byKey, o.heads, o.writes = map[uint64]int32{}, map[uint64]int32{}, nil
	}
	if len(o.lacking) > keep {
		o.lacking = map[uint64][]byte{}
	}
	clear(o.byKey)
	clear(o.heads)
	clear(o.lacking)
	clear(o.writes)
	o.base, o.published, o.sequence = base, published, sequence
	o.writes, o.stale, o.ordered = o.writes[:0], nil, nil
	o.arena.reset()
}

// find gives what this Update did to a row, nil when nothing.
func (o *overlay) find(key []byte) *write {
	for i := o.byKey[maphash.Bytes(o.seed, key)]; i > 0; i = o.writes[i-1].next {
		if w := &o.writes[i-1]; bytes.Equal(w.key, key) {
			return w
		}
	}
	return nil
}

// Get implements state.Reader.
func (o *overlay) Get(key []byte) ([]byte, bool, error) {
	if w := o.find(key); w != nil {
		return w.value, !w.deleted, nil
	}
	if value, ok := o.fixed.get(key); ok {
		return value, value != nil, nil
	}
	if window := windowOf(key); window != nil {
		if err := o.fixed.windows.load(window, o.base); err != nil {
			return nil, false, err
		}
		value, _ := o.fixed.windows.get(window, key)
		return value, value != nil, nil
	}
	value, found, err := o.base.Get(key)
	switch {
	case found:
		o.fixed.put(key, value, o.sequence)
	case err == nil:
		o.fixed.missed(key, o.sequence)
	}
	return value, found, err
}

// GetAll implements state.KV.
func (o *overlay) GetAll(keys [][]byte, fn func(i int, value []byte, found bool) error) error {
	asked := make([]int, 0, len(keys)) // of the base
	for i, key := range keys {
		if w := o.find(key); w != nil {
			if err := fn(i, w.value, !w.deleted); err != nil {
				return err
			}
			continue
		}
		asked = append(asked, i)
	}
	return o.base.getAll(keys, asked, fn)
}

// First implements state.Reader.
func (o *overlay) First(from, to []byte) (key, value []byte, found bool, err error) {
	prefix := versionsOf(from, to)
	if prefix == nil {
		return o.firstMerged(from, to)
	}
	hash := maphash.Bytes(o.seed, prefix)
	if i := o.heads[hash]; i != 0 {
		if i > 0 {
			if w := &o.writes[i-1]; bytes.HasPrefix(w.key, prefix) && within(w.key, from, to) {
				return w.key, w.value, true, nil
			}
		}
		return o.firstMerged(from, to)
	}
	if bytes.Equal(o.lacking[hash], prefix) {
		return nil, nil, false, nil
	}
	if h := o.cache.get(prefix); h != nil && within(h.key, from, to) {
		return h.key, h.value, true, nil
	}
	key, value, found, err = o.base.First(from, to)
	switch {
	case len(from) != len(prefix): // perhaps not the newest
	case found:
		o.cache.put(newHead(key, value))
	case err == nil && len(to) == len(prefix): // of all versions there is none
		o.lacks(hash, prefix)
	}
	return key, value, found, err
}

func within(key, from, to []byte) bool {
	return bytes.Compare(key, from) >= 0 && (to == nil || bytes.Compare(key, to) < 0)
}

// Set implements state.KV.
func (o *overlay) Set(key, value []byte) error {
	w, i := o.locate(key)
	w.value, w.deleted = o.arena.replace(w.value, value), false
	if prefix := versionPrefix(w.key); prefix != nil {
		o.noteVersion(prefix, w.key, i)
	}
	return nil
}

// Delete implements state.KV.
func (o *overlay) Delete(key []byte) error {
	w, _ := o.locate(key)
	w.value, w.deleted = nil, true
	if prefix := versionPrefix(w.key); prefix != nil {
		o.noteRemoval(prefix, w.key)
	}
	return nil
}

// locate gives the write of a row, made when there is none, and 1 + its index.
func (o *overlay) locate(key []byte) (*write, int32) {
	hash := maphash.Bytes(o.seed, key)
	last := o.byKey[hash]
	for i := last; i > 0; i = o.writes[i-1].next {
		if w := &o.writes[i-1]; bytes.Equal(w.key, key) {
			return w, i
		}
	}
	o.writes = append(o.writes, write{key: o.arena.copy(key), next: last})
	i := int32(len(o.writes))
	o.byKey[hash] = i
	if o.ordered != nil {
		o.ordered.Set(i)
	}
	return &o.writes[i-1], i
}

// noteVersion remembers the newest version of a record. A version newer than everything in the base is newer than
// all it has of the record; for any other one the ordered read decides.
func (o *overlay) noteVersion(prefix, key []byte, i int32) {
	shard := binary.BigEndian.Uint32(key[1:])
	revision := ^binary.BigEndian.Uint64(key[len(prefix):])
	hash := maphash.Bytes(o.seed, prefix)
	switch before := o.heads[hash]; {
	case before == unsure:
		o.stale = append(o.stale, prefix)
	case before > 0 && !bytes.HasPrefix(o.writes[before-1].key, prefix): // two records, one hash
		o.search(hash, prefix, unsure)
		o.stale = append(o.stale, versionPrefix(o.writes[before-1].key))
	case before > 0 && bytes.Compare(o.writes[before-1].key, key) < 0: // an older one
	case revision > o.published.Of(shard):
		o.heads[hash] = i
	default:
		o.search(hash, prefix, searched)
	}
}

// noteRemoval looks after the newest version of a record when one of its versions goes.
func (o *overlay) noteRemoval(prefix, key []byte) {
	hash := maphash.Bytes(o.seed, prefix)
	if i := o.heads[hash]; i > 0 && bytes.HasPrefix(o.writes[i-1].key, prefix) && !bytes.Equal(o.writes[i-1].key, key) {
		return // the newest one stays, and it is newer than the one that goes
	}
	state := int32(searched)
	shard := binary.BigEndian.Uint32(key[1:])
	i := o.heads[hash]
	if i > 0 { // perhaps of another record with this hash
		o.stale = append(o.stale, versionPrefix(o.writes[i-1].key))
	}
	if i > 0 || i == unsure || ^binary.BigEndian.Uint64(key[len(prefix):]) > o.published.Of(shard) {
		state = unsure
	}
	o.search(hash, prefix, state)
}

func (o *overlay) search(hash uint64, prefix []byte, state int32) {
	o.heads[hash] = state
	o.stale = append(o.stale, prefix)
}

// size estimates the bytes of a batch with the writes.
func (o *overlay) size() int {
	size := 32
	for i := range o.writes {
		size += len(o.writes[i].key) + len(o.writes[i].value) + 8
	}
	return size
}

// fill puts the writes into a batch, in key order: Pebble then finds the place of each near that of the one before.
func (o *overlay) fill(batch *pebble.Batch) error {
	o.sorted = o.sorted[:0]
	for i := range o.writes {
		o.sorted = append(o.sorted, int32(i))
	}
	slices.SortFunc(o.sorted, func(a, b int32) int { return bytes.Compare(o.writes[a].key, o.writes[b].key) })
	for _, i := range o.sorted {
		w := &o.writes[i]
		var err error
		if w.deleted {
			err = batch.Delete(w.key, nil)
		} else {
			err = batch.Set(w.key, w.value, nil)
		}
		if err != nil {
			return diskFault(err, "a batch can not be built")
		}
	}
	return nil
}

// writeThrough brings the caches up to the writes, once they are in the database and before anybody sees them in the
// publication of some sequence.
func (o *overlay) writeThrough(sequence uint64) {
	for _, prefix := range o.stale {
		o.cache.remove(prefix)
	}
	for _, i := range o.heads {
		if i > 0 {
			o.cache.put(newHead(o.writes[i-1].key, o.writes[i-1].value))
		}
	}
	for i := range o.writes {
		o.fixed.update(&o.writes[i], sequence)
	}
}
