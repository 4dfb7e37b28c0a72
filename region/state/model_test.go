package state_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// model is a naive store with all its history.
type model struct {
	revision  uint64
	compacted uint64
	purged    bool
	versions  map[record.Key][]record.Record // oldest first, tombstones included
	commits   []record.Commit                // revision 2 first
}

func newModel() *model { return &model{revision: 1, versions: map[record.Key][]record.Record{}} }

// at gives the record as of a revision.
func (m *model) at(k record.Key, revision uint64) (record.Record, bool) {
	var found record.Record
	for _, v := range m.versions[k] {
		if v.ModifyRevision <= revision {
			found = v
		}
	}
	return found, found.ModifyRevision != 0 && !found.Deleted
}

// live gives the records of a range as of a revision, in name order.
func (m *model) live(rng record.Range, revision uint64) (records []record.Record) {
	for k := range m.versions {
		inside := k.Kind == rng.Kind && k.Name >= rng.From && (rng.To == "" || k.Name < rng.To)
		if r, ok := m.at(k, revision); ok && inside {
			records = append(records, r)
		}
	}
	sort.Slice(records, func(i, j int) bool { return records[i].Key.Name < records[j].Key.Name })
	return records
}

// run applies a transaction and gives the expected answer.
func (m *model) run(t *record.Txn) *record.TxnResult {
	holds := true
	for _, c := range t.Compare {
		r, found := m.at(c.Key, m.revision)
		holds = holds && m.holds(c, r, found)
	}
	list := t.Then
	if !holds {
		list = t.Else
	}
	m.revision++
	res := &record.TxnResult{Succeeded: holds}
	var events []record.Event
	for i := range list {
		a, changes := m.runOp(&list[i])
		res.Ops = append(res.Ops, a)
		events = append(events, changes...)
	}
	if len(events) == 0 {
		m.revision--
		return res
	}
	m.commits = append(m.commits, record.Commit{
		Position: record.Position{Shard: 1, Revision: m.revision}, Writer: t.Writer, Events: events,
	})
	return res
}

func (m *model) holds(c record.Compare, r record.Record, found bool) bool {
	if !found {
		r = record.Record{}
	}
	var order int
	switch c.Target {
	case record.CompareModifyRevision:
		order = int(r.ModifyRevision) - int(c.Number)
	case record.CompareCreateRevision:
		order = int(r.CreateRevision) - int(c.Number)
	case record.CompareVersion:
		order = int(r.Version) - int(c.Number)
	case record.CompareValue:
		if !found {
			return false
		}
		order = bytes.Compare(r.Value, c.Value)
	}
	return map[record.CompareOperator]bool{
		record.CompareEqual: order == 0, record.CompareNotEqual: order != 0, record.CompareGreater: order > 0,
		record.CompareLess: order < 0,
	}[c.Operator]
}

func (m *model) runOp(op *record.TxnOp) (a record.TxnOpResult, events []record.Event) {
	before, found := m.at(op.Key, m.revision)
	switch op.Type {
	case record.TxnPut:
		if op.Previous && found {
			a.Records = []record.Record{before}
		}
		r := record.Record{Key: op.Key, Value: op.Value, CreateRevision: m.revision, ModifyRevision: m.revision, Version: 1}
		if found {
			r.CreateRevision, r.Version = before.CreateRevision, before.Version+1
		}
		r.Attributes = op.Attributes
		events = append(events, m.write(r))
	case record.TxnDelete:
		if found {
			a.Count = 1
			if op.Previous {
				a.Records = []record.Record{before}
			}
			events = append(events, m.write(record.Record{Key: op.Key, ModifyRevision: m.revision, Deleted: true}))
		}
	case record.TxnDeleteRange:
		for _, r := range m.live(op.Range, m.revision) {
			a.Count++
			if op.Previous {
				a.Records = append(a.Records, r)
			}
			events = append(events, m.write(record.Record{Key: r.Key, ModifyRevision: m.revision, Deleted: true}))
		}
	case record.TxnGet:
		if found {
			a.Count, a.Records = 1, []record.Record{before}
		}
	case record.TxnRange:
		res := m.readRange(op.Range, m.revision)
		a = record.TxnOpResult(res)
	}
	return a, events
}

func (m *model) write(r record.Record) record.Event {
	e := record.Event{Type: record.EventPut, Record: r}
	if r.Deleted {
		e.Type = record.EventDelete
	}
	if all := m.versions[r.Key]; len(all) > 0 {
		e.Previous = all[len(all)-1].ModifyRevision
	}
	m.versions[r.Key] = append(m.versions[r.Key], r)
	return e
}

func (m *model) readRange(rng record.Range, revision uint64) (res record.RangeResult) {
	res.Records = m.live(rng, revision)
	res.Count = uint64(len(res.Records))
	if rng.CountOnly {
		res.Records = nil
		return res
	}
	if rng.Limit > 0 && len(res.Records) > rng.Limit {
		res.Records, res.More = res.Records[:rng.Limit], true
	}
	for i := range res.Records {
		if rng.KeysOnly {
			res.Records[i].Value = nil
		}
	}
	return res
}

// Generators: few keys, so that everything meets.

var modelKinds = []record.Kind{record.KindService, record.KindConfig}

func drawKey(t *rapid.T) record.Key {
	return record.Key{
		Shard: 1, Tenant: 1, Namespace: 1, Kind: rapid.SampledFrom(modelKinds).Draw(t, "kind"),
		Name: rapid.SampledFrom([]string{"", "\x00", "\x00a", "a", "a\x00", "a\x00\xff", "aa", "b", "\xff"}).Draw(t, "name"),
	}
}

func drawRange(t *rapid.T) record.Range {
	ends := []string{"", "\x00", "a", "a\x00", "b", "\xff"}
	return record.Range{
		Shard: 1, Tenant: 1, Namespace: 1, Kind: rapid.SampledFrom(modelKinds).Draw(t, "kind"),
		From: rapid.SampledFrom(ends).Draw(t, "from"), To: rapid.SampledFrom(ends).Draw(t, "to"),
		Limit:    rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "limit"),
		KeysOnly: rapid.Bool().Draw(t, "keys"), CountOnly: rapid.IntRange(0, 3).Draw(t, "count") == 0,
	}
}

func drawTxn(t *rapid.T) *record.Txn {
	txn := &record.Txn{Shard: 1, Writer: record.Writer{Time: 1, Actor: "ada"}}
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "compares") {
		txn.Compare = append(txn.Compare, record.Compare{
			Key:      drawKey(t),
			Target:   rapid.SampledFrom([]record.CompareTarget{1, 2, 3, 5}).Draw(t, "target"),
			Operator: record.CompareOperator(rapid.IntRange(1, 4).Draw(t, "operator")),
			Number:   uint64(rapid.IntRange(0, 12).Draw(t, "number")), Value: []byte{byte(rapid.IntRange(0, 3).Draw(t, "value"))},
		})
	}
	list := func() (ops []record.TxnOp) {
		for range rapid.IntRange(0, 4).Draw(t, "ops") {
			op := record.TxnOp{Type: record.TxnOpType(rapid.SampledFrom([]int{1, 1, 1, 2, 3, 4, 5}).Draw(t, "type"))}
			op.Previous = rapid.Bool().Draw(t, "previous")
			switch op.Type {
			case record.TxnPut:
				op.Key, op.Value = drawKey(t), []byte{byte(rapid.IntRange(0, 3).Draw(t, "value"))}
				op.Attributes.Flags = uint64(rapid.IntRange(0, 1).Draw(t, "flags"))
			case record.TxnDelete, record.TxnGet:
				op.Key = drawKey(t)
			default:
				op.Range = drawRange(t)
				op.Range.Limit = 0
			}
			if op.Type == record.TxnDeleteRange {
				op.Range.KeysOnly, op.Range.CountOnly = false, false
			}
			if fits(append(slices.Clone(ops), op)) {
				ops = append(ops, op)
			}
		}
		return ops
	}
	txn.Then, txn.Else = list(), list()
	return txn
}

// fits reports whether no key is put twice, or put and deleted.
func fits(ops []record.TxnOp) bool {
	for i, put := range ops {
		for j, other := range ops {
			clash := other.Type == record.TxnDelete && other.Key == put.Key ||
				other.Type == record.TxnPut && other.Key == put.Key && i != j ||
				other.Type == record.TxnDeleteRange && other.Range.Kind == put.Key.Kind &&
					put.Key.Name >= other.Range.From && (other.Range.To == "" || put.Key.Name < other.Range.To)
			if put.Type == record.TxnPut && clash {
				return false
			}
		}
	}
	return true
}

// stripWriters removes from config records what only they keep, so that the model needs no notion of it.
func stripWriters(records []record.Record) []record.Record {
	for i := range records {
		records[i].Attributes.Writer = record.Writer{}
	}
	return records
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w, m := newRegion(t), newModel()
		commits := map[uint64]record.Commit{}
		rt.Repeat(map[string]func(*rapid.T){
			"txn": func(rt *rapid.T) {
				txn := drawTxn(rt)
				out := w.ops(t, record.Op{Type: record.OpTxn, Txn: txn})
				want, r := m.run(txn), out.Results[0]
				if r.Status != record.StatusOK || r.Revision != m.revision {
					rt.Fatalf("%s; the model is at %d", formatResult(r), m.revision)
				}
				for i := range r.Txn.Ops {
					stripWriters(r.Txn.Ops[i].Records)
				}
				if got, want := formatResult(r), formatResult(record.Result{Revision: m.revision, Txn: want}); got != want {
					rt.Fatalf("\n got %s\nwant %s", got, want)
				}
				for _, c := range out.Commits {
					commits[c.Position.Revision] = c
				}
			},
			"compact": func(rt *rapid.T) {
				revision := uint64(rapid.IntRange(int(m.compacted), int(m.revision)).Draw(rt, "revision"))
				r := w.line(t, fmt.Sprintf("compact 1 %d", revision))
				if ok := revision > m.compacted; ok != (r.Status == record.StatusOK) {
					rt.Fatalf("compact %d over %d: %s", revision, m.compacted, formatResult(r))
				}
				m.compacted = max(m.compacted, revision)
			},
			"purge": func(rt *rapid.T) {
				w.line(t, fmt.Sprintf("purge 1 %d", rapid.IntRange(0, 6).Draw(rt, "changes")))
				m.purged = true
			},
			"restore": func(*rapid.T) { w.restore(t) },
			"": func(rt *rapid.T) {
				checkReads(rt, w, m)
				checkCommits(rt, w, m, commits)
				checkCounters(rt, w)
			},
		})
	})
}

func checkReads(t *rapid.T, w *world, m *model) {
	revision := uint64(rapid.IntRange(0, int(m.revision)+1).Draw(t, "revision"))
	rng, k := drawRange(t), drawKey(t)
	got, err := state.ReadRange(w.kv, rng, revision)
	rec, found, errGet := state.Get(w.kv, k, revision)
	switch {
	case revision > m.revision:
		if !fault.Is(err, fault.FutureRevision) || !fault.Is(errGet, fault.FutureRevision) {
			t.Fatalf("revision %d of %d: %v, %v", revision, m.revision, err, errGet)
		}
		return
	case revision != 0 && revision < m.compacted:
		e, _ := fault.As(err)
		if !fault.Is(err, fault.Compacted) || !fault.Is(errGet, fault.Compacted) || e.Revision != m.compacted {
			t.Fatalf("revision %d with %d compacted: %v, %v", revision, m.compacted, err, errGet)
		}
		return
	case err != nil || errGet != nil:
		t.Fatal(err, errGet)
	case revision == 0:
		revision = m.revision
	}
	stripWriters(got.Records)
	if want := m.readRange(rng, revision); !reflect.DeepEqual(got, want) {
		t.Fatalf("range %+v at %d:\n got %+v\nwant %+v", rng, revision, got, want)
	}
	want, wanted := m.at(k, revision)
	rec.Attributes.Writer = record.Writer{}
	if found != wanted || found && !reflect.DeepEqual(rec, want) {
		t.Fatalf("get %q at %d: %+v %v; want %+v %v", k.Name, revision, rec, found, want, wanted)
	}
	history, err := state.History(w.kv, k, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := m.versions[k]
	for i, h := range stripWriters(history) {
		if want := all[len(all)-1-i]; !reflect.DeepEqual(h, want) {
			t.Fatalf("history of %q, %d back: %+v; want %+v", k.Name, i, h, want)
		}
	}
	if keep := min(len(all), record.ConfigVersions); k.Kind == record.KindConfig && len(history) < keep {
		t.Fatalf("%d versions of a config record are left, of %d", len(history), len(all))
	}
}

// What is read back from the log is what consumers got when it was applied.
func checkCommits(t *rapid.T, w *world, m *model, given map[uint64]record.Commit) {
	from := uint64(rapid.IntRange(1, int(m.revision)).Draw(t, "from"))
	got, err := state.Commits(w.kv, record.ShardData, from, 0)
	if from < m.revision && from+1 < m.compacted {
		if !fault.Is(err, fault.Compacted) {
			t.Fatalf("commits from %d with %d compacted: %v", from, m.compacted, err)
		}
		return
	}
	if err != nil || uint64(len(got)) != m.revision-from {
		t.Fatalf("%d commits after %d of %d: %v", len(got), from, m.revision, err)
	}
	for i, c := range got {
		if want := given[from+1+uint64(i)]; !reflect.DeepEqual(c, want) {
			t.Fatalf("read back\n%+v\nwas applied as\n%+v", c, want)
		}
		want := m.commits[from+uint64(i)-1]
		for j := range c.Events {
			if m.purged { // a purged tombstone is no previous version any more
				c.Events[j].Previous, want.Events[j].Previous = 0, 0
			}
		}
		if g, x := stripCommit(c), formatCommits([]record.Commit{want}); g != x {
			t.Fatalf("commit\n%s\nof the model\n%s", g, x)
		}
	}
}

func stripCommit(c record.Commit) string {
	c.Events = slices.Clone(c.Events)
	for i := range c.Events {
		c.Events[i].Record.Attributes.Writer = record.Writer{}
	}
	return formatCommits([]record.Commit{c})
}

// checkCounters compares the counters with a count of all rows.
func checkCounters(t *rapid.T, w *world) {
	type place struct{ tenant, namespace uint32 }
	want := map[place]record.Counters{}
	it, err := w.kv.Scan([]byte{record.SpaceVersions}, []byte{record.SpaceVersions + 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	var last record.Key
	for it.Next() {
		k, _, err := record.DecodeVersionKey(it.Key())
		if err != nil {
			t.Fatal(err)
		}
		head, err := record.DecodeVersionHead(it.Value())
		if err != nil {
			t.Fatal(err)
		}
		places := []place{{k.Tenant, 0}, {k.Tenant, k.Namespace}}
		if k.Shard == record.ShardSystem {
			places = []place{{}}
		}
		for _, p := range places {
			n := want[p]
			if size := uint64(len(it.Key()) + len(it.Value())); k == last || head.Deleted {
				n.History += size
			} else {
				n.Keys++
				n.Bytes += size
			}
			want[p] = n
		}
		last = k
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	for p, n := range want {
		if got, _, err := state.Count(w.kv, p.tenant, p.namespace); err != nil || got != n {
			t.Fatalf("counters of %v: %+v, %v; the rows say %+v", p, got, err, n)
		}
	}
}

// restore replaces the rows by those of a snapshot of them; the hash must stay.
func (w *world) restore(t testing.TB) {
	t.Helper()
	before := w.hash(t)
	var stream bytes.Buffer
	if err := state.WriteSnapshot(&stream, w.kv); err != nil {
		t.Fatal(err)
	}
	restored := state.NewMemory()
	if err := state.ReadSnapshot(&stream, restored.Set); err != nil {
		t.Fatal(err)
	}
	w.kv = restored
	if after := w.hash(t); !bytes.Equal(before, after) {
		t.Fatalf("the hash %x became %x", before, after)
	}
}

// Operations give the same results, commits and records whether they come in one entry or in many.
func TestGrouping_DoesNotMatter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		one, many := newRegion(t), newRegion(t)
		var ops []record.Op
		for i := range rapid.IntRange(1, 12).Draw(rt, "n") {
			op := record.Op{Type: record.OpTxn, Txn: drawTxn(rt)}
			if rapid.IntRange(0, 4).Draw(rt, "compacts") == 0 {
				op = mustParse(t, fmt.Sprintf("compact 1 %d", rapid.IntRange(1, i+2).Draw(rt, "at")))
			} else if rapid.Bool().Draw(rt, "named") {
				op.RequestID = rapid.SampledFrom([]string{"r1", "r2", "r3"}).Draw(rt, "id")
			}
			ops = append(ops, op)
		}
		all := one.ops(t, ops...)
		var each state.Outcome
		for _, op := range ops {
			out := many.ops(t, op)
			each.Results = append(each.Results, out.Results...)
			each.Commits = append(each.Commits, out.Commits...)
		}
		if a, b := formatOutcome(all), formatOutcome(each); a != b {
			rt.Fatalf("in one entry:\n%s\none by one:\n%s", a, b)
		}
		if a, b := one.hash(t), many.hash(t); !bytes.Equal(a, b) {
			rt.Fatalf("hash %x in one entry, %x one by one", a, b)
		}
	})
}

func formatOutcome(out state.Outcome) string {
	var b strings.Builder
	for _, r := range out.Results {
		b.WriteString(formatResult(r) + "\n")
	}
	return b.String() + formatCommits(out.Commits)
}
