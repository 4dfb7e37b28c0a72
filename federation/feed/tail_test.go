package feed

import (
	"fmt"
	"slices"
	"testing"

	"supercluster/region/state"
)

// shownBy are the records of a tail and where it begins.
func shownBy(t *Tail) string {
	s := fmt.Sprint(t.from.Sequence, t.at.Sequence)
	for _, row := range t.rows {
		s += fmt.Sprintf(" %d:%x", row.Sequence, row.Record)
	}
	return s
}

// nextTail gives the tail of the first region's channel after the one before.
func nextTail(t *testing.T, m *model, before *Tail) *Tail {
	t.Helper()
	next, err := m.server(0).Tail(m.nodes[0].kv, regionID(0), 1, before, m.now)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// A tail goes on in the memory of the one before, and none of those that somebody still reads changes.
func TestTail_NeverChangesWhileOthersFollow(t *testing.T) {
	m := quiet(t)
	var all []*Tail
	var said []string
	at := nextTail(t, m, nil)
	moved := 0
	for i := range 400 {
		m.put(0, fmt.Sprintf("web/%d", i%7), make([]byte, 300))
		next := nextTail(t, m, at)
		if len(at.rows) > 0 && len(next.rows) > 1 && &next.rows[len(next.rows)-2] != &at.rows[len(at.rows)-1] {
			moved++
		}
		at = next
		all, said = append(all, at), append(said, shownBy(at))
		if at.bytes > maxTailBytes {
			t.Fatalf("the tail holds %d bytes", at.bytes)
		}
	}
	for i := range all {
		if got := shownBy(all[i]); got != said[i] {
			t.Fatalf("tail %d was %s and is %s", i, said[i], got)
		}
	}
	if moved == 0 || moved > 20 {
		t.Errorf("the rows were copied %d times for 400 changes", moved)
	}
	home, _, err := state.FeedStateOf(m.nodes[0].kv, state.AliasSelf, 1)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := state.FeedLog(m.nodes[0].kv, state.AliasSelf, 1, &home, at.from.Sequence, 1<<30)
	if err != nil || !slices.EqualFunc(rows, at.rows, func(a, b state.FeedLogEntry) bool {
		return a.Sequence == b.Sequence && string(a.Record) == string(b.Record)
	}) {
		t.Errorf("the tail has %d records, the log %d (%v)", len(at.rows), len(rows), err)
	}
}

// Two that are made from one have memory of their own behind it.
func TestTail_TwoFromOneDoNotShareWhatIsBehindIt(t *testing.T) {
	m := quiet(t)
	at := nextTail(t, m, nil)
	for i := range 3 { // so that there is room behind the rows
		m.put(0, fmt.Sprintf("web/%d", i), []byte("x"))
		at = nextTail(t, m, at)
	}
	if cap(at.rows) == len(at.rows) {
		t.Fatal("there is no room behind the rows")
	}
	m.put(0, "web/4", []byte("x"))
	a, b := nextTail(t, m, at), nextTail(t, m, at)
	if last := len(a.rows) - 1; &a.rows[last] == &b.rows[last] {
		t.Error("two tails have one row")
	}
	if shownBy(a) != shownBy(b) {
		t.Errorf("%s is not %s", shownBy(a), shownBy(b))
	}
}
