package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/region/state"
)

var small = state.Small{
	RangeKeys: 5, ReadBytes: 600, EntryReadBytes: 3000, Requests: 3, RequestAge: 10 * time.Minute, History: 2000,
}

// smallLines applies operations in one entry with small limits.
func (w *world) smallLines(t testing.TB, lines ...string) []record.Result {
	t.Helper()
	e := &record.Entry{Level: 1}
	for _, line := range lines {
		e.Ops = append(e.Ops, mustParse(t, line))
	}
	w.index++
	out, err := state.ApplySmall(w.kv, w.index, e, small)
	if err != nil {
		t.Fatal(err)
	}
	return out.Results
}

func checkStatuses(t testing.TB, results []record.Result, want ...record.Status) {
	t.Helper()
	for i, r := range results {
		if r.Status != want[i] {
			t.Errorf("operation %d: %s; want %s", i+1, formatResult(r), statusNames[want[i]])
		}
	}
}

func TestLimits_Ranges(t *testing.T) {
	w := newRegion(t)
	for i := range 6 {
		w.line(t, fmt.Sprintf("put k%d 1", i))
	}
	w.line(t, "put long "+strings.Repeat("x", 60))
	checkStatuses(t, w.smallLines(t,
		"txn then delrange k -", "txn then range k -", "txn then range k - limit=2", "txn then range k - count",
		"txn then get long ; get long", "txn then del k0 prev ; get long", "txn then delrange k3 - ; delrange k0 k3",
		"txn then delrange - - limit=5", "txn then delrange k -"),
		record.StatusTooLarge, record.StatusTooLarge, record.StatusOK, record.StatusOK,
		record.StatusTooLarge, record.StatusOK, record.StatusTooLarge,
		record.StatusOK, record.StatusOK)
	// One deleted k0, those refused had no effect, and the last two deleted five records and then the sixth.
	if s := w.summary(t); s.Keys != 2 || s.Positions.Data != 8+3 {
		t.Errorf("%d keys at %d are left, not the tenant and the namespace at 11", s.Keys, s.Positions.Data)
	}
}

func TestLimits_EntryAndTransaction(t *testing.T) {
	w := newRegion(t)
	put := record.TxnOp{Type: record.TxnPut, Key: key("a")}
	many := make([]record.TxnOp, record.MaxOps+1)
	for i := range many {
		many[i] = record.TxnOp{Type: record.TxnGet, Key: key("a")}
	}
	apply := func(ops []record.Op) []record.Result {
		w.index++
		out, err := state.Apply(w.kv, w.index, &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: w.index, Ops: ops})
		if err != nil {
			t.Fatal(err)
		}
		return out.Results
	}
	op := func(list []record.TxnOp) record.Op {
		return record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: record.ShardData, Then: list}}
	}
	checkStatuses(t, apply([]record.Op{op(many), op([]record.TxnOp{put})}), record.StatusTooLarge, record.StatusOK)
	ops := make([]record.Op, record.MaxOps+1)
	for i := range ops {
		ops[i] = op([]record.TxnOp{put})
	}
	for i, r := range apply(ops) {
		if r.Status != record.StatusTooLarge || !strings.Contains(r.Detail, "1024") {
			t.Fatalf("operation %d of too many: %s", i, formatResult(r))
		}
	}
	long := op([]record.TxnOp{put})
	long.RequestID = strings.Repeat("x", record.MaxRequestID+1)
	checkStatuses(t, apply([]record.Op{long}), record.StatusInvalid)
	if s := w.summary(t); s.Positions.Data != 2 {
		t.Errorf("data is at %d, not at the one put", s.Positions.Data)
	}
}

func TestRequestIDs_ForgottenByNumber(t *testing.T) {
	w := newRegion(t)
	for i := range 3 {
		w.smallLines(t, fmt.Sprintf("req=r%d put a %d", i, i)) // revisions 2, 3 and 4
	}
	if r := w.smallLines(t, "req=r0 put a again")[0]; !r.Duplicate || r.Revision != 2 {
		t.Errorf("the third last is not remembered: %s", formatResult(r))
	}
	w.smallLines(t, "req=r3 seen=4 put a 3") // forgets r0, whose revision is 2
	checkStatuses(t, w.smallLines(t, "req=r0 seen=1 put a late", "req=r0 seen=2 put a new", "req=r1 seen=1 put a again"),
		record.StatusIdempotencyExpired, record.StatusOK, record.StatusIdempotencyExpired)
	if n := w.rows(t, record.SpaceRequests); n != 2*3+1 {
		t.Errorf("%d rows for 3 request ids", n)
	}
}

func TestRequestIDs_ForgottenByStateClock(t *testing.T) {
	w := newRegion(t)
	w.smallLines(t, "claim 1 1", "req=r0 put a 0")
	for i := range 59 {
		w.smallLines(t, fmt.Sprintf("tick 1 %d 10000", i+1))
	}
	if r := w.smallLines(t, "req=r1 seen=2 put a 1", "req=r0 put a 0")[1]; !r.Duplicate {
		t.Errorf("forgotten before its time: %s", formatResult(r))
	}
	checkStatuses(t, w.smallLines(t, "tick 1 60 10000", "req=r2 seen=3 put a 2", "req=r0 seen=1 put a late"),
		record.StatusOK, record.StatusOK, record.StatusIdempotencyExpired)
}

func TestRefusalsForRoom_AreNotRemembered(t *testing.T) {
	w := newRegion(t)
	checkStatuses(t, w.smallLines(t, "alarm on 1", "req=r put a 1", "alarm off 1", "req=r put a 1"),
		record.StatusOK, record.StatusNoSpace, record.StatusOK, record.StatusOK)
}

func TestQuota(t *testing.T) {
	w := newRegion(t)
	set := func(n record.Counters) {
		if err := w.kv.Set(record.AppendCountersKey(nil, 1, 0), record.AppendCounters(nil, &n)); err != nil {
			t.Fatal(err)
		}
	}
	set(record.Counters{MaxKeys: 2})
	checkStatuses(t, w.smallLines(t, "put a 1", "txn then put b 1 ; put c 1", "put b 1", "put c 1", "put a 2", "del a", "put c 1"),
		record.StatusOK, record.StatusQuota, record.StatusOK, record.StatusQuota, record.StatusOK, record.StatusOK, record.StatusOK)
	set(record.Counters{MaxBytes: 100})
	checkStatuses(t, w.smallLines(t, "put x "+strings.Repeat("x", 101), "put x 1"), record.StatusQuota, record.StatusOK)
}

// Every 16th put removes what has 32 newer versions, once compaction lets it.
func TestConfigHistory_KeepsTheLastVersions(t *testing.T) {
	w := newRegion(t)
	for i := range 50 {
		w.line(t, fmt.Sprintf("put config:app %d", i+2)) // the value is the revision
	}
	check := func(oldest int) {
		t.Helper()
		records, err := state.History(w.kv, key("config:app"), 0)
		if err != nil {
			t.Fatal(err)
		}
		last := records[len(records)-1]
		if last.ModifyRevision != uint64(oldest) || string(last.Value) != fmt.Sprint(oldest) {
			t.Errorf("history of %d ends with %s, not revision %d", len(records), formatRecord(last), oldest)
		}
	}
	check(2) // nothing is compacted: every revision can still be read
	w.line(t, "compact 1 30")
	check(2)
	for revision := 52; revision <= 64; revision++ { // versions 51 to 63
		w.line(t, fmt.Sprintf("put config:app %d", revision))
	}
	check(2)
	w.line(t, "put config:app 65") // version 64: 30 superseded 29 at the floor, and both have 32 newer ones
	check(30)
	w.line(t, "compact 1 65")
	check(30)
	w.line(t, "purge 1 1000") // a purge does it where no put comes
	check(34)
	w.line(t, "put config:app 66")
	check(34)
	if n := w.summary(t).Keys; n != 3 {
		t.Errorf("%d keys", n)
	}
}

func TestConfigHistory_PurgeTrimsWhatPutsCouldNot(t *testing.T) {
	w := newRegion(t)
	for i := range 40 {
		w.line(t, fmt.Sprintf("put config:app %d", i))
	}
	w.line(t, "compact 1 41")
	w.line(t, "purge 1 1000")
	if records, err := state.History(w.kv, key("config:app"), 0); err != nil || len(records) != record.ConfigVersions {
		t.Errorf("%d versions, %v", len(records), err)
	}
}

// Deletes count as versions, so a record that comes and goes does not grow for ever.
func TestConfigHistory_OfARecordThatComesAndGoes(t *testing.T) {
	w := newRegion(t)
	for i := range 60 {
		w.line(t, fmt.Sprintf("put config:app %d", i))
		w.line(t, "del config:app")
		w.line(t, fmt.Sprintf("compact 1 %d", w.summary(t).Positions.Data))
	}
	records, err := state.History(w.kv, key("config:app"), 0)
	if err != nil || len(records) > record.ConfigVersions+state.TrimEvery {
		t.Errorf("%d versions, %v", len(records), err)
	}
	if n := w.rows(t, record.SpaceDeleted); n != 1 {
		t.Errorf("%d rows list it as deleted", n)
	}
	w.line(t, "put config:app back")
	if n := w.rows(t, record.SpaceDeleted); n != 0 {
		t.Errorf("it lives and %d rows list it as deleted", n)
	}
}

// History of deleted records goes oldest first once the tenant has too much of it, but never what can still be read.
func TestConfigHistory_OfDeletedRecordsHasALimit(t *testing.T) {
	w := newRegion(t)
	value := strings.Repeat("x", 300)
	for i := range 8 {
		w.smallLines(t, fmt.Sprintf("put config:c%d %s", i, value), fmt.Sprintf("del config:c%d", i))
	}
	kept := func() (names []string) {
		for i := range 9 {
			if records, err := state.History(w.kv, key(fmt.Sprintf("config:c%d", i)), 0); err != nil {
				t.Fatal(err)
			} else if len(records) > 0 {
				names = append(names, fmt.Sprint(i))
			}
		}
		return names
	}
	if got := strings.Join(kept(), ""); got != "01234567" {
		t.Errorf("before compaction the histories of %s are there", got)
	}
	w.smallLines(t, "compact 1 17", "put config:c8 "+value, "del config:c8")
	if got := strings.Join(kept(), ""); got != "45678" {
		t.Errorf("after compaction the histories of %s are there", got)
	}
	n, _, err := state.Count(w.kv, 1, 0)
	if err != nil || n.History > 2000 {
		t.Errorf("history of %d bytes, %v", n.History, err)
	}
}

// What Apply makes by hand is what the API's messages are.
func TestTenancyValues_AreMessages(t *testing.T) {
	var tenant pb.Tenant
	if err := proto.Unmarshal(state.TenantValue("acme", [16]byte{1, 15: 0xff}), &tenant); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&tenant, &pb.Tenant{Name: "acme", Uid: "010000000000000000000000000000ff"}) {
		t.Errorf("tenant %v", &tenant)
	}
	var namespace pb.Namespace
	if err := proto.Unmarshal(state.NamespaceValue("acme", "prod"), &namespace); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&namespace, &pb.Namespace{Tenant: "acme", Name: "prod"}) {
		t.Errorf("namespace %v", &namespace)
	}
}

// A burst of versions that ends below the floor is trimmed by the purge alone, whatever the revisions it fell on.
func TestConfigHistory_PurgeEndsABurst(t *testing.T) {
	for records := range 3 { // written in turns
		w := newRegion(t)
		for i := range 400 {
			w.line(t, fmt.Sprintf("put config:app%d %d", i%(records+1), i))
		}
		w.line(t, "put config:last 1")
		w.line(t, fmt.Sprintf("compact 1 %d", w.summary(t).Positions.Data))
		w.line(t, "purge 1 1000")
		for i := range records + 1 {
			history, err := state.History(w.kv, key(fmt.Sprintf("config:app%d", i)), 0)
			if err != nil || len(history) != record.ConfigVersions {
				t.Errorf("%d of %d in turns: %d versions, %v", i, records+1, len(history), err)
			}
		}
	}
}
