package state

import (
	"slices"
	"strings"

	"supercluster/region/record"
)

// planGet reads one record inside a transaction.
func (m *machine) planGet(op *record.TxnOp, a *record.TxnOpResult, r *record.Result) error {
	if c, planned := m.planned(op.Key); planned {
		if !c.record.Deleted {
			a.Count = 1
			m.answer(a, r, c.record)
		}
		return nil
	}
	v, row, err := m.newest(op.Key)
	if err != nil || !v.live() {
		return err
	}
	rec, err := ownedRecord(op.Key, v.revision, row)
	if err != nil {
		return err
	}
	a.Count = 1
	m.answer(a, r, rec)
	return nil
}

// planRange reads a range inside a transaction: what is stored, with the changes so far laid over it.
func (m *machine) planRange(op *record.TxnOp, a *record.TxnOpResult, r *record.Result) error {
	rng := op.Range
	found, err := m.stored(rng, a, r)
	if err != nil || r.Status != record.StatusOK {
		return err
	}
	for i := range m.plan.changes {
		if c := &m.plan.changes[i]; !c.record.Deleted && inRange(c.record.Key, rng) {
			a.Count++
			found = append(found, c.record)
		}
	}
	if rng.CountOnly {
		return nil
	}
	slices.SortFunc(found, func(x, y record.Record) int { return strings.Compare(x.Key.Name, y.Key.Name) })
	if rng.Limit > 0 && len(found) > rng.Limit {
		found = found[:rng.Limit]
	}
	a.More = uint64(len(found)) < a.Count
	for _, rec := range found {
		if rng.KeysOnly {
			rec.Value = nil
		}
		if m.answer(a, r, rec) {
			return nil
		}
	}
	return nil
}

// stored reads the records of a range that the transaction has not changed so far, and counts all of them.
func (m *machine) stored(rng record.Range, a *record.TxnOpResult, r *record.Result) (found []record.Record, err error) {
	size := m.plan.answered
	err = walk(m.kv, rng, 0, func(key, row []byte) (bool, error) {
		k, revision, err := record.DecodeVersionKey(key)
		if err != nil {
			return false, err
		}
		if _, planned := m.planned(k); planned {
			return true, nil
		}
		a.Count++
		if rng.CountOnly || enough(rng, len(found)) {
			return true, nil
		}
		rec, err := rangeRecord(k, revision, row, rng.KeysOnly)
		if err != nil {
			return false, err
		}
		size += answerSize(&rec)
		if len(found) == m.limits.rangeKeys || size > 2*m.limits.readBytes {
			refuse(r, record.StatusTooLarge, "a range inside a transaction has more than %d records or %d bytes",
				m.limits.rangeKeys, m.limits.readBytes)
			return false, nil
		}
		found = append(found, rec)
		return true, nil
	})
	return found, err
}

// rangeRecord is ownedRecord, or with keysOnly all but its value.
func rangeRecord(k record.Key, revision uint64, row []byte, keysOnly bool) (record.Record, error) {
	if !keysOnly {
		return ownedRecord(k, revision, row)
	}
	rec := record.Record{Key: k, ModifyRevision: revision}
	_, err := record.DecodeVersion(row, &rec)
	rec.Value = nil
	return rec, err
}

func enough(rng record.Range, n int) bool { return rng.Limit > 0 && n >= rng.Limit }

// planDeleteRange deletes the records of a range: all of them, or with a limit the first ones.
func (m *machine) planDeleteRange(op *record.TxnOp, a *record.TxnOpResult, r *record.Result) error {
	err := walk(m.kv, op.Range, 0, func(key, row []byte) (bool, error) {
		k, revision, err := record.DecodeVersionKey(key)
		if err != nil {
			return false, err
		}
		if _, planned := m.planned(k); planned {
			return true, nil
		}
		if enough(op.Range, int(a.Count)) {
			a.More = true
			return false, nil
		}
		if m.plan.removed++; m.plan.removed > m.limits.rangeKeys {
			refuse(r, record.StatusTooLarge, "a transaction deletes more than %d records by ranges", m.limits.rangeKeys)
			return false, nil
		}
		a.Count++
		before := version{found: true, revision: revision, size: len(key) + len(row)}
		if before.head, err = record.DecodeVersionHead(row); err != nil {
			return false, err
		}
		if op.Previous {
			old, err := ownedRecord(k, revision, row)
			if err != nil || m.answer(a, r, old) {
				return false, err
			}
		}
		m.addDelete(k, before)
		return true, nil
	})
	return err
}

func inRange(k record.Key, rng record.Range) bool {
	return k.Shard == rng.Shard && k.Tenant == rng.Tenant && k.Namespace == rng.Namespace && k.Kind == rng.Kind &&
		k.Scope == rng.Scope && k.Name >= rng.From && (rng.To == "" || k.Name < rng.To)
}
