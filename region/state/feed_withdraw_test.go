package state_test

import (
	"fmt"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// kept is the operation by which a channel is kept from the receiver, by a document of a generation for some regions.
func (s *source) kept(generation uint64, audience ...[16]byte) record.Op {
	doc := record.ChannelDocument{Region: s.region, Channel: record.Channel{
		ID: s.channel, Class: record.ClassServices, Projection: record.ProjectionFull, Generation: generation, Audience: audience,
	}}
	return record.Op{Type: record.OpWithdraw, Withdraw: &record.Withdraw{
		RegionID: s.region, Channel: s.channel, Document: record.AppendChannelDocument(nil, &doc),
	}}
}

// What came of a channel goes in steps, with its log, once its home keeps it from this region; and comes back from the
// beginning when it does no longer.
func TestWithdraw(t *testing.T) {
	withdrawHistory(t)
}

// withdrawEntries is what a region applied that was taken out of an audience, and into it again.
func withdrawEntries(t *testing.T) []record.Entry { return proposed(withdrawHistory(t).kept) }

func withdrawHistory(t *testing.T) *world {
	t.Helper()
	w, s := newWorld(t), newSource(2, uint32(record.ClassServices))
	w.keep = true
	w.ok(t, "identity 1 dc1")
	w.receives(t)
	w.take(t, s.snapshot()...)
	for i := range 7 {
		w.take(t, s.one(put(fmt.Sprint("service:s", i), "v")))
	}
	self, other := regionID(1), regionID(9)
	w.refused(t, s.kept(2, other, self), record.StatusInvalid, "does not keep")
	w.refused(t, s.kept(2), record.StatusInvalid, "does not keep")
	w.refused(t, newSource(2, 77).kept(2, other), record.StatusNotFound, "not here")
	w.refused(t, newSource(8, 3).kept(2, other), record.StatusNotFound, "not known")
	w.take(t, s.kept(1<<32|2, other))
	w.refused(t, s.kept(1<<32|2, other), record.StatusStale, "not older")
	if steps := w.walkAll(t, 3); steps != 3 {
		t.Errorf("%d steps of 3 records for 7", steps)
	}
	alias, st := w.feedState(t, 2, 3)
	if st.Records != 0 || st.Digest != (record.Digest{}) || st.Walking || st.Position != (record.FeedPosition{Incarnation: 1}) || len(st.Head) > 0 {
		t.Errorf("the channel is %+v", st)
	}
	for i := range 7 {
		if got := w.shown(t, fmt.Sprint("s", i), 0); got != "" {
			t.Errorf("s%d is %q", i, got)
		}
	}
	it, err := w.kv.Scan(record.AppendFeedLogKey(nil, alias, 3, 0), record.AppendFeedLogKey(nil, alias, 4, 0), false)
	if err != nil {
		t.Fatal(err)
	}
	if it.Next() {
		t.Error("its log is still here")
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	late := s.clone()
	w.refused(t, late.one(put("service:s0", "late")), record.StatusStale, "stands at")

	s.set(put("service:s0", "again"))
	s.at.Sequence++
	back := s.snapshot()
	doc := record.ChannelDocument{Region: s.region, Channel: record.Channel{ID: 3, Class: record.ClassServices, Projection: record.ProjectionFull, Generation: 1<<32 | 3}}
	back[0].Replace.Document = record.AppendChannelDocument(nil, &doc)
	w.take(t, back...)
	w.take(t, s.one(put("service:s1", "later")))
	if w.shown(t, "s0", 0) != "again" || w.shown(t, "s1", 0) != "later" || w.shown(t, "s6", 0) != "v" {
		t.Error("the channel did not come back")
	}
	if steps := w.walkAll(t, 3); steps != 0 {
		t.Errorf("%d steps afterwards", steps)
	}
	return w
}

// A record that two channels carry stays as long as one of them is for this region.
func TestWithdraw_AnotherChannelCarriesIt(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	second := newSource(2, 33)
	w.take(t, second.snapshot()...)
	w.take(t, s.one(put("service:a", "v")), s.one(put("service:b", "v")), second.one(put("service:a", "v")))
	w.take(t, s.kept(1<<32|2, regionID(9)))
	w.walkAll(t, 10)
	if a, b := w.shown(t, "a", 0), w.shown(t, "b", 0); a != "v" || b != "" {
		t.Errorf("a is %q, b is %q", a, b)
	}
}

// Entries of a version that knew of no withdrawal do what they did there.
func TestWithdraw_OldWalksShow(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "v")))
	w.take(t, s.kept(1<<32|2, regionID(9)))
	_, st := w.feedState(t, 2, 3)
	walk := record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: s.region, Channel: 3, Step: st.Step, From: st.Next, Limit: 10}}
	w.apply(t, &record.Entry{Level: 2, Ops: []record.Op{walk}})
	if w.shown(t, "a", 0) != "v" {
		t.Error("an entry of level 2 hid a record")
	}
	if _, found, err := state.ReadFederation(w.kv); err != nil || !found {
		t.Error(found, err)
	}
}
