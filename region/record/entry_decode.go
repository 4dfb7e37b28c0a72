package record

import (
	"encoding/binary"
	"math"
)

// Decoder reads entries and keeps the memory of their operations for the next one. It is used by one goroutine.
type Decoder struct {
	entry Entry
	ops   opDecoder
}

// keptOps bounds the operations of an entry, and those in its transactions, whose memory is kept.
const keptOps = 1024

// reuse empties what the entry before left, so that nothing of it stays alive, and makes room for another one.
func (d *Decoder) reuse() {
	clear(d.entry.Ops)
	clear(d.ops.txns)
	clear(d.ops.txnOps)
	if cap(d.entry.Ops) > keptOps || cap(d.ops.txns) > keptOps || cap(d.ops.txnOps) > keptOps {
		*d = Decoder{}
	}
	d.entry = Entry{Ops: d.entry.Ops[:0]}
	d.ops = opDecoder{txns: d.ops.txns[:0], txnOps: d.ops.txnOps[:0], actor: d.ops.actor}
}

// opDecoder reads operations and takes their parts from slabs, so that an entry costs few allocations.
type opDecoder struct {
	left   int // operations not read yet: the least size of the next slab
	txns   []Txn
	txnOps []TxnOp
	actor  string // of the last transaction: one actor has one string, however many operations are his
}

// op reads one operation. Only an unknown type is an error here; other bytes that do not parse set c.bad.
func (d *opDecoder) op(c *cursor, op *Op) error {
	op.Type = OpType(c.uint8())
	var size uint32
	if b := c.take(4); b != nil {
		size = binary.LittleEndian.Uint32(b)
	}
	body := cursor{b: c.take(int(size))}
	if c.bad {
		return nil
	}
	op.Tenant = body.uint32()
	op.RequestID = body.string()
	op.Seen = body.uint64()
	if err := d.body(&body, op); err != nil {
		return err
	}
	d.left--
	if !body.end() || len(op.RequestID) > MaxRequestID {
		c.fail()
	}
	return nil
}

func (d *opDecoder) body(c *cursor, op *Op) error {
	switch op.Type {
	case OpTxn, OpHeal:
		return d.txn(c, op)
	case OpCompact:
		op.Compact = &Compact{Shard: c.uint32(), Revision: c.uint64()}
	case OpPurge:
		op.Purge = &Purge{Shard: c.uint32(), Changes: c.uint32()}
	case OpClaim:
		op.Claim = &Claim{Term: c.uint64(), Replica: c.uint64()}
	case OpTick:
		op.Tick = &Tick{Term: c.uint64(), Sequence: c.uint64(), DeltaNanos: c.int64()}
	case OpCreateTenant, OpDeleteTenant, OpCreateNamespace, OpDeleteNamespace:
		op.Tenancy = &Tenancy{
			Tenant: c.string(), Namespace: c.string(), UID: c.id(), Value: c.bytes(), Writer: c.writer(),
			Trace: c.optionalTrace(),
		}
	case OpAlarm:
		op.Alarm = &Alarm{Kind: AlarmKind(c.uint8()), Replica: c.uint64(), Raised: c.uint8() != 0}
		if !c.bad && op.Alarm.Kind != AlarmNoSpace {
			return errUnsupported("a log entry raises alarm %d", op.Alarm.Kind)
		}
	case OpIdentity:
		op.Identity = &Identity{RegionID: c.id(), Name: c.string()}
	default:
		ok, err := c.feedOp(op)
		if err == nil && !ok {
			err = errUnsupported("a log entry has an operation of type %d", op.Type)
		}
		return err
	}
	return nil
}

func (c *cursor) optionalTrace() Trace {
	switch c.uint8() {
	case 0:
		return Trace{}
	case 1:
		return c.trace()
	default:
		c.fail()
		return Trace{}
	}
}

func (d *opDecoder) txn(c *cursor, op *Op) error {
	if len(d.txns) == cap(d.txns) {
		d.txns = make([]Txn, 0, max(d.left, 2*cap(d.txns)))
	}
	d.txns = d.txns[:len(d.txns)+1]
	t := &d.txns[len(d.txns)-1]
	op.Txn = t
	t.Shard = c.uint32()
	if n := c.count(2 + 6 + 2); n > 0 {
		t.Compare = make([]Compare, n)
	}
	for i := range t.Compare {
		cmp := &t.Compare[i]
		cmp.Target, cmp.Operator = CompareTarget(c.uint8()), CompareOperator(c.uint8())
		if !c.bad && !cmp.known() {
			return errUnsupported("a log entry compares target %d with operator %d", cmp.Target, cmp.Operator)
		}
		cmp.Key = c.compactKey()
		cmp.Number = c.uint64()
		cmp.Value = c.bytes()
	}
	var err error
	if t.Then, err = d.list(c); err != nil {
		return err
	}
	if t.Else, err = d.list(c); err != nil {
		return err
	}
	t.Writer = Writer{Time: c.int64(), Actor: d.known(c.bytes()), Message: c.string()}
	t.Trace = c.optionalTrace()
	return nil
}

// known gives the string of an actor, that of the last one when it is the same.
func (d *opDecoder) known(actor []byte) string {
	if string(actor) != d.actor {
		d.actor = string(actor)
	}
	return d.actor
}

func (d *opDecoder) list(c *cursor) ([]TxnOp, error) {
	n := c.count(2 + 6)
	if n == 0 {
		return nil, nil
	}
	if cap(d.txnOps)-len(d.txnOps) < n {
		d.txnOps = make([]TxnOp, 0, max(n, d.left, 2*cap(d.txnOps)))
	}
	at := len(d.txnOps)
	d.txnOps = d.txnOps[:at+n]
	list := d.txnOps[at : at+n : at+n]
	for i := range list {
		if err := c.txnOp(&list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (c *cursor) txnOp(op *TxnOp) error {
	op.Type = TxnOpType(c.uint8())
	flags := c.uint8()
	if c.bad {
		return nil
	}
	op.Previous = flags&txnPrevious != 0
	switch op.Type {
	case TxnPut:
		op.IgnoreValue, op.IgnoreLease = flags&txnIgnoreValue != 0, flags&txnIgnoreLease != 0
		op.Key = c.compactKey()
		if flags&txnLease != 0 {
			op.Lease = c.uint64()
		}
		if flags&txnAttributes != 0 {
			op.Attributes = c.attributes()
		}
		op.Value = c.bytes()
	case TxnDelete, TxnGet:
		op.Key = c.compactKey()
	case TxnDeleteRange, TxnRange:
		op.Range = Range{
			Shard: c.uint32(), Tenant: c.uint32(), Namespace: c.uint32(), Kind: Kind(c.uint16()), Scope: c.uint32(),
			From: c.string(), To: c.string(),
			KeysOnly: flags&txnKeysOnly != 0, CountOnly: flags&txnCountOnly != 0,
		}
		limit := c.uint64()
		if limit > math.MaxInt32 {
			c.fail()
			return nil
		}
		op.Range.Limit = int(limit)
	default:
		return errUnsupported("a log entry has a transaction with an operation of type %d", op.Type)
	}
	return nil
}
