package state

import (
	"bytes"

	"supercluster/region/record"
)

// recall judges the group by its name. It answers all operations, and reports true, for a group that ran before, one of
// an earlier boot, and one so old that its place in the window is taken. Replica 0 has no window: its groups always run.
func (m *machine) recall() (bool, error) {
	e := m.entry
	if e.Replica == 0 {
		return false, nil
	}
	i := m.proposer(e.Replica)
	known := &m.head.Proposers[i]
	if e.Boot < known.Boot {
		m.refuseAll(record.StatusStale, "the group is of boot %d of replica %d, which is at boot %d", e.Boot, e.Replica, known.Boot)
		return true, nil
	}
	if e.Boot > known.Boot {
		known.Boot = e.Boot
		return false, m.forgetWindow(e.Replica)
	}
	m.key = record.AppendWindowKey(m.key[:0], e.Replica, e.Sequence)
	b, found, err := m.kv.Get(m.key)
	if err != nil || !found {
		return false, err
	}
	g, err := record.DecodeGroup(b)
	if err != nil || g.Sequence < e.Sequence {
		return false, err
	}
	if g.Sequence > e.Sequence || len(g.Outcomes) != len(e.Ops) {
		m.refuseAll(record.StatusStale, "group %d of replica %d is no longer remembered", e.Sequence, e.Replica)
		return true, nil
	}
	return true, m.answerGroup(g)
}

// proposer finds the place of a replica in the head, and makes one.
func (m *machine) proposer(replica uint64) int {
	for i := range m.head.Proposers {
		if m.head.Proposers[i].Replica == replica {
			return i
		}
	}
	m.head.Proposers = append(m.head.Proposers, record.Proposer{Replica: replica})
	return len(m.head.Proposers) - 1
}

func (m *machine) refuseAll(s record.Status, format string, args ...any) {
	for i := range m.out.Results {
		refuse(&m.out.Results[i], s, format, args...)
		m.out.Results[i].Revision = m.head.Positions.Of(shardOf(&m.entry.Ops[i]))
	}
}

// answerGroup answers a group that ran before with what it got then.
func (m *machine) answerGroup(g record.Group) error {
	at := g.Before
	outcomes := append(m.outcomes[:0], g.Outcomes...) // the row's bytes end with the next read
	for i := range m.entry.Ops {
		op, r := &m.entry.Ops[i], &m.out.Results[i]
		status, moved, succeeded := record.SplitOutcome(outcomes[i])
		shard := shardOf(op)
		if moved {
			at = at.With(shard, at.Of(shard)+1)
		}
		r.Status, r.Revision, r.Duplicate = status, at.Of(shard), true
		if op.RequestID != "" {
			if request, found, err := m.request(op.Tenant, op.RequestID); err != nil {
				return err
			} else if found && sameAnswer(request.Outcome, outcomes[i]) {
				r.Revision = request.Revision
			}
		}
		if err := m.completeDuplicate(op, r, succeeded); err != nil {
			return err
		}
	}
	return nil
}

// sameAnswer reports whether two outcomes are one but for which of them moved the revision. A request id may be known from
// a later run than that of the group, if the group's changed nothing.
func sameAnswer(a, b byte) bool {
	status, _, succeeded := record.SplitOutcome(a)
	otherStatus, _, otherSucceeded := record.SplitOutcome(b)
	return status == otherStatus && succeeded == otherSucceeded
}

// completeDuplicate adds to the answer of an operation that ran before what its table does not hold.
func (m *machine) completeDuplicate(op *record.Op, r *record.Result, succeeded bool) (err error) {
	switch {
	case r.Status != record.StatusOK:
		r.Detail = "refused when it was first sent"
	case op.Txn != nil:
		r.Txn = &record.TxnResult{Succeeded: succeeded}
	case op.Type == record.OpCreateTenant && op.Tenancy != nil:
		r.ID, err = m.tenantID(op.Tenancy.Tenant)
	case op.Type == record.OpCreateNamespace && op.Tenancy != nil:
		var tenant uint32
		if tenant, err = m.tenantID(op.Tenancy.Tenant); err == nil {
			r.ID, err = m.namespaceID(tenant, op.Tenancy.Namespace)
		}
	}
	return err
}

// forgetWindow removes the groups of an earlier boot.
func (m *machine) forgetWindow(replica uint64) error {
	m.from = record.AppendWindowPrefix(m.from[:0], replica)
	m.to = record.PrefixSuccessor(append(m.to[:0], m.from...))
	_, err := m.removeRows(m.from, m.to, record.WindowSize)
	return err
}

func (m *machine) rememberGroup(before record.Positions) error {
	e := m.entry
	if e.Replica == 0 {
		return nil
	}
	m.key = record.AppendWindowKey(m.key[:0], e.Replica, e.Sequence)
	m.row = record.AppendGroup(m.row[:0], &record.Group{Sequence: e.Sequence, Before: before, Outcomes: m.outcomes})
	return m.kv.Set(m.key, m.row)
}

// removeRows deletes at most limit rows in [from, to) and says how many there were. Nothing is written while the
// iterator is open.
func (m *machine) removeRows(from, to []byte, limit int) (int, error) {
	it, err := m.kv.Scan(from, to, false)
	if err != nil {
		return 0, err
	}
	var keys [][]byte
	for len(keys) < limit && it.Next() {
		keys = append(keys, bytes.Clone(it.Key()))
	}
	if err := it.Close(); err != nil {
		return 0, err
	}
	for _, key := range keys {
		if err := m.kv.Delete(key); err != nil {
			return 0, err
		}
	}
	return len(keys), nil
}
