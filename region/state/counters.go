package state

import "supercluster/region/record"

// tally is a counters row while an entry is applied. Namespace 0 is the tenant as a whole; tenant 0 is the system, which
// always exists and is charged with the records of shard 0.
type tally struct {
	tenant, namespace uint32
	exists, dirty     bool
	n                 record.Counters
	// What the transaction at hand would add, for the quota.
	plannedKeys, plannedBytes uint64
}

// tally finds the counters of a namespace. The pointer is good until the next call.
func (m *machine) tally(tenant, namespace uint32) (*tally, error) {
	for i := len(m.tallies) - 1; i >= 0; i-- {
		if t := &m.tallies[i]; t.tenant == tenant && t.namespace == namespace {
			return t, nil
		}
	}
	m.key = record.AppendCountersKey(m.key[:0], tenant, namespace)
	b, found, err := m.kv.Get(m.key)
	if err != nil {
		return nil, err
	}
	t := tally{tenant: tenant, namespace: namespace, exists: found || tenant == 0 && namespace == 0}
	if found {
		if t.n, err = record.DecodeCounters(b); err != nil {
			return nil, err
		}
	}
	m.tallies = append(m.tallies, t)
	return &m.tallies[len(m.tallies)-1], nil
}

// delta is a change of counters; the numbers wrap like the counters do.
type delta struct{ keys, bytes, history uint64 }

// charge changes the counters that a record belongs to: those of its namespace and of its tenant, or the system's. What
// is gone is not charged: history of a deleted namespace is purged after its counters went.
func (m *machine) charge(k record.Key, d delta) error {
	if k.Shard == record.ShardSystem {
		return m.add(0, 0, d)
	}
	if err := m.add(k.Tenant, k.Namespace, d); err != nil {
		return err
	}
	return m.add(k.Tenant, 0, d)
}

func (m *machine) add(tenant, namespace uint32, d delta) error {
	t, err := m.tally(tenant, namespace)
	if err != nil || !t.exists {
		return err
	}
	t.n.Keys += d.keys
	t.n.Bytes += d.bytes
	t.n.History += d.history
	t.dirty = true
	return nil
}

func (m *machine) flushTallies() error {
	for i := range m.tallies {
		t := &m.tallies[i]
		if !t.dirty {
			continue
		}
		m.key = record.AppendCountersKey(m.key[:0], t.tenant, t.namespace)
		if !t.exists {
			if err := m.kv.Delete(m.key); err != nil {
				return err
			}
			continue
		}
		m.row = record.AppendCounters(m.row[:0], &t.n)
		if err := m.kv.Set(m.key, m.row); err != nil {
			return err
		}
	}
	return nil
}

// open begins the counters of a new namespace or tenant.
func (m *machine) open(tenant, namespace uint32) error {
	t, err := m.tally(tenant, namespace)
	if err != nil {
		return err
	}
	*t = tally{tenant: tenant, namespace: namespace, exists: true, dirty: true}
	return nil
}

// drop ends the counters of a deleted namespace or tenant, and leaves word of the rows that are still to be purged.
func (m *machine) drop(tenant, namespace uint32) error {
	t, err := m.tally(tenant, namespace)
	if err != nil {
		return err
	}
	t.exists, t.dirty, t.n = false, true, record.Counters{}
	m.key = record.AppendOrphanKey(m.key[:0], record.Orphan{
		Tenant: tenant, Namespace: namespace, Revision: m.head.Positions.Data,
	})
	return m.kv.Set(m.key, record.Mark())
}

// withinQuota judges what the planned changes add to their tenants.
func (m *machine) withinQuota(r *record.Result) (bool, error) {
	for i := range m.tallies {
		m.tallies[i].plannedKeys, m.tallies[i].plannedBytes = 0, 0
	}
	for i := range m.plan.changes {
		c := &m.plan.changes[i]
		if c.record.Deleted || c.record.Key.Shard == record.ShardSystem {
			continue
		}
		t, err := m.tally(c.record.Key.Tenant, 0)
		if err != nil {
			return false, err
		}
		if t.n.MaxKeys == 0 && t.n.MaxBytes == 0 {
			continue
		}
		if !c.before.live() {
			t.plannedKeys++
		}
		t.plannedBytes += uint64(len(c.record.Key.Name) + len(c.record.Value))
		if t.n.MaxKeys > 0 && t.plannedKeys > 0 && t.n.Keys+t.plannedKeys > t.n.MaxKeys {
			refuse(r, record.StatusQuota, "the tenant has %d records; its quota is %d", t.n.Keys, t.n.MaxKeys)
			return false, nil
		}
		if t.n.MaxBytes > 0 && t.n.Bytes+t.plannedBytes > t.n.MaxBytes {
			refuse(r, record.StatusQuota, "the tenant has %d bytes; its quota is %d", t.n.Bytes, t.n.MaxBytes)
			return false, nil
		}
	}
	return true, nil
}
