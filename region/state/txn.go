package state

import (
	"bytes"
	"cmp"

	"supercluster/region/record"
)

// plan is what a transaction will change. Rows are written only when the whole transaction is known to hold, since a KV
// has no way back.
type plan struct {
	shard    uint32
	revision uint64 // that the changes get
	writer   record.Writer
	trace    record.Trace
	request  string
	changes  []change
	index    map[record.Key]int // place in changes; only made for many of them
	removed  int                // records removed by ranges
	answered int                // bytes of records answered
	home     [16]byte           // the region that made the changes, if not this one
	homeAt   record.Position
}

// change is one record as it will be.
type change struct {
	record  record.Record
	before  version
	ordinal uint64
	gone    *record.Origin // of a record of another region that goes: what its event says, and no row
}

// version is what is known of the newest row of a record.
type version struct {
	found    bool
	revision uint64
	size     int // of key and value
	head     record.VersionHead
}

func (v *version) live() bool { return v.found && !v.head.Deleted }

// current is the revision of the record; 0: there is none.
func (v *version) current() uint64 {
	if !v.live() {
		return 0
	}
	return v.revision
}

// newest finds the newest row of a record. The row's value is valid until the next read.
func (m *machine) newest(k record.Key) (v version, row []byte, err error) {
	m.from = record.AppendVersionPrefix(m.from[:0], k)
	m.to = append(m.to[:0], m.from...)
	m.to[len(m.to)-1]++ // the end of the name; so this is where the next record can begin
	key, row, found, err := m.kv.First(m.from, m.to)
	if err != nil || !found {
		return version{}, nil, err
	}
	v = version{found: true, revision: revisionOf(key), size: len(key) + len(row)}
	v.head, err = record.DecodeVersionHead(row)
	return v, row, err
}

// runTxn judges, plans and commits a transaction.
func (m *machine) runTxn(op *record.Op, r *record.Result) error {
	t := op.Txn
	if !validTxn(t, r) {
		return nil
	}
	m.beginPlan(t.Shard, t.Writer, t.Trace, op.RequestID)
	m.cleared = m.cleared[:0]
	if err := m.foreseeTxn(t); err != nil {
		return err
	}
	holds, err := m.compareAll(t.Compare)
	if err != nil {
		return err
	}
	list := t.Then
	if !holds {
		list = t.Else
	}
	if ok, err := m.writable(list, r); err != nil || !ok {
		return err
	}
	answers := m.answers(len(list))
	for i := range list {
		if err := m.planOp(&list[i], &answers[i], r); err != nil || r.Status != record.StatusOK {
			return err
		}
	}
	if ok, err := m.withinQuota(r); err != nil || !ok {
		return err
	}
	if off, err := m.fencedOff(op, r); err != nil || off {
		return err
	}
	if cap(m.txnResults) == len(m.txnResults) {
		m.txnResults = make([]record.TxnResult, 0, len(m.entry.Ops))
	}
	m.txnResults = append(m.txnResults, record.TxnResult{Succeeded: holds, Ops: answers})
	r.Txn = &m.txnResults[len(m.txnResults)-1]
	m.answered += m.plan.answered
	if err := m.commit(); err != nil {
		return err
	}
	return m.showCleared()
}

func (m *machine) beginPlan(shard uint32, w record.Writer, t record.Trace, request string) {
	if w.Time == 0 {
		w.Time = m.entry.Time
	}
	m.plan.clear()
	m.plan = plan{
		shard: shard, revision: m.head.Positions.Of(shard) + 1, writer: w, trace: t, request: request,
		changes: m.plan.changes,
	}
}

// answers takes n answers from the slab.
func (m *machine) answers(n int) []record.TxnOpResult {
	if n == 0 {
		return nil
	}
	if cap(m.opResults)-len(m.opResults) < n {
		m.opResults = make([]record.TxnOpResult, 0, max(n, len(m.entry.Ops)))
	}
	at := len(m.opResults)
	m.opResults = m.opResults[:at+n]
	return m.opResults[at : at+n : at+n]
}

func (m *machine) compareAll(list []record.Compare) (bool, error) {
	for i := range list {
		if holds, err := m.compareOne(&list[i]); err != nil || !holds {
			return false, err
		}
	}
	return true, nil
}

// compareOne judges one condition. A missing record has zero for every number; its value compares with nothing.
func (m *machine) compareOne(c *record.Compare) (bool, error) {
	v, row, err := m.newest(c.Key)
	if err != nil {
		return false, err
	}
	if !v.live() {
		v = version{}
	}
	var order int
	switch c.Target {
	case record.CompareModifyRevision:
		order = cmp.Compare(v.revision, c.Number)
	case record.CompareCreateRevision:
		order = cmp.Compare(v.head.CreateRevision, c.Number)
	case record.CompareVersion:
		order = cmp.Compare(v.head.Version, c.Number)
	case record.CompareLease:
		order = cmp.Compare(v.head.Lease, c.Number)
	default:
		if !v.found {
			return false, nil
		}
		var rec record.Record
		if _, err := record.DecodeVersion(row, &rec); err != nil {
			return false, err
		}
		order = bytes.Compare(rec.Value, c.Value)
	}
	switch c.Operator {
	case record.CompareEqual:
		return order == 0, nil
	case record.CompareNotEqual:
		return order != 0, nil
	case record.CompareGreater:
		return order > 0, nil
	default:
		return order < 0, nil
	}
}

func (m *machine) planOp(op *record.TxnOp, a *record.TxnOpResult, r *record.Result) error {
	switch op.Type {
	case record.TxnPut:
		return m.planPut(op, a, r)
	case record.TxnDelete:
		return m.planDelete(op, a, r)
	case record.TxnDeleteRange:
		return m.planDeleteRange(op, a, r)
	case record.TxnGet:
		return m.planGet(op, a, r)
	default:
		return m.planRange(op, a, r)
	}
}

func (m *machine) planPut(op *record.TxnOp, a *record.TxnOpResult, r *record.Result) error {
	if op.Lease != 0 && !op.IgnoreLease {
		refuse(r, record.StatusNotFound, "there is no lease %d", op.Lease)
		return nil
	}
	before, row, err := m.newest(op.Key)
	if err != nil {
		return err
	}
	if (op.IgnoreValue || op.IgnoreLease) && !before.live() {
		refuse(r, record.StatusNotFound, "there is no record %q whose value or lease could stay", op.Key.Name)
		return nil
	}
	c := change{before: before, record: record.Record{
		Key: op.Key, CreateRevision: m.plan.revision, ModifyRevision: m.plan.revision, Version: 1, Lease: op.Lease,
		Attributes: op.Attributes,
	}}
	if len(op.Value) > 0 {
		c.record.Value = op.Value
	}
	c.record.Attributes.Writer = record.Writer{}
	if before.live() {
		c.record.CreateRevision, c.record.Version = before.head.CreateRevision, before.head.Version+1
	}
	if op.Key.Kind == record.KindConfig {
		c.record.Attributes.Writer, c.ordinal = m.plan.writer, before.head.Ordinal+1
	}
	if op.IgnoreLease {
		c.record.Lease = before.head.Lease
	}
	if before.live() && (op.Previous || op.IgnoreValue) {
		old, err := ownedRecord(op.Key, before.revision, row)
		if err != nil {
			return err
		}
		if op.IgnoreValue {
			c.record.Value = old.Value
		}
		if op.Previous && m.answer(a, r, old) {
			return nil
		}
	}
	m.addChange(c)
	return nil
}

func (m *machine) planDelete(op *record.TxnOp, a *record.TxnOpResult, r *record.Result) error {
	if _, planned := m.planned(op.Key); planned {
		return nil // it was deleted already; a put would have been refused
	}
	before, row, err := m.newest(op.Key)
	if err != nil || !before.live() {
		return err
	}
	a.Count = 1
	if op.Previous {
		old, err := ownedRecord(op.Key, before.revision, row)
		if err != nil || m.answer(a, r, old) {
			return err
		}
	}
	m.addDelete(op.Key, before)
	return nil
}

func (m *machine) addDelete(k record.Key, before version) {
	c := change{before: before, record: record.Record{Key: k, ModifyRevision: m.plan.revision, Deleted: true}}
	if k.Kind == record.KindConfig {
		c.record.Attributes.Writer, c.ordinal = m.plan.writer, before.head.Ordinal+1
	}
	m.addChange(c)
}

// manyChanges is from where an index is cheaper than looking through all changes.
const manyChanges = 16

func (m *machine) addChange(c change) {
	p := &m.plan
	p.changes = append(p.changes, c)
	switch {
	case p.index != nil:
		p.index[c.record.Key] = len(p.changes) - 1
	case len(p.changes) > manyChanges:
		p.index = m.scratch.index
		for i := range p.changes {
			p.index[p.changes[i].record.Key] = i
		}
	}
}

// planned finds what the transaction has done to a record so far.
func (m *machine) planned(k record.Key) (*change, bool) {
	p := &m.plan
	if p.index != nil {
		i, ok := p.index[k]
		if !ok {
			return nil, false
		}
		return &p.changes[i], true
	}
	for i := range p.changes {
		if p.changes[i].record.Key == k {
			return &p.changes[i], true
		}
	}
	return nil, false
}

// answer adds a record to an answer. It reports true, and refuses the transaction, when its answer grows too large, or
// that of the entry.
func (m *machine) answer(a *record.TxnOpResult, r *record.Result, rec record.Record) bool {
	m.plan.answered += answerSize(&rec)
	switch {
	case m.plan.answered > m.limits.readBytes:
		refuse(r, record.StatusTooLarge, "the transaction answers more than %d bytes", m.limits.readBytes)
		return true
	case m.answered+m.plan.answered > m.limits.entryReadBytes:
		refuse(r, record.StatusTooLarge, "the transactions that were applied together answer more than %d bytes; send it again",
			m.limits.entryReadBytes)
		return true
	}
	a.Records = append(a.Records, rec)
	return false
}

// answerSize is what a record counts in an answer.
func answerSize(r *record.Record) int {
	a := &r.Attributes
	return record.ReadOverhead + len(r.Key.Name) + len(r.Value) + len(a.Session) + len(a.Writer.Actor) + len(a.Writer.Message)
}
