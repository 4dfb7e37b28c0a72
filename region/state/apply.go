package state

import (
	"fmt"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Outcome is what an entry did.
type Outcome struct {
	// Results has one result for each operation.
	Results []record.Result
	// Commits has one commit for each revision, in the order in which they were made; those of a shard ascend.
	Commits []record.Commit
}

// limits are the bounds that tests make small. All replicas must have the same: they are part of the format.
type limits struct {
	rangeKeys      int
	readBytes      int
	entryReadBytes int
	requests       uint64
	requestNanos   int64
	history        uint64
	without        Without
}

// Without takes rules of federation out, so that the property test of package feed sees each of them matter. Nothing but
// that test does.
type Without struct {
	Cursor bool // an import fits where the channel stands: incarnation, sequence, chain and digest
	Order  bool // a snapshot is newer than what it replaces
}

// Apply applies one entry. An error means that this replica cannot know what the others did and must stop: the entry or
// a row is unreadable, or the rows below failed. Values of the entry live on in the commits. Who applies one entry after the
// other has a Scratch do it.
func Apply(kv KV, index uint64, e *record.Entry) (Outcome, error) {
	return ApplyWithout(kv, index, e, Without{})
}

// ApplyWithout is Apply without some rules.
func ApplyWithout(kv KV, index uint64, e *record.Entry, w Without) (Outcome, error) {
	return apply(&Scratch{}, kv, index, e, usualLimits(w))
}

func usualLimits(w Without) limits {
	return limits{
		rangeKeys:      record.MaxRangeKeys,
		readBytes:      record.MaxReadBytes,
		entryReadBytes: record.MaxEntryReadBytes,
		requests:       record.MaxRequests,
		requestNanos:   record.RequestNanos,
		history:        record.MaxHistoryBytes,
		without:        w,
	}
}

func apply(s *Scratch, kv KV, index uint64, e *record.Entry, l limits) (Outcome, error) {
	m := &machine{kv: kv, entry: e, limits: l}
	m.borrow(s)
	defer m.giveBack()
	if err := m.begin(index); err != nil {
		return Outcome{}, err
	}
	known, err := m.recall()
	if err != nil {
		return Outcome{}, err
	}
	if !known {
		if err := m.run(); err != nil {
			return Outcome{}, err
		}
	}
	if err := m.finish(); err != nil {
		return Outcome{}, err
	}
	return m.out, nil
}

// machine applies one entry. It lives for one call of Apply.
type machine struct {
	kv     KV
	entry  *record.Entry
	limits limits
	head   record.Head
	out    Outcome

	fed     *federation
	fedRead bool
	cleared []uint32 // homes whose records may be shown now, since one of this region that stood in the way is gone

	tallies  []tally
	requests []requestTable
	plan     plan
	answered int // bytes of records answered by the operations so far

	// Memory used again by each operation; what is in scratch by the entries that follow, too.
	scratch            *Scratch
	from, to, key, row []byte
	outcomes           []byte
	changes            []record.Change

	// Slabs that the outcome points into.
	events     []record.Event
	txnResults []record.TxnResult
	opResults  []record.TxnOpResult
}

func (m *machine) begin(index uint64) error {
	var err error
	if m.head, err = readHead(m.kv); err != nil {
		return err
	}
	if index <= m.head.AppliedIndex {
		return fault.New(fault.Internal, "log entry %d comes after entry %d was applied", index, m.head.AppliedIndex)
	}
	m.head.AppliedIndex = index
	if need := max(m.entry.Level, m.head.Level); need > record.FeatureLevel {
		return fault.New(fault.Unsupported, "log entry %d needs feature level %d; this version has %d", index, need,
			record.FeatureLevel).WithHint("upgrade this node to the version that the others run, then start it again")
	}
	m.head.Level = max(m.head.Level, m.entry.Level)
	n := len(m.entry.Ops)
	m.out.Results = make([]record.Result, n)
	m.outcomes = make([]byte, n)
	buffer := make([]byte, 384)
	m.from, m.to, m.key = buffer[:0:128], buffer[128:128:256], buffer[256:256:384]
	return nil
}

// readHead reads the head row. A fresh store is at revision 1 in every shard.
func readHead(r Reader) (record.Head, error) {
	b, found, err := r.Get(record.HeadKey())
	if err != nil {
		return record.Head{}, err
	}
	if !found {
		return record.Head{
			Level: 1, Positions: record.Positions{System: 1, Data: 1}, NextTenant: 1, NextNamespace: 1,
		}, nil
	}
	return record.DecodeHead(b)
}

// run applies the operations and remembers the group.
func (m *machine) run() error {
	before := m.head.Positions
	limit := record.MaxBytes(m.entry.Ops)
	oversized := len(m.entry.Ops) > record.MaxOps || m.entry.Size() > limit
	for i := range m.entry.Ops {
		op, r := &m.entry.Ops[i], &m.out.Results[i]
		if oversized {
			refuse(r, record.StatusTooLarge, "a log entry has %d operations in %d bytes; the limits are %d and %d",
				len(m.entry.Ops), m.entry.Size(), record.MaxOps, limit)
			m.outcomes[i] = record.Outcome(r.Status, false, false)
			continue
		}
		shard := shardOf(op)
		at, unseen := m.head.Positions.Of(shard), m.head.Positions.Data+1
		if err := m.judge(op, r); err != nil {
			return err
		}
		now := m.head.Positions.Of(shard)
		if !r.Duplicate {
			r.Revision = now
		}
		m.outcomes[i] = record.Outcome(r.Status, now != at, r.Txn != nil && r.Txn.Succeeded)
		if err := m.rememberRequest(op, r, m.outcomes[i], unseen); err != nil {
			return err
		}
	}
	return m.rememberGroup(before)
}

// judge answers an operation whose request id is known, and runs any other.
func (m *machine) judge(op *record.Op, r *record.Result) error {
	if op.Alone() && len(m.entry.Ops) > 1 {
		refuse(r, record.StatusInvalid, "an operation of type %d goes alone into a log entry", op.Type)
		return nil
	}
	if op.RequestID != "" {
		if settled, err := m.recallRequest(op, r); err != nil || settled {
			return err
		}
	}
	if op.Tenant != 0 {
		if t, err := m.tally(op.Tenant, 0); err != nil {
			return err
		} else if !t.exists {
			refuse(r, record.StatusNotFound, "there is no tenant with id %d", op.Tenant)
			return nil
		}
	}
	return m.dispatch(op, r)
}

func (m *machine) dispatch(op *record.Op, r *record.Result) error {
	switch {
	case (op.Type == record.OpTxn || op.Type == record.OpHeal) && op.Txn != nil:
		return m.runTxn(op, r)
	case op.Type == record.OpCompact && op.Compact != nil:
		m.compact(op.Compact, r)
		return nil
	case op.Type == record.OpPurge && op.Purge != nil:
		return m.purge(op.Purge, r)
	case op.Type == record.OpClaim && op.Claim != nil:
		m.claim(op.Claim, r)
		return nil
	case op.Type == record.OpTick && op.Tick != nil:
		m.tick(op.Tick, r)
		return nil
	case op.Type >= record.OpCreateTenant && op.Type <= record.OpDeleteNamespace && op.Tenancy != nil:
		return m.tenancy(op, r)
	case op.Type == record.OpAlarm && op.Alarm != nil:
		return m.alarm(op.Alarm, r)
	case op.Type == record.OpIdentity && op.Identity != nil:
		return m.identity(op, r)
	default:
		if known, err := m.dispatchFeed(op, r); known {
			return err
		}
		return fault.New(fault.Unsupported, "a log entry has an operation of type %d that cannot be applied", op.Type).
			WithHint("upgrade this node to the version that the others run, then start it again")
	}
}

// finish writes what the operations share.
func (m *machine) finish() error {
	if err := m.flushFederation(); err != nil {
		return err
	}
	if err := m.flushTallies(); err != nil {
		return err
	}
	if err := m.flushRequests(); err != nil {
		return err
	}
	m.row = record.AppendHead(m.row[:0], &m.head)
	return m.kv.Set(record.HeadKey(), m.row)
}

// shardOf gives the shard whose revision an operation is answered with.
func shardOf(op *record.Op) uint32 {
	switch {
	case op.Txn != nil:
		return op.Txn.Shard
	case op.Compact != nil:
		return op.Compact.Shard
	case op.Purge != nil:
		return op.Purge.Shard
	case op.Import != nil || op.Replace != nil || op.Walk != nil:
		return record.ShardData
	default:
		return record.ShardSystem
	}
}

// refuse answers an operation that changes nothing.
func refuse(r *record.Result, s record.Status, format string, args ...any) {
	r.Status, r.Detail, r.Txn = s, fmt.Sprintf(format, args...), nil
}

func (m *machine) full() bool { return m.head.Alarms&(1<<record.AlarmNoSpace) != 0 }

func refuseGrowth(r *record.Result) {
	refuse(r, record.StatusNoSpace, "the region is short of disk space: only deletes and compaction are taken")
}
