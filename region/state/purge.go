package state

import "supercluster/region/record"

// maxPurge bounds the changes of one purge step.
const maxPurge = 10_000

// compact raises the floor that the API answers from. Rows stay until they are purged.
func (m *machine) compact(c *record.Compact, r *record.Result) {
	switch floor := m.head.Compacted.Of(c.Shard); {
	case c.Shard > record.ShardData:
		refuse(r, record.StatusInvalid, "there is no shard %d", c.Shard)
	case c.Revision <= floor:
		refuse(r, record.StatusCompacted, "shard %d is compacted at revision %d", c.Shard, floor)
	case c.Revision > m.head.Positions.Of(c.Shard):
		refuse(r, record.StatusFuture, "shard %d is at revision %d", c.Shard, m.head.Positions.Of(c.Shard))
	default:
		m.head.Compacted = m.head.Compacted.With(c.Shard, c.Revision)
	}
}

// purge takes one step towards the compacted floor: it goes through transaction rows and removes the versions that their
// changes superseded. It never looks for anything: a transaction row names all there is to remove.
func (m *machine) purge(p *record.Purge, r *record.Result) error {
	if p.Shard > record.ShardData {
		refuse(r, record.StatusInvalid, "there is no shard %d", p.Shard)
		return nil
	}
	left := min(int(p.Changes), maxPurge)
	floor := m.head.Compacted.Of(p.Shard) // a hold would lower it here
	if purgesReadable {
		floor = m.head.Positions.Of(p.Shard)
	}
	revisions, rows, err := m.purgeable(p.Shard, floor, left)
	if err != nil {
		return err
	}
	for i := range rows {
		for j := range rows[i].Changes {
			if err := m.purgeChange(&rows[i].Changes[j], revisions[i]); err != nil {
				return err
			}
		}
		m.key = record.AppendTransactionKey(m.key[:0], p.Shard, revisions[i])
		if err := m.kv.Delete(m.key); err != nil {
			return err
		}
		left -= len(rows[i].Changes)
		m.head.Purged = m.head.Purged.With(p.Shard, revisions[i]+1)
	}
	if left <= 0 {
		return nil
	}
	m.head.Purged = m.head.Purged.With(p.Shard, floor)
	if p.Shard == record.ShardData {
		return m.purgeOrphan(left)
	}
	return nil
}

// purgeable reads the transaction rows between the two floors: as many as have the changes that one step may purge, and
// at least one.
func (m *machine) purgeable(shard uint32, floor uint64, changes int) (revisions []uint64, rows []record.Transaction, err error) {
	from := record.AppendTransactionKey(nil, shard, m.head.Purged.Of(shard))
	it, err := m.kv.Scan(from, record.AppendTransactionKey(nil, shard, floor), false)
	if err != nil {
		return nil, nil, err
	}
	for changes > 0 && it.Next() {
		_, revision, err := record.DecodeTransactionKey(it.Key())
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, nil, err
		}
		row, err := record.DecodeTransaction(it.Value())
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, nil, err
		}
		revisions, rows = append(revisions, revision), append(rows, row)
		changes -= len(row.Changes)
	}
	return revisions, rows, it.Close()
}

// purgeChange removes what a change below the floor hides from every revision that may be read: the version before it,
// and a tombstone itself.
func (m *machine) purgeChange(c *record.Change, revision uint64) error {
	if c.Key.Kind == record.KindConfig {
		return m.purgeConfig(c, revision)
	}
	if c.Previous != 0 {
		if err := m.purgeVersion(c.Key, c.Previous); err != nil {
			return err
		}
	}
	if c.Type == record.EventDelete {
		return m.purgeVersion(c.Key, revision)
	}
	return nil
}

func (m *machine) purgeVersion(k record.Key, revision uint64) error {
	m.row = record.AppendVersionKey(m.row[:0], k, revision)
	b, found, err := m.kv.Get(m.row)
	if err != nil || !found {
		return err
	}
	size := uint64(len(m.row) + len(b))
	if err := m.kv.Delete(m.row); err != nil {
		return err
	}
	return m.charge(k, delta{history: -size})
}

// purgeConfig leaves the last versions, and the history of deleted records up to the tenant's limit.
func (m *machine) purgeConfig(c *record.Change, revision uint64) error {
	if c.Type == record.EventDelete {
		if err := m.dropDeleted(c.Key.Tenant); err != nil {
			return err
		}
	}
	v, _, err := m.newest(c.Key)
	if err != nil || !v.found || v.head.Ordinal <= record.ConfigVersions {
		return err
	}
	if v.revision != revision && !drawn(revision) {
		return nil // a later change of the record will look
	}
	return m.trim(c.Key, v.head.Ordinal)
}

// drawn picks one of trimEvery revisions, the same on every replica. The multiplier is the golden ratio's: records that
// are written in turns must not all miss, as they could with a remainder of the revision itself.
func drawn(revision uint64) bool {
	return (revision*0x9E3779B97F4A7C15)>>32%trimEvery == 0
}

// purgeOrphan removes rows of one deleted namespace or tenant, at most limit of them.
func (m *machine) purgeOrphan(limit int) error {
	from, to := record.OrphanBounds()
	mark, _, found, err := m.kv.First(from, to)
	if err != nil || !found {
		return err
	}
	mark = append([]byte(nil), mark...)
	o, err := record.DecodeOrphanKey(mark)
	if err != nil || o.Revision > m.head.Compacted.Data {
		return err
	}
	var removed int
	if o.Namespace != 0 {
		removed, err = m.purgeNamespace(o, limit)
	} else {
		from = record.AppendRequestPrefix(nil, o.Tenant)
		removed, err = m.removeRows(from, record.PrefixSuccessor(record.AppendRequestPrefix(nil, o.Tenant)), limit)
	}
	if err != nil || removed == limit {
		return err
	}
	return m.kv.Delete(mark)
}

// purgeNamespace removes the history of a deleted namespace.
func (m *machine) purgeNamespace(o record.Orphan, limit int) (int, error) {
	from, to := record.NamespaceBounds(record.ShardData, o.Tenant, o.Namespace)
	it, err := m.kv.Scan(from, to, false)
	if err != nil {
		return 0, err
	}
	var rows []oldRow
	for len(rows) < limit && it.Next() {
		rows = append(rows, oldRow{key: append([]byte(nil), it.Key()...), size: len(it.Key()) + len(it.Value())})
	}
	if err := it.Close(); err != nil {
		return 0, err
	}
	for _, row := range rows {
		k, revision, err := record.DecodeVersionKey(row.key)
		if err != nil {
			return 0, err
		}
		m.key = record.AppendDeletedKey(m.key[:0], revision, k)
		if err := m.kv.Delete(m.key); err != nil {
			return 0, err
		}
		if err := m.removeOld(k, []oldRow{row}); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}
