package record

import (
	"encoding/binary"
	"math"

	"supercluster/internal/fault"
)

func errNoBody(t OpType) error {
	return fault.New(fault.Invalid, "an operation of type %d has no body of that type", t)
}

func appendOpBody(dst []byte, op *Op) ([]byte, error) {
	switch op.Type {
	case OpTxn, OpHeal:
		if op.Txn != nil {
			return appendTxn(dst, op.Txn)
		}
	case OpCompact:
		if b := op.Compact; b != nil {
			return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(b.Shard)), b.Revision), nil
		}
	case OpPurge:
		if b := op.Purge; b != nil {
			return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(b.Shard)), uint64(b.Changes)), nil
		}
	case OpClaim:
		if b := op.Claim; b != nil {
			return binary.AppendUvarint(binary.AppendUvarint(dst, b.Term), b.Replica), nil
		}
	case OpTick:
		if b := op.Tick; b != nil {
			dst = binary.AppendUvarint(binary.AppendUvarint(dst, b.Term), b.Sequence)
			return binary.AppendVarint(dst, b.DeltaNanos), nil
		}
	case OpCreateTenant, OpDeleteTenant, OpCreateNamespace, OpDeleteNamespace:
		if op.Tenancy != nil {
			return appendTenancy(dst, op.Tenancy), nil
		}
	case OpAlarm:
		if b := op.Alarm; b != nil {
			if b.Kind != AlarmNoSpace {
				return dst, fault.New(fault.Invalid, "there is no alarm %d", b.Kind)
			}
			return append(binary.AppendUvarint(append(dst, byte(b.Kind)), b.Replica), flag(b.Raised, 1)), nil
		}
	case OpIdentity:
		if b := op.Identity; b != nil {
			return appendString(append(dst, b.RegionID[:]...), b.Name), nil
		}
	}
	if out, ok := appendFeedOp(dst, op); ok {
		return out, nil
	}
	return dst, errNoBody(op.Type)
}

func appendTenancy(dst []byte, t *Tenancy) []byte {
	dst = appendString(dst, t.Tenant)
	dst = appendString(dst, t.Namespace)
	dst = append(dst, t.UID[:]...)
	dst = appendBytes(dst, t.Value)
	dst = appendWriter(dst, &t.Writer)
	return appendOptionalTrace(dst, &t.Trace)
}

func appendOptionalTrace(dst []byte, t *Trace) []byte {
	if *t == (Trace{}) {
		return append(dst, 0)
	}
	return appendTrace(append(dst, 1), t)
}

func appendTxn(dst []byte, t *Txn) ([]byte, error) {
	if len(t.Compare) > MaxOps || len(t.Then) > MaxOps || len(t.Else) > MaxOps {
		return dst, fault.New(fault.TooLarge, "a transaction has a list of over %d operations", MaxOps)
	}
	dst = binary.AppendUvarint(dst, uint64(t.Shard))
	dst = binary.AppendUvarint(dst, uint64(len(t.Compare)))
	for i := range t.Compare {
		c := &t.Compare[i]
		if !c.known() {
			return dst, fault.New(fault.Invalid, "there is no compare of target %d with operator %d", c.Target, c.Operator)
		}
		dst = appendCompactKey(append(dst, byte(c.Target), byte(c.Operator)), c.Key)
		dst = binary.AppendUvarint(dst, c.Number)
		dst = appendBytes(dst, c.Value)
	}
	for _, list := range [2][]TxnOp{t.Then, t.Else} {
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		for i := range list {
			var err error
			if dst, err = appendTxnOp(dst, &list[i]); err != nil {
				return dst, err
			}
		}
	}
	dst = appendWriter(dst, &t.Writer)
	return appendOptionalTrace(dst, &t.Trace), nil
}

func (c *Compare) known() bool {
	return c.Target >= CompareModifyRevision && c.Target <= CompareValue &&
		c.Operator >= CompareEqual && c.Operator <= CompareLess
}

// Flags of an operation inside a transaction.
const (
	txnIgnoreValue = 1 << 0
	txnIgnoreLease = 1 << 1
	txnPrevious    = 1 << 2
	txnKeysOnly    = 1 << 3
	txnCountOnly   = 1 << 4
	txnLease       = 1 << 5
	txnAttributes  = 1 << 6
)

func appendTxnOp(dst []byte, op *TxnOp) ([]byte, error) {
	switch op.Type {
	case TxnPut:
		attributed := !op.Attributes.isZero()
		dst = append(dst, byte(op.Type), flag(op.IgnoreValue, txnIgnoreValue)|flag(op.IgnoreLease, txnIgnoreLease)|
			flag(op.Previous, txnPrevious)|flag(op.Lease != 0, txnLease)|flag(attributed, txnAttributes))
		dst = appendCompactKey(dst, op.Key)
		if op.Lease != 0 {
			dst = binary.AppendUvarint(dst, op.Lease)
		}
		if attributed {
			dst = appendAttributes(dst, &op.Attributes)
		}
		return appendBytes(dst, op.Value), nil
	case TxnDelete, TxnGet:
		return appendCompactKey(append(dst, byte(op.Type), flag(op.Previous, txnPrevious)), op.Key), nil
	case TxnDeleteRange, TxnRange:
		r := &op.Range
		if r.Limit < 0 || r.Limit > math.MaxInt32 {
			return dst, fault.Field("limit", "is %d; it goes from 0 to %d", r.Limit, math.MaxInt32)
		}
		dst = append(dst, byte(op.Type), flag(op.Previous, txnPrevious)|
			flag(r.KeysOnly, txnKeysOnly)|flag(r.CountOnly, txnCountOnly))
		dst = appendCompactHeader(dst, r.Shard, r.Tenant, r.Namespace, r.Kind, r.Scope)
		dst = appendString(appendString(dst, r.From), r.To)
		return binary.AppendUvarint(dst, uint64(r.Limit)), nil
	default:
		return dst, fault.New(fault.Invalid, "there is no operation of type %d in transactions", op.Type)
	}
}
