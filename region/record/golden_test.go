package record_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"supercluster/region/record"
)

var update = flag.Bool("update", false, "write the golden files; an old line may never change, only new ones may come")

// golden is one line of a golden file: what bytes a value has, and how it is read back.
type golden struct {
	name   string
	bytes  []byte
	value  any
	decode func(b []byte) (any, error)
}

// checkGolden compares with testdata/<file>, one `name hex` on a line, and decodes the bytes of the file: what was once
// written must be read for ever.
func checkGolden(t *testing.T, file string, lines []golden) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		var b strings.Builder
		for _, l := range lines {
			fmt.Fprintf(&b, "%s %x\n", l.name, l.bytes)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stored := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(stored) != len(lines) {
		t.Fatalf("%s has %d lines, not %d; run with -update after adding one", file, len(stored), len(lines))
	}
	for i, l := range lines {
		name, digits, _ := strings.Cut(stored[i], " ")
		b, err := hex.DecodeString(digits)
		if err != nil || name != l.name {
			t.Fatalf("%s line %d: %q, %v; want %q", file, i+1, name, err, l.name)
		}
		if !bytes.Equal(b, l.bytes) {
			t.Errorf("%s %s is encoded as\n%x, stored is\n%x", file, name, l.bytes, b)
		}
		if l.decode == nil {
			continue
		}
		if got, err := l.decode(b); err != nil || !reflect.DeepEqual(got, l.value) {
			t.Errorf("%s %s is read as\n%+v (%v), want\n%+v", file, name, got, err, l.value)
		}
	}
}

var (
	goldenTime   = int64(1_700_000_000_123_456_789)
	goldenWriter = record.Writer{Time: goldenTime, Actor: "ada", Message: "first"}
	goldenTrace  = record.Trace{TraceID: [16]byte{1, 2, 15: 3}, SpanID: [8]byte{4, 7: 5}, Flags: 1}
	goldenKey    = record.Key{Shard: 1, Tenant: 2, Namespace: 3, Kind: record.KindInstance, Scope: record.ScopeRegion, Name: "web/1"}
	goldenOrigin = record.Origin{Home: [16]byte{9, 15: 8}, OwnerEpoch: 2, HomeRevision: 300, FeedSequence: 70000}
)

func versionKey(name string, k record.Key, revision uint64) golden {
	type pair struct {
		key      record.Key
		revision uint64
	}
	return golden{name, record.AppendVersionKey(nil, k, revision), pair{k, revision}, func(b []byte) (any, error) {
		k, revision, err := record.DecodeVersionKey(b)
		return pair{k, revision}, err
	}}
}

func TestGolden_Keys(t *testing.T) {
	named := func(name string) record.Key {
		k := goldenKey
		k.Name = name
		return k
	}
	plain := func(name string, b []byte) golden { return golden{name: name, bytes: b} }
	orphan := record.Orphan{Tenant: 2, Namespace: 3, Revision: 77}
	checkGolden(t, "keys.golden", []golden{
		versionKey("version", goldenKey, 1),
		versionKey("version-system", record.Key{Kind: record.KindTenant, Name: "default"}, 2),
		versionKey("version-largest", record.Key{
			Shard: ^uint32(0), Tenant: ^uint32(0), Namespace: ^uint32(0), Kind: ^record.Kind(0), Scope: ^uint32(0), Name: "\xff",
		}, ^uint64(0)),
		versionKey("version-no-name", named(""), 258),
		versionKey("version-nul", named("\x00"), 258),
		versionKey("version-nul-inside", named("a\x00\x01b\x00"), 258),
		versionKey("version-utf8", named("schön"), 258),
		plain("transaction", record.AppendTransactionKey(nil, 1, 258)),
		plain("head", record.HeadKey()),
		plain("identity", record.IdentityKey()),
		{"orphan", record.AppendOrphanKey(nil, orphan), orphan, func(b []byte) (any, error) { return record.DecodeOrphanKey(b) }},
		plain("request-head", record.AppendRequestHeadKey(nil, 2)),
		plain("request", record.AppendRequestKey(nil, 2, "id-1")),
		plain("request-age", record.AppendRequestAgeKey(nil, 2, 258)),
		plain("window", record.AppendWindowKey(nil, 3, record.WindowSize+5)),
		plain("counters", record.AppendCountersKey(nil, 2, 3)),
		plain("alarm", record.AppendAlarmKey(nil, record.AlarmNoSpace, 3)),
		plain("deleted", record.AppendDeletedKey(nil, 258, goldenKey)),
	})
}

func versionRow(name string, r record.Record, ordinal uint64) golden {
	return golden{name, record.AppendVersion(nil, &r, ordinal), r, func(b []byte) (any, error) {
		var got record.Record
		at, err := record.DecodeVersion(b, &got)
		if at != ordinal {
			return nil, fmt.Errorf("ordinal %d, not %d", at, ordinal)
		}
		return got, err
	}}
}

func TestGolden_Rows(t *testing.T) {
	row := func(name string, b []byte, value any, decode func([]byte) (any, error)) golden {
		return golden{name, b, value, decode}
	}
	tr := record.Transaction{
		Writer: goldenWriter, Trace: goldenTrace, RequestID: "id-1", Home: [16]byte{9},
		HomePosition: record.Position{Shard: 1, Revision: 12},
		Changes: []record.Change{
			{Type: record.EventPut, Key: goldenKey, Previous: 300}, {Type: record.EventDelete, Key: record.Key{Name: "\x00"}},
		},
	}
	small := record.Transaction{Changes: []record.Change{{Type: record.EventPut, Key: goldenKey}}}
	head := record.Head{
		AppliedIndex: 1000, Level: 1, Positions: record.Positions{System: 3, Data: 400},
		Compacted: record.Positions{Data: 300}, Purged: record.Positions{Data: 200}, NextTenant: 4, NextNamespace: 9,
		Clock:  record.Clock{Term: 7, Owner: 2, Sequence: 12, Now: 5e9},
		Alarms: 2, Proposers: []record.Proposer{{Replica: 1, Boot: 3}, {Replica: 2, Boot: 1}},
	}
	id := record.Identity{RegionID: [16]byte{1, 15: 2}, Name: "dc1"}
	n := record.Counters{Keys: 1, Bytes: 200, History: 70000, MaxKeys: 10, MaxBytes: 1 << 30}
	g := record.Group{Sequence: 9, Before: record.Positions{System: 2, Data: 300}, Outcomes: []byte{0x80, 0xc0, 3}}
	request := record.Request{Order: 5, Revision: 300, Outcome: 0x80}
	requests := record.RequestHead{Next: 6, Count: 2, Horizon: 299}
	age := record.RequestAge{Time: 5e9, Data: 300, ID: "id-1"}
	lived := goldenOrigin
	lived.Incarnation = 3
	checkGolden(t, "rows.golden", []golden{
		versionRow("version", record.Record{CreateRevision: 2, Version: 1, Value: []byte("value")}, 0),
		versionRow("version-empty", record.Record{CreateRevision: 300, Version: 128}, 0),
		versionRow("version-tombstone", record.Record{Deleted: true}, 0),
		versionRow("version-config", record.Record{
			CreateRevision: 2, Version: 3, Value: []byte("{}"), Attributes: record.Attributes{Format: 1, Writer: goldenWriter},
		}, 7),
		versionRow("version-everything", record.Record{
			CreateRevision: 2, Version: 3, Lease: 4, Origin: goldenOrigin, Value: []byte{0}, Deleted: true,
			Attributes: record.Attributes{Format: 2, Flags: 1 << 40, LockIndex: 5, Session: "s", Writer: goldenWriter},
		}, 7),
		versionRow("version-origin-of-an-incarnation", record.Record{CreateRevision: 2, Version: 3, Origin: lived, Value: []byte("v")}, 0),
		row("transaction", record.AppendTransaction(nil, &tr), tr, func(b []byte) (any, error) { return record.DecodeTransaction(b) }),
		row("transaction-small", record.AppendTransaction(nil, &small), small, func(b []byte) (any, error) { return record.DecodeTransaction(b) }),
		row("head", record.AppendHead(nil, &head), head, func(b []byte) (any, error) { return record.DecodeHead(b) }),
		row("identity", record.AppendIdentity(nil, &id), id, func(b []byte) (any, error) { return record.DecodeIdentity(b) }),
		row("counters", record.AppendCounters(nil, &n), n, func(b []byte) (any, error) { return record.DecodeCounters(b) }),
		row("window", record.AppendGroup(nil, &g), g, func(b []byte) (any, error) { return record.DecodeGroup(b) }),
		row("request", record.AppendRequest(nil, &request), request, func(b []byte) (any, error) { return record.DecodeRequest(b) }),
		row("request-head", record.AppendRequestHead(nil, &requests), requests, func(b []byte) (any, error) { return record.DecodeRequestHead(b) }),
		row("request-age", record.AppendRequestAge(nil, &age), age, func(b []byte) (any, error) { return record.DecodeRequestAge(b) }),
		{name: "mark", bytes: record.Mark()},
	})
}

// goldenOps is one operation of every type, and a transaction with everything in it.
func goldenOps() []record.Op {
	rng := record.Range{Shard: 1, Tenant: 2, Namespace: 3, Kind: record.KindConfig, Scope: 0, From: "a", To: "b", Limit: 300}
	keys, count := rng, rng
	keys.KeysOnly, count.CountOnly = true, true
	tenancy := &record.Tenancy{Tenant: "acme", UID: [16]byte{1}, Value: []byte{2}, Writer: goldenWriter, Trace: goldenTrace}
	namespace := &record.Tenancy{Tenant: "acme", Namespace: "prod"}
	return []record.Op{
		{Type: record.OpTxn, Tenant: 2, RequestID: "id-1", Seen: 300, Txn: &record.Txn{
			Shard: 1,
			Compare: []record.Compare{
				{Key: goldenKey, Target: record.CompareModifyRevision, Operator: record.CompareEqual, Number: 300},
				{Key: goldenKey, Target: record.CompareValue, Operator: record.CompareLess, Value: []byte("v")},
			},
			Then: []record.TxnOp{
				{
					Type: record.TxnPut, Key: goldenKey, Value: []byte("value"), Lease: 5, Previous: true, IgnoreLease: true,
					Attributes: record.Attributes{Format: 1, Flags: 2, LockIndex: 3, Session: "s"},
				},
				{Type: record.TxnDelete, Key: goldenKey, Previous: true},
				{Type: record.TxnDeleteRange, Range: rng},
			},
			Else:   []record.TxnOp{{Type: record.TxnGet, Key: goldenKey}, {Type: record.TxnRange, Range: keys}, {Type: record.TxnRange, Range: count}},
			Writer: goldenWriter, Trace: goldenTrace,
		}},
		{Type: record.OpTxn, Txn: &record.Txn{Shard: 1, Then: []record.TxnOp{{Type: record.TxnPut, Key: goldenKey, IgnoreValue: true}}}},
		{Type: record.OpCompact, Compact: &record.Compact{Shard: 1, Revision: 300}},
		{Type: record.OpPurge, Purge: &record.Purge{Shard: 1, Changes: 1000}},
		{Type: record.OpClaim, Claim: &record.Claim{Term: 7, Replica: 2}},
		{Type: record.OpTick, Tick: &record.Tick{Term: 7, Sequence: 1, DeltaNanos: 1e9}},
		{Type: record.OpCreateTenant, Tenancy: tenancy},
		{Type: record.OpDeleteTenant, Tenancy: &record.Tenancy{Tenant: "acme"}},
		{Type: record.OpCreateNamespace, Tenancy: namespace},
		{Type: record.OpDeleteNamespace, Tenancy: namespace},
		{Type: record.OpAlarm, Alarm: &record.Alarm{Kind: record.AlarmNoSpace, Replica: 3, Raised: true}},
		{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1, 15: 2}, Name: "dc1"}},
	}
}

func TestGolden_Entries(t *testing.T) {
	names := []string{
		"txn", "put", "compact", "purge", "claim", "tick", "create-tenant", "delete-tenant", "create-namespace",
		"delete-namespace", "alarm", "identity",
	}
	line := func(name string, ops ...record.Op) golden {
		e := record.Entry{Level: 1, Replica: 3, Boot: 2, Sequence: 300, Time: goldenTime, Ops: ops}
		b, err := record.AppendEntry(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		return golden{name, b, ops, func(b []byte) (any, error) {
			got, err := record.DecodeEntry(b)
			if err != nil {
				return nil, err
			}
			if got.Level != 1 || got.Replica != 3 || got.Boot != 2 || got.Sequence != 300 || got.Time != goldenTime {
				return nil, fmt.Errorf("head is %+v", got)
			}
			return got.Ops, nil
		}}
	}
	lines := []golden{line("all", goldenOps()...), line("none")}
	for i, op := range goldenOps() {
		lines = append(lines, line(names[i], op))
	}
	checkGolden(t, "entries.golden", lines)
}

func TestGolden_Results(t *testing.T) {
	rec := record.Record{
		Key: goldenKey, Value: []byte("value"), CreateRevision: 2, ModifyRevision: 300, Version: 4, Lease: 5,
		Origin: goldenOrigin, Attributes: record.Attributes{Format: 1, Writer: goldenWriter},
	}
	line := func(name string, results ...record.Result) golden {
		if results == nil {
			results = []record.Result{}
		}
		return golden{name, record.AppendResults(nil, results), results, func(b []byte) (any, error) { return record.DecodeResults(b) }}
	}
	checkGolden(t, "results.golden", []golden{
		line("none"),
		line("ok", record.Result{Revision: 300}),
		line("refused", record.Result{Status: record.StatusNoSpace, Detail: "full", Revision: 300}),
		line("created", record.Result{Revision: 3, ID: 7}, record.Result{Revision: 3, ID: 7, Duplicate: true}),
		line("txn", record.Result{Revision: 301, Txn: &record.TxnResult{Succeeded: true, Ops: []record.TxnOpResult{
			{Records: []record.Record{rec}, Count: 1},
			{Records: []record.Record{{Key: record.Key{Name: "\x00"}, Deleted: true}}, Count: 70000, More: true},
			{},
		}}}, record.Result{Txn: &record.TxnResult{}}),
		line("not-home", record.Result{Status: record.StatusNotHome, Detail: "elsewhere", Revision: 300}),
		line("fenced", record.Result{Status: record.StatusFenced, Detail: "heals", Revision: 300}),
	})
}

func TestGolden_SnapshotStream(t *testing.T) {
	rows := [][2]string{{"a", "1"}, {"a\x00", ""}, {"b", strings.Repeat("x", 40)}}
	write := func(rows [][2]string) []byte {
		var b bytes.Buffer
		w := record.NewSnapshotWriter(&b, 1)
		for _, r := range rows {
			if err := w.Add([]byte(r[0]), []byte(r[1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	read := func(b []byte) (any, error) {
		var got [][2]string
		err := record.ReadSnapshot(bytes.NewReader(b), func(key, value []byte) error {
			got = append(got, [2]string{string(key), string(value)})
			return nil
		})
		return got, err
	}
	checkGolden(t, "snapshots.golden", []golden{
		{"empty", write(nil), [][2]string(nil), read},
		{"three-rows", write(rows), rows, read},
	})
}
