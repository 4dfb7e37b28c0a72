package state

import "supercluster/region/record"

// Config records keep their last versions whatever is compacted, so that a client's compaction does not erase rollback.
// A row goes when both hold: there are ConfigVersions newer rows, and no revision that may be read shows it. The write
// that makes the second come true removes it: a put of the record, else the purge.
//
// To look for such rows costs a seek from the oldest row on, several times what the rest of a put costs. So a put looks
// at every trimEvery-th version only, and the purge at one of trimEvery changes and at the last one of a record; before the
// first compaction every revision may be read, so nothing could go and no put looks.
const (
	// trimEvery is a power of two. While it is written, a record has up to so many rows more than it must. After a burst that
	// only the purge can trim it may have a few more until its next look, when the draw missed trimAtOnce changes in a row.
	trimEvery = 16
	// trimAtOnce bounds the rows that one write removes from one record.
	trimAtOnce = 64
	// dropKeysAtOnce and dropRowsAtOnce bound what one write removes of deleted records.
	dropKeysAtOnce = 4
	dropRowsAtOnce = 256
)

// keepHistory does after a write to a config record what its history needs.
func (m *machine) keepHistory(c *change) error {
	k := c.record.Key
	if c.before.found && c.before.head.Deleted { // it lives again
		m.key = record.AppendDeletedKey(m.key[:0], c.before.revision, k)
		if err := m.kv.Delete(m.key); err != nil {
			return err
		}
	}
	if c.record.Deleted {
		m.key = record.AppendDeletedKey(m.key[:0], c.record.ModifyRevision, k)
		if err := m.kv.Set(m.key, record.Mark()); err != nil {
			return err
		}
		if err := m.dropDeleted(k.Tenant); err != nil {
			return err
		}
	}
	if c.ordinal > record.ConfigVersions && c.ordinal%trimEvery == 0 && m.head.Compacted.Data > 0 {
		return m.trim(k, c.ordinal)
	}
	return nil
}

// oldRow is a version row that may go.
type oldRow struct {
	key     []byte
	size    int
	ordinal uint64
}

// trim removes the rows of a config record that nothing keeps, given the ordinal of its newest row. It looks at them from
// the oldest on and stops at the first that stays, so it costs what it removes.
func (m *machine) trim(k record.Key, newest uint64) error {
	m.from = record.AppendVersionPrefix(m.from[:0], k)
	m.to = record.PrefixSuccessor(append(m.to[:0], m.from...))
	it, err := m.kv.Scan(m.from, m.to, true)
	if err != nil {
		return err
	}
	var gone []oldRow
	var at oldRow
	for len(gone) < trimAtOnce && it.Next() {
		head, err := record.DecodeVersionHead(it.Value())
		if err != nil {
			_ = it.Close() // the first error says more
			return err
		}
		if at.key != nil {
			superseded := revisionOf(it.Key())
			if at.ordinal+record.ConfigVersions > newest || superseded > m.head.Compacted.Data {
				break
			}
			gone = append(gone, at)
		}
		at = oldRow{key: append([]byte(nil), it.Key()...), size: len(it.Key()) + len(it.Value()), ordinal: head.Ordinal}
	}
	if err := it.Close(); err != nil {
		return err
	}
	return m.removeOld(k, gone)
}

func (m *machine) removeOld(k record.Key, rows []oldRow) error {
	var size uint64
	for _, row := range rows {
		if err := m.kv.Delete(row.key); err != nil {
			return err
		}
		size += uint64(row.size)
	}
	if size == 0 {
		return nil
	}
	return m.charge(k, delta{history: -size})
}

// dropDeleted removes the history of deleted config records of a tenant, oldest first, while the tenant's history is over
// its limit. What a revision that may be read still shows stays.
func (m *machine) dropDeleted(tenant uint32) error {
	for range dropKeysAtOnce {
		t, err := m.tally(tenant, 0)
		if err != nil || !t.exists || t.n.History <= m.limits.history {
			return err
		}
		from := record.AppendDeletedPrefix(nil, tenant)
		mark, _, found, err := m.kv.First(from, record.PrefixSuccessor(record.AppendDeletedPrefix(nil, tenant)))
		if err != nil || !found {
			return err
		}
		mark = append([]byte(nil), mark...)
		tombstone, k, err := record.DecodeDeletedKey(mark)
		if err != nil || tombstone > m.head.Compacted.Data {
			return err
		}
		left, err := m.dropHistory(k)
		if err != nil || left {
			return err
		}
		if err := m.kv.Delete(mark); err != nil {
			return err
		}
	}
	return nil
}

// dropHistory removes rows of a deleted record and reports whether some are left.
func (m *machine) dropHistory(k record.Key) (bool, error) {
	m.from = record.AppendVersionPrefix(m.from[:0], k)
	m.to = record.PrefixSuccessor(append(m.to[:0], m.from...))
	it, err := m.kv.Scan(m.from, m.to, true)
	if err != nil {
		return false, err
	}
	var gone []oldRow
	more := it.Next()
	for ; more && len(gone) < dropRowsAtOnce; more = it.Next() {
		gone = append(gone, oldRow{key: append([]byte(nil), it.Key()...), size: len(it.Key()) + len(it.Value())})
	}
	if err := it.Close(); err != nil {
		return false, err
	}
	return more, m.removeOld(k, gone)
}
