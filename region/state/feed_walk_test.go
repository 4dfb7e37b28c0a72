package state_test

import (
	"fmt"
	"testing"

	"supercluster/region/record"
)

// A walk begins again when what is shown changes while it is under way: what it had passed is judged again.
func TestWalk_BeginsAgain(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	for _, name := range []string{"a", "b", "c", "d"} {
		w.take(t, s.one(put("service:"+name, name)))
	}
	step := func() {
		_, st := w.feedState(t, 2, 3)
		w.take(t, record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: s.region, Channel: 3, Step: st.Step, From: st.Next, Limit: 2}})
	}
	w.ok(t, "take 2 x")
	_, before := w.feedState(t, 2, 3)
	step()
	if a, d := w.shown(t, "a", 0), w.shown(t, "d", 0); a != "" || d != "d" {
		t.Fatalf("after one step a is %q, d is %q", a, d)
	}
	w.ok(t, "take 2 a")
	w.refused(t, record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: s.region, Channel: 3, Step: before.Step, Limit: 2}}, record.StatusStale, "does not stand there")
	step()
	step()
	if a, d := w.shown(t, "a", 0), w.shown(t, "d", 0); a != "a" || d != "" {
		t.Errorf("a is %q, d is %q", a, d)
	}
	if _, st := w.feedState(t, 2, 3); st.Walking {
		t.Error("the walk goes on")
	}

	h := newHome(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		h.ok(t, "put instance:"+name+" up")
	}
	own := func() uint64 {
		_, st := h.feedState(t, 1, 4)
		h.take(t, record.Op{Type: record.OpWalk, Walk: &record.Walk{Channel: 4, Step: st.Step, From: st.Next, Limit: 2}})
		_, st = h.feedState(t, 1, 4)
		return st.Records
	}
	h.ok(t, "channel 4 4 all x")
	if n := own(); n != 2 {
		t.Errorf("%d records are left after one step", n)
	}
	h.ok(t, "channel 4 4 all a")
	if n := own(); n != 3 {
		t.Errorf("%d records after one step of the next walk", n)
	}
	if n := own(); n != 1 {
		t.Errorf("%d records at its end", n)
	}
}

// A step is bounded in bytes, and in what it looks at and passes over.
func TestWalk_StepsAreBounded(t *testing.T) {
	large := string(make([]byte, 100<<10))
	h := newHome(t)
	for i := range 6 {
		k := key(fmt.Sprintf("instance:web/%d", i))
		h.take(t, record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: 1, Then: []record.TxnOp{{Type: record.TxnPut, Key: k, Value: []byte(large)}}}})
	}
	h.ok(t, "channel 0 4 other")
	if n := h.walkAll(t, 1000); n != 2 {
		t.Errorf("600 KiB are exported in %d steps", n)
	}
	w, s := connected(t, record.ClassServices)
	for i := range 6 {
		w.take(t, s.one(put(fmt.Sprintf("service:%d", i), large)))
	}
	w.ok(t, "unlink 2 9")
	if n := w.walkAll(t, 1000); n != 2 {
		t.Errorf("600 KiB are hidden in %d steps", n)
	}

	w, s = connected(t, record.ClassServices)
	const many = 4*record.MaxWalk + 100 // records of another region, which a backfill passes over
	var changes []record.FeedChange
	for i := range many {
		changes = append(changes, put(fmt.Sprintf("service:%d", i), "1"))
	}
	w.take(t, s.one(changes...))
	w.ok(t, "put own/a 1")
	w.ok(t, "channel 0 3 all")
	if n := w.walkAll(t, 1000); n != 2 {
		t.Errorf("%d records are passed over in %d steps", many, n)
	}
	if _, st := w.feedState(t, 1, 1); st.Records != 1 {
		t.Errorf("%d records are carried", st.Records)
	}
}
