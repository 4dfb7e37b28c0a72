package node

import "supercluster/region/record"

// fifo is the queue of operations that wait for a group.
type fifo struct {
	ops   []*pending
	head  int
	bytes int
}

func (q *fifo) len() int { return len(q.ops) - q.head }

func (q *fifo) push(p *pending) {
	q.ops = append(q.ops, p)
	q.bytes += p.size
}

func (q *fifo) pushFront(ps []*pending) {
	rest := q.ops[q.head:]
	q.ops = append(append(make([]*pending, 0, len(ps)+len(rest)), ps...), rest...)
	q.head = 0
	for _, p := range ps {
		q.bytes += p.size
	}
}

func (q *fifo) pop() *pending {
	p := q.ops[q.head]
	q.ops[q.head] = nil
	q.head++
	q.bytes -= p.size
	if q.head == len(q.ops) {
		q.ops, q.head = q.ops[:0], 0
	} else if q.head > 1024 && q.head > len(q.ops)/2 {
		n := copy(q.ops, q.ops[q.head:])
		clear(q.ops[n:])
		q.ops, q.head = q.ops[:n], 0
	}
	return p
}

// take moves what fits into one group to ops, past operations whose callers left.
func (q *fifo) take(ops []*pending) []*pending {
	bytes := 0
	for q.len() > 0 && len(ops) < maxGroupOps {
		next := q.ops[q.head]
		alone := next.op.Alone()
		if len(ops) > 0 && (alone || bytes+next.size > maxGroupBytes) {
			break
		}
		q.pop()
		if next.state.CompareAndSwap(opQueued, opTaken) {
			ops = append(ops, next)
			bytes += next.size
			if alone {
				break
			}
		}
	}
	return ops
}

// waiting gives what is queued, first to last, with those that were given up. It is valid until the next change.
func (q *fifo) waiting() []*pending { return q.ops[q.head:] }

func (q *fifo) takeAll() []*pending {
	all := q.ops[q.head:]
	*q = fifo{}
	return all
}

// readCost is what a record that an operation answers adds to its size, so that few such operations share a group: values
// have up to 1 MiB, and the answers of a group are bounded by record.MaxEntryReadBytes. maxReadCost is that of the most
// that one transaction answers.
const (
	readCost    = maxGroupBytes / 8
	maxReadCost = readCost * record.MaxReadBytes / (1 << 20)
)

// opSize estimates what an operation takes of a group: its encoded size, from above, and the cost of what it reads. The
// cost alone never makes an operation too large for the log.
func opSize(op *record.Op) int {
	size := encodedSize(op)
	if op.Txn == nil || size >= record.MaxEntryBytes {
		return size
	}
	cost := max(costOfReads(op.Txn.Then), costOfReads(op.Txn.Else)) // one of them runs
	return min(size+cost, record.MaxEntryBytes)
}

// costOfReads estimates what the answers of a list cost.
func costOfReads(list []record.TxnOp) int {
	cost := 0
	for i := range list {
		switch op := &list[i]; op.Type {
		case record.TxnGet:
			cost += readCost
		case record.TxnPut, record.TxnDelete:
			if op.Previous {
				cost += readCost
			}
		case record.TxnRange:
			if !op.Range.KeysOnly && !op.Range.CountOnly {
				cost = maxReadCost
			}
		case record.TxnDeleteRange:
			if op.Previous {
				cost = maxReadCost
			}
		}
	}
	return min(cost, maxReadCost)
}

// encodedSize estimates the encoded size of an operation, from above.
func encodedSize(op *record.Op) int {
	const envelope = 96
	size := envelope + len(op.RequestID)
	if t := op.Txn; t != nil {
		size += envelope + len(t.Writer.Actor) + len(t.Writer.Message)
		for i := range t.Compare {
			size += envelope + len(t.Compare[i].Key.Name)*2 + len(t.Compare[i].Value)
		}
		for _, list := range [2][]record.TxnOp{t.Then, t.Else} {
			for i := range list {
				o := &list[i]
				size += 2*envelope + 2*(len(o.Key.Name)+len(o.Range.From)+len(o.Range.To)) + len(o.Value) +
					len(o.Attributes.Session) + len(o.Attributes.Writer.Actor) + len(o.Attributes.Writer.Message)
			}
		}
	}
	if t := op.Tenancy; t != nil {
		size += len(t.Tenant) + len(t.Namespace) + len(t.Value) + len(t.Writer.Actor) + len(t.Writer.Message)
	}
	if op.Identity != nil {
		size += len(op.Identity.Name)
	}
	return size + op.FeedBytes()
}
