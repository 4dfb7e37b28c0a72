package state

import (
	"bytes"
	"encoding/binary"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Get reads one record as of a revision; 0 is the newest. The record is a copy. It fails with Compacted before the
// compacted revision and with FutureRevision after the newest.
func Get(r Reader, k record.Key, revision uint64) (record.Record, bool, error) {
	if err := checkRevision(r, k.Shard, revision); err != nil {
		return record.Record{}, false, err
	}
	from := record.AppendVersionPrefix(make([]byte, 0, 128), k)
	to := record.PrefixSuccessor(bytes.Clone(from))
	if revision != 0 {
		from = binary.BigEndian.AppendUint64(from, ^revision)
	}
	key, row, found, err := r.First(from, to)
	if err != nil || !found {
		return record.Record{}, false, err
	}
	rec, err := ownedRecord(k, revisionOf(key), row)
	if err != nil || rec.Deleted {
		return record.Record{}, false, err
	}
	return rec, true, nil
}

// checkRevision judges whether reads at a revision are answered.
func checkRevision(r Reader, shard uint32, revision uint64) error {
	if revision == 0 {
		return nil
	}
	head, err := readHead(r)
	if err != nil {
		return err
	}
	if newest := head.Positions.Of(shard); revision > newest {
		return fault.New(fault.FutureRevision, "revision %d is not there yet; the newest is %d", revision, newest).
			WithRevision(newest)
	}
	return checkCompacted(&head, shard, revision)
}

func checkCompacted(head *record.Head, shard uint32, revision uint64) error {
	floor := head.Compacted.Of(shard)
	if revision >= floor {
		return nil
	}
	return fault.New(fault.Compacted, "revision %d is no longer kept; the oldest is %d", revision, floor).WithRevision(floor)
}

// ownedRecord makes a record of a version row that is about to become invalid.
func ownedRecord(k record.Key, revision uint64, row []byte) (record.Record, error) {
	rec := record.Record{Key: k, ModifyRevision: revision}
	_, err := record.DecodeVersion(row, &rec)
	rec.Value = bytes.Clone(rec.Value)
	return rec, err
}

// revisionOf gives the revision in a version key.
func revisionOf(key []byte) uint64 { return ^binary.BigEndian.Uint64(key[len(key)-8:]) }

// ReadRange reads the records of a range as of a revision; 0 is the newest. Count is that of the whole range, whatever
// the limit. Records are copies.
func ReadRange(r Reader, rng record.Range, revision uint64) (record.RangeResult, error) {
	var result record.RangeResult
	if err := checkRevision(r, rng.Shard, revision); err != nil {
		return result, err
	}
	bytesLeft := rng.MaxBytes
	err := walk(r, rng, revision, func(key, row []byte) (bool, error) {
		result.Count++
		if rng.CountOnly || enough(rng, len(result.Records)) || rng.MaxBytes > 0 && bytesLeft <= 0 {
			return true, nil
		}
		k, at, err := record.DecodeVersionKey(key)
		if err != nil {
			return false, err
		}
		rec := record.Record{Key: k, ModifyRevision: at}
		if _, err := record.DecodeVersion(row, &rec); err != nil {
			return false, err
		}
		if rng.KeysOnly {
			rec.Value = nil
		}
		if bytesLeft -= len(rec.Value); rng.MaxBytes > 0 && bytesLeft < 0 && len(result.Records) > 0 {
			return true, nil
		}
		rec.Value = bytes.Clone(rec.Value)
		result.Records = append(result.Records, rec)
		return true, nil
	})
	result.More = !rng.CountOnly && uint64(len(result.Records)) < result.Count
	return result, err
}

// walk calls fn with the row of each live record of a range as of a revision (0 is the newest), in key order, until fn
// says false.
func walk(r Reader, rng record.Range, revision uint64, fn func(key, row []byte) (bool, error)) error {
	from, to := record.RangeBounds(rng)
	if bytes.Compare(from, to) >= 0 {
		return nil
	}
	return walkRows(r, from, to, revision, func(key, row []byte) ([]byte, bool, error) {
		more, err := fn(key, row)
		return nil, more, err
	})
}

// seekAfter is how many rows are skipped one by one before a new iterator is cheaper.
const seekAfter = 16

// walkRows calls fn with the row of each live record in [from, to) as of a revision. fn may name a later row key to go on
// from.
func walkRows(r Reader, from, to []byte, revision uint64, fn func(key, row []byte) (next []byte, more bool, err error)) error {
	if revision == 0 {
		revision = ^uint64(0)
	}
	w := walker{revision: revision, fn: fn}
	for from != nil {
		it, err := r.Scan(from, to, false)
		if err != nil {
			return err
		}
		from, err = w.rows(it)
		if closed := it.Close(); err == nil {
			err = closed
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type walker struct {
	revision uint64
	fn       func(key, row []byte) ([]byte, bool, error)
	last     []byte // the record whose row was found
}

// rows walks until the end, and gives nil, or until a seek is due, and gives where to.
func (w *walker) rows(it Iterator) (seek []byte, err error) {
	for skipped := 0; it.Next(); {
		key := it.Key()
		if len(key) < 8 {
			return nil, fault.New(fault.Corrupt, "a version key has %d bytes", len(key))
		}
		prefix := key[:len(key)-8]
		switch {
		case w.last != nil && bytes.Equal(prefix, w.last):
			if skipped++; skipped >= seekAfter {
				return record.PrefixSuccessor(bytes.Clone(prefix)), nil
			}
			continue
		case revisionOf(key) > w.revision:
			if skipped++; skipped >= seekAfter {
				return binary.BigEndian.AppendUint64(bytes.Clone(prefix), ^w.revision), nil
			}
			continue
		}
		w.last, skipped = append(w.last[:0], prefix...), 0
		row := it.Value()
		head, err := record.DecodeVersionHead(row)
		if err != nil {
			return nil, err
		}
		if head.Deleted {
			continue
		}
		next, more, err := w.fn(key, row)
		if err != nil || !more {
			return nil, err
		}
		if next != nil {
			return next, nil
		}
	}
	return nil, nil
}

// History reads the kept versions of a record, newest first, tombstones included; a limit of 0 reads all. Of config
// records it goes back beyond the compacted revision.
func History(r Reader, k record.Key, limit int) ([]record.Record, error) {
	head, err := readHead(r)
	if err != nil {
		return nil, err
	}
	from := record.AppendVersionPrefix(nil, k)
	it, err := r.Scan(from, record.PrefixSuccessor(bytes.Clone(from)), false)
	if err != nil {
		return nil, err
	}
	floor := head.Compacted.Of(k.Shard)
	if k.Kind == record.KindConfig {
		floor = 0
	}
	var all []record.Record
	for it.Next() && (limit <= 0 || len(all) <= limit) { // one more: a tombstone is told by the version before it
		rec, err := ownedRecord(k, revisionOf(it.Key()), it.Value())
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, err
		}
		last := rec.ModifyRevision <= floor // what it superseded is compacted, purged or not
		if last && rec.Deleted {
			break
		}
		if all = append(all, rec); last {
			break
		}
	}
	if err := it.Close(); err != nil {
		return nil, err
	}
	g := gone{r: r}
	if err := g.tombstones(all); err != nil {
		return nil, err
	}
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, nil
}

// Load calls fn with every live record of the kinds, in key order. Records are copies.
func Load(r Reader, kinds []record.Kind, fn func(record.Record) error) error {
	from, to := []byte{record.SpaceVersions}, []byte{record.SpaceVersions + 1}
	return walkRows(r, from, to, 0, func(key, row []byte) ([]byte, bool, error) {
		k, revision, err := record.DecodeVersionKey(key)
		if err != nil {
			return nil, false, err
		}
		if !wanted(kinds, k.Kind) {
			return nextKind(k, kinds), true, nil
		}
		rec, err := ownedRecord(k, revision, row)
		if err != nil {
			return nil, false, err
		}
		return nil, true, fn(rec)
	})
}

func wanted(kinds []record.Kind, kind record.Kind) bool {
	for _, k := range kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// nextKind gives the first row key after the records of an unwanted kind: of the next wanted kind in the namespace, else
// of the next namespace.
func nextKind(k record.Key, kinds []record.Kind) []byte {
	next, found := record.Kind(0), false
	for _, kind := range kinds {
		if kind > k.Kind && (!found || kind < next) {
			next, found = kind, true
		}
	}
	if found {
		from, _ := record.RangeBounds(record.Range{Shard: k.Shard, Tenant: k.Tenant, Namespace: k.Namespace, Kind: next})
		return from
	}
	_, to := record.NamespaceBounds(k.Shard, k.Tenant, k.Namespace)
	return to
}
