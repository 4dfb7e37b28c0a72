package node

import (
	"strings"
	"testing"

	"supercluster/region/record"
)

// Operations that answer values cost a share of the group, so that the answers of a group stay within what an entry may
// answer: each record may have 1 MiB.
func TestOpSize_CountsWhatIsRead(t *testing.T) {
	txn := func(then ...record.TxnOp) *record.Op {
		return &record.Op{Type: record.OpTxn, Txn: &record.Txn{Then: then}}
	}
	get, many := record.TxnOp{Type: record.TxnGet}, make([]record.TxnOp, 128)
	for i := range many {
		many[i] = get
	}
	rng := func(r record.Range) record.TxnOp { return record.TxnOp{Type: record.TxnRange, Range: r} }
	either := txn(get)
	either.Txn.Else = []record.TxnOp{get, get}
	for _, tt := range []struct {
		name string
		op   *record.Op
		cost int
	}{
		{"put", txn(record.TxnOp{Type: record.TxnPut}), 0},
		{"get", txn(get), readCost},
		{"put with previous", txn(record.TxnOp{Type: record.TxnPut, Previous: true}), readCost},
		{"delete with previous", txn(record.TxnOp{Type: record.TxnDelete, Previous: true}), readCost},
		{"range", txn(rng(record.Range{})), maxReadCost},
		{"range of keys", txn(rng(record.Range{KeysOnly: true})), 0},
		{"count", txn(rng(record.Range{CountOnly: true})), 0},
		{"delete of a range", txn(record.TxnOp{Type: record.TxnDeleteRange}), 0},
		{"delete of a range with previous", txn(record.TxnOp{Type: record.TxnDeleteRange, Previous: true}), maxReadCost},
		{"more than a transaction answers", txn(many...), maxReadCost},
		{"one list runs", either, 2 * readCost},
		{"another operation", &record.Op{Type: record.OpTick, Tick: &record.Tick{}}, 0},
	} {
		if got := opSize(tt.op) - encodedSize(tt.op); got != tt.cost {
			t.Errorf("%s costs %d, not %d", tt.name, got, tt.cost)
		}
	}
	op := txn(get)
	op.RequestID = strings.Repeat("x", record.MaxEntryBytes-encodedSize(op)) // as large as may be
	if got := opSize(op); got != record.MaxEntryBytes {
		t.Errorf("an operation that fits into the log counts %d", got)
	}
	op.RequestID += "x"
	if got := opSize(op); got != record.MaxEntryBytes+1 {
		t.Errorf("an operation that does not fit counts %d", got)
	}
}

// What a group may answer, at 1 MiB a record and 4 MiB a transaction, fits into one entry.
func TestTake_GroupsAnswerWhatAnEntryMay(t *testing.T) {
	gets := func(n int) record.Op {
		return record.Op{Type: record.OpTxn, Txn: &record.Txn{Then: make([]record.TxnOp, n)}}
	}
	for _, sizes := range [][]int{{1}, {2}, {3}, {128}, {1, 128}, {3, 1, 1}} {
		var q fifo
		for i := range 100 {
			op := gets(sizes[i%len(sizes)])
			for j := range op.Txn.Then {
				op.Txn.Then[j].Type = record.TxnGet
			}
			p := &pending{op: op, size: opSize(&op)}
			p.state.Store(opQueued)
			q.push(p)
		}
		for q.len() > 0 {
			answers := 0
			for _, p := range q.take(nil) {
				answers += min(len(p.op.Txn.Then)<<20, record.MaxReadBytes)
			}
			if answers == 0 || answers > record.MaxEntryReadBytes {
				t.Errorf("a group of transactions with %d reads answers %d bytes", sizes, answers)
			}
		}
	}
}
