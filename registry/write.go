package registry

import (
	"google.golang.org/protobuf/proto"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Write is what goes with every write beside its content.
type Write struct {
	// RequestID makes the write exactly-once; empty when the client sent none.
	RequestID string
	// Seen is the highest revision the client had seen when it first sent RequestID.
	Seen uint64
	// Writer says who writes, when and why.
	Writer record.Writer
	// Trace ties the write to the commit that it becomes.
	Trace record.Trace
}

const maxRequestID = 64

// check refuses what the store would refuse, with the field's name.
func (w Write) check() error {
	if len(w.RequestID) > maxRequestID {
		return fault.Field("options.request_id", "is %d bytes long, the limit is %d", len(w.RequestID), maxRequestID)
	}
	return text("options.message", w.Writer.Message, MaxDescription)
}

// txn makes the operation of a transaction in a namespace.
func (w Write) txn(tenant, shard uint32, compare []record.Compare, then, otherwise []record.TxnOp) record.Op {
	return record.Op{
		Type: record.OpTxn, Tenant: tenant, RequestID: w.RequestID, Seen: w.Seen,
		Txn: &record.Txn{
			Shard: shard, Compare: compare, Then: then, Else: otherwise, Writer: w.Writer, Trace: w.Trace,
		},
	}
}

// tenancy makes one of the four tenant and namespace operations.
func (w Write) tenancy(kind record.OpType, tenant uint32, t record.Tenancy) record.Op {
	t.Writer, t.Trace = w.Writer, w.Trace
	return record.Op{Type: kind, Tenant: tenant, RequestID: w.RequestID, Seen: w.Seen, Tenancy: &t}
}

// encode gives the stored bytes of a message: the same message always has the same bytes.
func encode(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the message cannot be encoded")
	}
	return b, nil
}

func put(k record.Key, value []byte) record.TxnOp {
	return record.TxnOp{Type: record.TxnPut, Key: k, Value: value}
}

func remove(k record.Key) record.TxnOp { return record.TxnOp{Type: record.TxnDelete, Key: k} }

func removeRange(r record.Range) record.TxnOp {
	return record.TxnOp{Type: record.TxnDeleteRange, Range: r}
}

func get(k record.Key) record.TxnOp { return record.TxnOp{Type: record.TxnGet, Key: k} }

// peek reads the revisions of a record without its value.
func peek(k record.Key) record.TxnOp {
	return record.TxnOp{Type: record.TxnRange, Range: record.Range{
		Shard: k.Shard, Tenant: k.Tenant, Namespace: k.Namespace, Kind: k.Kind, Scope: k.Scope,
		From: k.Name, To: k.Name + "\x00", Limit: 1, KeysOnly: true,
	}}
}

// absent holds while there is no record.
func absent(k record.Key) record.Compare {
	return record.Compare{Key: k, Target: record.CompareCreateRevision, Operator: record.CompareEqual}
}

// created holds while the record is the one that was created at a revision.
func created(k record.Key, revision uint64) record.Compare {
	return record.Compare{Key: k, Target: record.CompareCreateRevision, Operator: record.CompareEqual, Number: revision}
}

// unchanged holds while the record is at a revision.
func unchanged(k record.Key, revision uint64) record.Compare {
	return record.Compare{Key: k, Target: record.CompareModifyRevision, Operator: record.CompareEqual, Number: revision}
}

// expecting is the guard of a write with expect_revision: the compares, and what to read when they fail so that
// Outcome can tell the current revision. 0 guards nothing.
func expecting(k record.Key, revision uint64) (compare []record.Compare, otherwise []record.TxnOp) {
	if revision == 0 {
		return nil, nil
	}
	return []record.Compare{unchanged(k, revision)}, []record.TxnOp{peek(k)}
}
