package state_test

import (
	"fmt"
	"strings"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// world is one replica over the in-memory twin.
type world struct {
	kv      *state.Memory
	scratch state.Scratch // of all entries
	index   uint64
	// commits are all that was applied.
	commits []record.Commit

	keep bool // remember what is applied, for the corpus
	kept []record.Entry
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return &world{kv: state.NewMemory()}
}

// newRegion is a world whose first entry was applied: tenant and namespace `default` are there.
func newRegion(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.apply(t, &record.Entry{Level: 1, Ops: []record.Op{{
		Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"},
	}}})
	return w
}

// apply sends an entry through its encoding, as the log does, and checks what holds for every outcome.
func (w *world) apply(t testing.TB, e *record.Entry) state.Outcome {
	t.Helper()
	b, err := record.AppendEntry(nil, e)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := record.DecodeEntry(b)
	if err != nil {
		t.Fatal(err)
	}
	w.index++
	if w.keep {
		w.kept = append(w.kept, *e)
	}
	out, err := w.scratch.Apply(w.kv, w.index, decoded)
	if err != nil {
		t.Fatal(err)
	}
	w.commits = append(w.commits, out.Commits...)
	if len(out.Results) != len(e.Ops) {
		t.Fatalf("%d results of %d operations", len(out.Results), len(e.Ops))
	}
	for i, r := range out.Results {
		if r.Status != record.StatusOK && r.Detail == "" {
			t.Errorf("operation %d ended with status %d and no text", i, r.Status)
		}
	}
	return out
}

// ops applies operations in an entry that has no proposer.
func (w *world) ops(t testing.TB, ops ...record.Op) state.Outcome {
	t.Helper()
	return w.apply(t, &record.Entry{Level: record.LevelNeeded(ops), Ops: ops})
}

// op applies one operation and gives its result.
func (w *world) op(t testing.TB, op record.Op) record.Result {
	t.Helper()
	return w.ops(t, op).Results[0]
}

// line applies an operation in the words of the scripts.
func (w *world) line(t testing.TB, line string) record.Result {
	t.Helper()
	return w.op(t, mustParse(t, line))
}

func mustParse(t testing.TB, line string) record.Op {
	t.Helper()
	op, err := parseOp(line)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

func (w *world) hash(t testing.TB) []byte {
	t.Helper()
	sum, err := state.Hash(w.kv)
	if err != nil {
		t.Fatal(err)
	}
	return sum[:6]
}

func (w *world) summary(t testing.TB) state.Summary {
	t.Helper()
	s, err := state.Summarize(w.kv)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rows counts the rows of a space.
func (w *world) rows(t testing.TB, space record.Space) int {
	t.Helper()
	it, err := w.kv.Scan([]byte{space}, []byte{space + 1}, false)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for it.Next() {
		n++
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return n
}

var statusNames = [...]string{
	"ok", "invalid", "too-large", "not-found", "exists", "not-empty", "compacted", "future", "no-space",
	"idempotency-expired", "stale", "quota", "denied", "not-home", "fenced",
}

func formatResult(r record.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s @%d", statusNames[r.Status], r.Revision)
	if r.Detail != "" {
		fmt.Fprintf(&b, " %q", r.Detail)
	}
	if r.Duplicate {
		b.WriteString(" duplicate")
	}
	if r.ID != 0 {
		fmt.Fprintf(&b, " id=%d", r.ID)
	}
	if r.Txn == nil {
		return b.String()
	}
	fmt.Fprintf(&b, " succeeded=%v", r.Txn.Succeeded)
	for _, op := range r.Txn.Ops {
		fmt.Fprintf(&b, " [%d", op.Count)
		for _, rec := range op.Records {
			b.WriteString(" " + formatRecord(rec))
		}
		if op.More {
			b.WriteString(" more")
		}
		b.WriteString("]")
	}
	return b.String()
}

func formatRecord(r record.Record) string {
	k := r.Key
	name := fmt.Sprintf("%d/%d.%d/%d/%d/%q", k.Shard, k.Tenant, k.Namespace, k.Kind, k.Scope, k.Name)
	if r.Deleted {
		return fmt.Sprintf("%s deleted mod=%d%s", name, r.ModifyRevision, formatAttributes(r.Attributes))
	}
	return fmt.Sprintf("%s=%q create=%d mod=%d version=%d%s%s", name, r.Value, r.CreateRevision, r.ModifyRevision, r.Version,
		formatAttributes(r.Attributes), formatOrigin(r.Origin))
}

func formatOrigin(o record.Origin) string {
	if o == (record.Origin{}) {
		return ""
	}
	return fmt.Sprintf(" from region %d epoch=%d mod=%d feed=%d", o.Home[0], o.OwnerEpoch, o.HomeRevision, o.FeedSequence)
}

func formatAttributes(a record.Attributes) string {
	if a == (record.Attributes{}) {
		return ""
	}
	return fmt.Sprintf(" {format=%d flags=%d by %q at %d}", a.Format, a.Flags, a.Writer.Actor, a.Writer.Time)
}

func formatRecords(records []record.Record) string {
	var b strings.Builder
	for _, r := range records {
		b.WriteString(formatRecord(r) + "\n")
	}
	return b.String()
}

func formatCommits(commits []record.Commit) string {
	var b strings.Builder
	for _, c := range commits {
		fmt.Fprintf(&b, "commit %d@%d by %q at %d", c.Position.Shard, c.Position.Revision, c.Writer.Actor, c.Writer.Time)
		if c.RequestID != "" {
			fmt.Fprintf(&b, " request %q", c.RequestID)
		}
		if c.Trace != (record.Trace{}) {
			fmt.Fprintf(&b, " trace %x", c.Trace.TraceID[:2])
		}
		b.WriteString("\n")
		for _, e := range c.Events {
			verb := "put"
			if e.Type == record.EventDelete {
				verb = "delete"
			}
			fmt.Fprintf(&b, "  %s %s previous=%d\n", verb, formatRecord(e.Record), e.Previous)
		}
	}
	return b.String()
}

func formatSummary(s state.Summary) string {
	return fmt.Sprintf("applied=%d at=%+v compacted=%+v purged=%+v\nclock=%+v alarms=%+v region=%x %q level=%d\nkeys=%d bytes=%d history=%d\n",
		s.AppliedIndex, s.Positions, s.Compacted, s.Purged, s.Clock, s.Alarms, s.RegionID, s.RegionName, s.FeatureLevel,
		s.Keys, s.Bytes, s.HistoryBytes)
}
