package state_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Many changes in one transaction go through an index; reads among them see them all the same.
func TestTxn_ManyChanges(t *testing.T) {
	w := newRegion(t)
	const n = 100
	txn := &record.Txn{Shard: record.ShardData}
	for i := range n {
		txn.Then = append(txn.Then,
			record.TxnOp{Type: record.TxnPut, Key: key(fmt.Sprintf("k%03d", i)), Value: []byte{byte(i)}},
			record.TxnOp{Type: record.TxnGet, Key: key(fmt.Sprintf("k%03d", i/2))})
	}
	txn.Then = append(txn.Then,
		record.TxnOp{Type: record.TxnRange, Range: record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindService}})
	out := w.ops(t, record.Op{Type: record.OpTxn, Txn: txn})
	answers := out.Results[0].Txn.Ops
	for i := range n {
		if got := answers[2*i+1]; got.Count != 1 || got.Records[0].Value[0] != byte(i/2) {
			t.Fatalf("get %d: %+v", i, got)
		}
	}
	if all := answers[2*n]; all.Count != n || all.Records[n-1].Key.Name != "k099" {
		t.Errorf("the range has %d records", all.Count)
	}
	if len(out.Commits) != 1 || len(out.Commits[0].Events) != n {
		t.Errorf("%d commits", len(out.Commits))
	}
	for i := range txn.Then {
		txn.Then[i].Type = record.TxnDelete
	}
	txn.Then = txn.Then[:2*n]
	if events := w.ops(t, record.Op{Type: record.OpTxn, Txn: txn}).Commits[0].Events; len(events) != n {
		t.Errorf("%d deletes of %d records, each deleted up to three times", len(events), n)
	}
}

// A scope beyond this region's belongs to another one, which alone writes it.
func TestTxn_ScopeOfAnotherRegion(t *testing.T) {
	w := newRegion(t)
	foreign := key("instance:i")
	foreign.Scope = 2
	rng := record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: 2}
	for _, op := range []record.TxnOp{
		{Type: record.TxnPut, Key: foreign}, {Type: record.TxnDelete, Key: foreign}, {Type: record.TxnDeleteRange, Range: rng},
	} {
		checkStatuses(t, w.ops(t, record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: 1, Then: []record.TxnOp{op}}}).Results,
			record.StatusDenied)
	}
}

// A group that comes again answers what it answered, but for what was read and why it was refused.
func TestWindow_AnswersEveryKindOfOperation(t *testing.T) {
	w := newRegion(t)
	e := &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: 7}
	for _, line := range []string{
		"tenant-create acme", "ns-create acme prod", "ns-create acme prod", "put a 1", "del missing", "put config@9.9:x 1",
		"txn if mod(a)=77 then get a else put a 2", "compact 1 2", "purge 1 10", "claim 1 1", "tick 1 1 10", "alarm on 3",
		"put a 3", "ns-delete acme prod", "tenant-delete acme", "alarm off 3", "put node:n x", "tenant-create acme",
	} {
		e.Ops = append(e.Ops, mustParse(t, line))
	}
	first := w.apply(t, e)
	before := w.hash(t)
	second := w.apply(t, e)
	if string(before) != string(w.hash(t)) || len(second.Commits) != 0 {
		t.Error("the group ran again")
	}
	for i, want := range first.Results {
		got := second.Results[i]
		if !got.Duplicate || got.Status != want.Status || got.Revision != want.Revision {
			t.Errorf("operation %d: %s; first %s", i+1, formatResult(got), formatResult(want))
		}
		if want.Txn != nil && (got.Txn == nil || got.Txn.Succeeded != want.Txn.Succeeded) {
			t.Errorf("operation %d: %s; first %s", i+1, formatResult(got), formatResult(want))
		}
	}
	if got, want := second.Results[len(e.Ops)-1].ID, first.Results[len(e.Ops)-1].ID; got != want || want == 0 {
		t.Errorf("the tenant's id is %d, was %d", got, want)
	}
}

// The same name for another group is a broken proposer: it gets no answer that belongs to the first.
func TestWindow_RefusesAnotherGroupOfTheSameName(t *testing.T) {
	w := newRegion(t)
	e := record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: 7, Ops: []record.Op{mustParse(t, "put a 1")}}
	w.apply(t, &e)
	e.Ops = append(e.Ops, mustParse(t, "put b 1"))
	checkStatuses(t, w.apply(t, &e).Results, record.StatusStale, record.StatusStale)
}

// The window of a replica takes WindowSize rows however many groups there were, and a new boot empties it.
func TestWindow_IsBounded(t *testing.T) {
	w := newRegion(t)
	group := func(boot, sequence uint64) {
		w.apply(t, &record.Entry{Level: 1, Replica: 1, Boot: boot, Sequence: sequence})
	}
	for i := range uint64(record.WindowSize + 100) {
		group(1, i+1)
	}
	if n := w.rows(t, record.SpaceWindows); n != record.WindowSize {
		t.Errorf("%d rows", n)
	}
	group(2, 1)
	if n := w.rows(t, record.SpaceWindows); n != 1 {
		t.Errorf("%d rows after a new boot", n)
	}
}

// A deleted tenant leaves no row behind once its deletion is compacted and purged.
func TestPurge_LeavesNothingOfADeletedTenant(t *testing.T) {
	w := newRegion(t)
	for _, line := range []string{
		"tenant-create acme", "tenant=2 req=r1 put config@2.2:c 1", "tenant=2 req=r2 put service@2.2:s 1",
		"del config@2.2:c", "del service@2.2:s", "tenant-delete acme",
	} {
		if r := w.line(t, line); r.Status != record.StatusOK {
			t.Fatal(line, formatResult(r))
		}
	}
	w.line(t, "purge 1 100")
	if n := w.rows(t, record.SpaceRequests); n != 5 {
		t.Errorf("%d rows of request ids went or came before compaction", n)
	}
	w.line(t, "put a 1") // later changes, so that the floors can pass the deletion
	w.line(t, "tenant-create other")
	at := w.summary(t).Positions
	w.line(t, fmt.Sprintf("compact 1 %d", at.Data))
	w.line(t, fmt.Sprintf("compact 0 %d", at.System))
	for range 10 {
		w.line(t, "purge 1 2")
		w.line(t, "purge 0 2")
	}
	for space, want := range map[record.Space]int{
		record.SpaceRequests: 0, record.SpaceDeleted: 0, record.SpaceVersions: 2*2 + 1, record.SpaceCounters: 2*2 + 1,
		record.SpaceTransactions: 2, record.SpaceMeta: 2,
	} {
		if n := w.rows(t, space); n != want {
			t.Errorf("%d rows in space %d, not %d", n, space, want)
		}
	}
	if s := w.summary(t); s.Purged != s.Compacted {
		t.Errorf("purged %+v, compacted %+v", s.Purged, s.Compacted)
	}
}

// Who goes on from before a deletion that was not compacted hears of it, whatever was purged meanwhile.
func TestPurge_LeavesWhatWasNotCompacted(t *testing.T) {
	w := newRegion(t)
	from := w.ok(t, "put a 1").Revision
	w.ok(t, "put b 1")
	w.ok(t, "del a")
	w.ok(t, "put b 2")
	w.ok(t, fmt.Sprintf("compact 1 %d", from))
	w.ok(t, "purge 1 100")
	commits, err := state.Commits(w.kv, record.ShardData, from, 0)
	if err != nil {
		t.Fatal(err)
	}
	copied := map[string]string{"a": "1"}
	for i := range commits {
		for _, e := range commits[i].Events {
			if copied[e.Record.Key.Name] = string(e.Record.Value); e.Type == record.EventDelete {
				delete(copied, e.Record.Key.Name)
			}
		}
	}
	if len(copied) != 1 || copied["b"] != "2" {
		t.Errorf("who followed from revision %d has %v; a is deleted and b is 2", from, copied)
	}
}

func TestSummary_NamesTheAlarms(t *testing.T) {
	w := newRegion(t)
	w.ops(t, mustParse(t, "alarm on 2"), mustParse(t, "alarm on 1"))
	want := []state.Alarm{{Kind: record.AlarmNoSpace, Replica: 1}, {Kind: record.AlarmNoSpace, Replica: 2}}
	if got := w.summary(t).Alarms; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	w.ops(t, mustParse(t, "alarm off 1"), mustParse(t, "alarm off 2"))
	if got := w.summary(t).Alarms; got != nil {
		t.Errorf("%+v", got)
	}
}

func TestCommits_OfAMissingVersionIsCorrupt(t *testing.T) {
	w := newRegion(t)
	w.line(t, "put a 1")
	_ = w.kv.Delete(record.AppendVersionKey(nil, key("a"), 2))
	if _, err := state.Commits(w.kv, record.ShardData, 1, 0); !fault.Is(err, fault.Corrupt) {
		t.Errorf("%v", err)
	}
}

// Apply is total: any entry that decodes gives results, or stops for a reason.
func FuzzApply(f *testing.F) {
	for _, name := range []string{"level1-scripts.txt", "level1-random.txt", "level2-home.txt", "level2-receiver.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", "corpus", name))
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			digits, _, _ := strings.Cut(line, " ")
			b, err := hex.DecodeString(digits)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b[:len(b)-4])
		}
	}
	w := newRegion(f)
	for _, line := range []string{
		"put a 1", "put config:app 1", "tenant-create acme", "claim 1 1", "put a 2", "compact 1 3",
		"peer 2 two", "link 2 9 1", "place 1 1 9 default - 1", "place 1 1 9 default b 2", "channel 0 2 all", "channel 0 4 all",
	} {
		w.line(f, line)
	}
	w.op(f, newSource(2, 2).snapshot()[0])
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := record.Checksum(b)
		e, err := record.DecodeEntry(append(b[:len(b):len(b)], byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)))
		if err != nil {
			return
		}
		kv := w.kv.Snapshot()
		out, err := state.Apply(kv, w.index+1, e)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Results) != len(e.Ops) {
			t.Fatalf("%d results of %d operations", len(out.Results), len(e.Ops))
		}
		if _, err := record.DecodeResults(record.AppendResults(nil, out.Results)); err != nil {
			t.Fatal(err)
		}
	})
}
