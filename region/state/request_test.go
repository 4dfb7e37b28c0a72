package state_test

import (
	"fmt"
	"strings"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// A transaction that failed its comparison is made again from newer records under the same request id, and a client that
// lost the answer sends it again: both run, and what changes something runs once.
func TestRequestIDs_AFailedComparisonMayRunAgain(t *testing.T) {
	w := newRegion(t)
	w.line(t, "put a 1") // revision 2
	w.line(t, "put a 2")
	stale, fresh := "req=r seen=3 txn if mod(a)=2 then put a mine else get a", "req=r seen=3 txn if mod(a)=3 then put a mine else get a"
	for _, step := range []struct {
		name, line           string
		duplicate, succeeded bool
		revision             uint64
	}{
		{"the first", stale, false, false, 3},
		{"a client's retry of the first", stale, false, false, 3},
		{"made again", fresh, false, true, 4},
		{"a retry after the one that ran", fresh, true, true, 4},
		{"a late retry of the first", stale, true, true, 4},
	} {
		r := w.line(t, step.line)
		if r.Status != record.StatusOK || r.Duplicate != step.duplicate || r.Txn.Succeeded != step.succeeded || r.Revision != step.revision {
			t.Errorf("%s: %s", step.name, formatResult(r))
		}
	}
	if s := w.summary(t); s.Positions.Data != 4 {
		t.Errorf("the data revision is %d: it ran more than once", s.Positions.Data)
	}
}

// What did not move the data revision must not run again either, once its request id is forgotten: its sender had seen as
// much then as a new one has now.
func TestRequestIDs_ForgottenWithoutAMoveOfTheRevision(t *testing.T) {
	w := newRegion(t)
	w.smallLines(t, "put a 1", "req=r seen=2 del b") // changes nothing: at 2
	w.smallLines(t, "put b 1")                       // the retry would delete it
	for i := range 3 {
		w.smallLines(t, fmt.Sprintf("req=n%d seen=3 put c %d", i, i))
	}
	checkStatuses(t, w.smallLines(t, "req=r seen=2 del b", "req=new seen=6 put c 4"),
		record.StatusIdempotencyExpired, record.StatusOK)
	if records, err := state.History(w.kv, key("b"), 0); err != nil || len(records) != 1 {
		t.Errorf("b has %d versions, %v", len(records), err)
	}
}

// The same in the system shard, where the data revision stands still: what is old stays until the horizon can pass it, so
// that those who saw the newest revision are not refused.
func TestRequestIDs_AgeNeverShutsOutNewOnes(t *testing.T) {
	w := newRegion(t)
	age := func(from int) {
		for i := range 60 {
			w.smallLines(t, fmt.Sprintf("tick 1 %d 10000", from+i))
		}
	}
	w.smallLines(t, "claim 1 1", "req=r0 seen=1 tenant-create acme")
	age(1)
	checkStatuses(t, w.smallLines(t, "req=r1 seen=1 tenant-create beta", "req=r2 seen=1 tenant-create gamma"),
		record.StatusOK, record.StatusOK)
	if r := w.smallLines(t, "req=r0 seen=1 tenant-create acme")[0]; !r.Duplicate || r.Status != record.StatusOK {
		t.Errorf("nothing moved the data revision, and r0 is forgotten: %s", formatResult(r))
	}
	w.smallLines(t, "put a 1") // now at 2
	checkStatuses(t, w.smallLines(t, "req=r3 seen=2 tenant-create delta", "req=r0 seen=1 tenant-create acme", "req=r4 seen=2 tenant-delete acme"),
		record.StatusOK, record.StatusIdempotencyExpired, record.StatusOK)
}

// Too many are forgotten whatever the revision: those that cannot be known are refused.
func TestRequestIDs_TooManyWithoutAMoveOfTheRevision(t *testing.T) {
	w := newRegion(t)
	for i := range 4 { // forgets r0
		w.smallLines(t, fmt.Sprintf("req=r%d seen=1 tenant-create t%d", i, i))
	}
	checkStatuses(t, w.smallLines(t, "req=r0 seen=1 tenant-create t0", "req=new seen=1 tenant-create x", "put a 1", "req=new seen=2 tenant-create x"),
		record.StatusIdempotencyExpired, record.StatusIdempotencyExpired, record.StatusOK, record.StatusOK)
}

// The answers of an entry are bounded beside those of each transaction; what is refused changes nothing, and may be sent
// again under its request id.
func TestLimits_ReadsOfAnEntry(t *testing.T) {
	w := newRegion(t)
	w.line(t, "put long "+strings.Repeat("x", 240)) // counts 500 in an answer
	read := "txn then get long"
	checkStatuses(t, w.smallLines(t, read, read, read, read, read, "req=r seen=2 txn then del long prev", read, "req=r seen=2 txn then put other 1 ; get long",
		"put other 2", "txn then get other"),
		record.StatusOK, record.StatusOK, record.StatusOK, record.StatusOK, record.StatusOK, record.StatusOK,
		record.StatusOK, // long is gone: nothing is read
		record.StatusOK, record.StatusOK, record.StatusTooLarge)
	w.line(t, "put long "+strings.Repeat("x", 240))
	before := w.summary(t).Positions.Data
	results := w.smallLines(t, read, read, "txn then get long ; get long", read, read, read, read,
		"req=q txn then put other 3 ; get long", "req=p txn then del long prev", "txn then range long -", "txn then range long - count", "put other 4")
	checkStatuses(t, results, record.StatusOK, record.StatusOK, record.StatusTooLarge, record.StatusOK, record.StatusOK, record.StatusOK,
		record.StatusOK, record.StatusTooLarge, record.StatusTooLarge, record.StatusTooLarge, record.StatusOK, record.StatusOK)
	if !strings.Contains(results[7].Detail, "together") || !strings.Contains(results[2].Detail, "the transaction answers") {
		t.Errorf("refused with %q and %q", results[7].Detail, results[2].Detail)
	}
	if at := w.summary(t).Positions.Data; at != before+1 {
		t.Errorf("data went from %d to %d: what was refused changed something", before, at)
	}
	checkStatuses(t, w.smallLines(t, "req=q txn then put other 3 ; get long", "req=p txn then del long prev"), record.StatusOK, record.StatusOK)
	if at := w.summary(t).Positions.Data; at != before+3 {
		t.Errorf("data is at %d, not %d: a refusal was remembered", at, before+3)
	}
}

// A replica holds the results of the entry it applies, whatever an entry asks for.
func TestLimits_ResultsOfAnEntryAreBounded(t *testing.T) {
	w := newRegion(t)
	big := strings.Repeat("x", 1<<20)
	w.line(t, "put big "+big)
	var ops []record.Op
	for range 100 {
		ops = append(ops, mustParse(t, "txn then get big"), mustParse(t, "txn then range - - keys"))
	}
	out := w.ops(t, ops...)
	size := len(record.AppendResults(nil, out.Results))
	if size > record.MaxEntryReadBytes+len(ops)*256 || size < 7<<20 {
		t.Errorf("the results of an entry have %d bytes", size)
	}
}

func TestTxn_KindsLiveInTheirShard(t *testing.T) {
	w := newRegion(t)
	for _, tt := range []struct {
		shard uint32
		kind  record.Kind
		want  record.Status
	}{
		{record.ShardSystem, 0, record.StatusInvalid},
		{record.ShardData, 0, record.StatusInvalid},
		{record.ShardSystem, record.KindNode, record.StatusOK},
		{record.ShardData, record.KindNode, record.StatusInvalid},
		{record.ShardData, record.KindTenant, record.StatusInvalid},
		{record.ShardSystem, 15, record.StatusOK},
		{record.ShardData, 15, record.StatusInvalid},
		{record.ShardSystem, record.KindService, record.StatusInvalid},
		{record.ShardSystem, record.KindConfig, record.StatusInvalid},
		{record.ShardData, record.KindConfig, record.StatusOK},
		{record.ShardSystem, 999, record.StatusInvalid},
		{record.ShardData, 999, record.StatusOK},
	} {
		k := record.Key{Shard: tt.shard, Kind: tt.kind, Name: "x"}
		if tt.shard == record.ShardData {
			k.Tenant, k.Namespace = 1, 1
		}
		rng := record.Range{Shard: k.Shard, Tenant: k.Tenant, Namespace: k.Namespace, Kind: k.Kind}
		for name, txn := range map[string]record.Txn{
			"put":          {Then: []record.TxnOp{{Type: record.TxnPut, Key: k}}},
			"delete":       {Then: []record.TxnOp{{Type: record.TxnDelete, Key: k}}},
			"get":          {Then: []record.TxnOp{{Type: record.TxnGet, Key: k}}},
			"range":        {Then: []record.TxnOp{{Type: record.TxnRange, Range: rng}}},
			"delete range": {Then: []record.TxnOp{{Type: record.TxnDeleteRange, Range: rng}}},
			"else":         {Else: []record.TxnOp{{Type: record.TxnPut, Key: k}}},
			"compare":      {Compare: []record.Compare{{Key: k, Target: record.CompareVersion, Operator: record.CompareEqual}}},
		} {
			txn.Shard = tt.shard
			if r := w.op(t, record.Op{Type: record.OpTxn, Txn: &txn}); r.Status != tt.want {
				t.Errorf("%s of kind %d in shard %d: %s", name, tt.kind, tt.shard, formatResult(r))
			}
		}
	}
}
