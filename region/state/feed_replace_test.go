package state_test

import (
	"bytes"
	"fmt"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// filled is a receiver of a channel with the services a to f, and its source.
func filled(t testing.TB) (*world, *source) {
	t.Helper()
	w, s := connected(t, record.ClassServices)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		w.take(t, s.one(put("service:"+name, "1")))
	}
	return w, s
}

// A snapshot makes the channel what its home has: equal records are left alone, absent ones go, and a chunk is one
// revision at most.
func TestReplace_TouchesWhatDiffers(t *testing.T) {
	w, s := filled(t)
	s.set(put("service:b", "2"), del("service:c"), put("service:g", "1"))
	s.at.Sequence += 100 // the log that lies between is gone
	commits := w.take(t, s.snapshot("service:b", "service:d", "service:e")...)
	got := formatCommits(commits)
	want := "" // nothing of a, d and e; g comes with f in the last chunk
	for i, line := range []string{
		`put 1/1.1/16/0/"b"="2" create=3 mod=8 version=7 from region 2 epoch=1 mod=50 feed=106 previous=3`,
		`put 1/1.1/16/0/"g"="1" create=9 mod=9 version=7 from region 2 epoch=1 mod=50 feed=106 previous=0`,
	} {
		deleted := ""
		if i == 0 {
			deleted = "  delete 1/1.1/16/0/\"c\" deleted mod=8 previous=4\n"
		}
		want += fmt.Sprintf("commit 1@%d by \"\" at 0\n%s  %s\n", 8+i, deleted, line)
	}
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	_, st := w.feedState(t, 2, 3)
	if st.Position != s.at || st.FloorSequence != s.at.Sequence || st.LogBytes != 0 {
		t.Errorf("the channel stands at %+v, its floor at %d", st.Position, st.FloorSequence)
	}
	if commits := w.take(t, func() record.Op { s.at.Sequence++; return s.snapshot()[0] }()); len(commits) != 0 {
		t.Errorf("a snapshot of the same made %s", formatCommits(commits))
	}
}

func TestReplace_RefusesWhatDoesNotFit(t *testing.T) {
	w, s := filled(t)
	behind := s.clone()
	behind.at.Sequence = 7
	s.at.Sequence = 8
	s.set(put("service:b", "2"))
	chunks := s.snapshot("service:c", "service:e")
	with := func(at int, change func(*record.Replace)) record.Op {
		b := *chunks[at].Replace
		b.Items = append([]record.FeedItem(nil), b.Items...)
		change(&b)
		return record.Op{Type: record.OpReplace, Replace: &b}
	}
	old := newSource(2, 3)
	invalid := func(name string, at int, change func(*record.Replace)) {
		t.Run(name, func(t *testing.T) { w.refused(t, with(at, change), record.StatusInvalid, "") })
	}
	invalid("items out of order", 0, func(b *record.Replace) { b.Items[0], b.Items[1] = b.Items[1], b.Items[0] })
	invalid("an item twice", 0, func(b *record.Replace) { b.Items[1] = b.Items[0] })
	invalid("an item before the chunk", 0, func(b *record.Replace) { b.From = wireKey("service:b") })
	invalid("an item after the chunk", 0, func(b *record.Replace) { b.To = wireKey("service:b") })
	invalid("an item at the end of the chunk", 1, func(b *record.Replace) { b.Items = append(b.Items, record.FeedItem{Key: b.To}) })
	invalid("an item without a key", 0, func(b *record.Replace) { b.Items[0].Key = nil })
	invalid("an end before the beginning", 1, func(b *record.Replace) { b.Items, b.To = nil, wireKey("service:a") })
	invalid("a target of another channel", 0, func(b *record.Replace) { b.Channel++ })
	invalid("a target of another region", 0, func(b *record.Replace) { b.RegionID = regionID(3) })
	invalid("no target", 0, func(b *record.Replace) { b.Target = nil })
	w.refused(t, chunks[1], record.StatusStale, "does not follow")
	w.refused(t, old.snapshot()[0], record.StatusStale, "not newer")
	w.take(t, chunks[0])
	w.refused(t, chunks[2], record.StatusStale, "does not follow")
	w.refused(t, with(1, func(b *record.Replace) { b.Target = s.head() }), record.StatusStale, "does not follow")
	w.refused(t, s.clone().one(put("service:z", "1")), record.StatusStale, "stands at")
	w.refused(t, behind.snapshot()[0], record.StatusStale, "newer snapshot")
	_, st := w.feedState(t, 2, 3)
	behind.at = st.Position
	w.refused(t, behind.batch(), record.StatusStale, "snapshot") // it fits where the channel stands
	w.take(t, chunks[1:2]...)
	w.refused(t, chunks[1], record.StatusStale, "does not follow")
	w.take(t, chunks[2])
	w.refused(t, chunks[0], record.StatusStale, "not newer")
}

// A snapshot whose content is not that of its head leaves the channel in resync: nothing is taken but a new snapshot.
func TestReplace_AWrongDigestIsHealedByANewSnapshot(t *testing.T) {
	w, s := filled(t)
	s.at.Sequence++
	s.set(put("service:b", "2"))
	chunks := s.snapshot("service:c")
	chunks[0].Replace.Items = chunks[0].Replace.Items[1:] // what a hostile relay left out
	w.take(t, chunks[0])
	w.refused(t, chunks[1], record.StatusInvalid, "digest")
	if _, found, err := state.ReadResync(w.kv, 2, 3); err != nil || !found {
		t.Errorf("the resync ended: %v", err)
	}
	if _, st := w.feedState(t, 2, 3); st.Position.Sequence != 6 {
		t.Errorf("the channel moved to %d", st.Position.Sequence)
	}
	if got := w.shown(t, "a", 0); got != "" {
		t.Errorf("a is %q", got)
	}
	w.take(t, s.snapshot("service:c")...) // of the same target
	if _, found, err := state.ReadResync(w.kv, 2, 3); err != nil || found {
		t.Errorf("the resync did not end: %v", err)
	}
	if a, b := w.shown(t, "a", 0), w.shown(t, "b", 0); a != "1" || b != "2" {
		t.Errorf("a is %q, b is %q", a, b)
	}
	w.take(t, s.one(put("service:z", "1")))
}

// A newer snapshot takes the place of one that is under way.
func TestReplace_ANewerSnapshotInBetween(t *testing.T) {
	w, s := filled(t)
	s.at.Sequence++
	first := s.snapshot("service:c")
	w.take(t, first[0])
	s.set(del("service:a"), put("service:e", "2"))
	s.at.Incarnation++
	second := s.snapshot("service:d")
	w.take(t, second[0])
	w.refused(t, first[1], record.StatusStale, "newer snapshot")
	w.take(t, second[1])
	if a, e := w.shown(t, "a", 0), w.shown(t, "e", 0); a != "" || e != "2" {
		t.Errorf("a is %q, e is %q", a, e)
	}
}

// Rows that an earlier incarnation left behind go with a trim, and count in no sum.
func TestTrim_LeftoversOfAnEarlierIncarnation(t *testing.T) {
	w, s := filled(t) // the log has 1 to 6
	s.at.Incarnation, s.at.Sequence, s.at.Chain = 2, 3, [32]byte{1}
	w.take(t, s.snapshot()...)
	if n := w.rows(t, record.SpaceFeedLog); n != 6 {
		t.Fatalf("%d rows", n)
	}
	for range 5 { // writes over 4 to 6, and on to 8
		w.take(t, s.one(put("service:a", "2")))
	}
	w.ok(t, "trim 2 3 3")
	checkFeed(t, w)
	if n := w.rows(t, record.SpaceFeedLog); n != 5 {
		t.Errorf("%d rows after the leftovers went", n)
	}
	w.ok(t, "trim 2 3 6")
	checkFeed(t, w)
	_, st := w.feedState(t, 2, 3)
	if n := w.rows(t, record.SpaceFeedLog); n != 2 || st.FloorSequence != 6 {
		t.Errorf("%d rows, floor %d", n, st.FloorSequence)
	}
	w.refused(t, mustParse(t, "trim 2 3 9"), record.StatusFuture, "sequence 8")
	for _, sequence := range []uint64{5, 6, 7, 8, 9} {
		_, known, err := state.FeedChainAt(w.kv, 2, 3, &st, sequence)
		if err != nil || known != (sequence >= 6 && sequence <= 8) {
			t.Errorf("the chain at %d is known: %v, %v", sequence, known, err)
		}
	}
	if rows, err := state.FeedLog(w.kv, 2, 3, &st, 5, 1<<20); err != nil || len(rows) != 0 {
		t.Errorf("%d rows from before the floor: %v", len(rows), err)
	}
	w.ok(t, "trim 2 3 8")
	checkFeed(t, w)
	w.take(t, s.one(del("service:a")))
}

// Purge walks imported transactions like others.
func TestPurge_OfImports(t *testing.T) {
	w, s := connected(t, record.ClassConfig)
	for i := range 60 {
		w.take(t, s.one(put("config:a", fmt.Sprint(i)), put("route:r", fmt.Sprint(i))))
	}
	w.take(t, s.one(del("route:r")), s.one(put("config:b", "1")))
	rows := w.rows(t, record.SpaceVersions)
	w.ok(t, fmt.Sprintf("compact 1 %d", w.summary(t).Positions.Data))
	w.ok(t, "purge 1 1000")
	checkFeed(t, w)
	history, err := state.History(w.kv, key("config:a"), 0)
	if err != nil || len(history) < record.ConfigVersions || len(history) > record.ConfigVersions+state.TrimEvery {
		t.Errorf("%d versions of a config record: %v", len(history), err)
	}
	if n := w.rows(t, record.SpaceVersions); n >= rows || w.shown(t, "config:a", 0) != "59" {
		t.Errorf("%d version rows of %d; a is %q", n, rows, w.shown(t, "config:a", 0))
	}
	w.restore(t)
	w.take(t, s.one(put("route:r", "again")))
}

// Groups that take over what another region sent are known again like others.
func TestWindow_OfImports(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	e := &record.Entry{Level: 2, Replica: 1, Boot: 1, Sequence: 7, Ops: []record.Op{s.one(put("service:a", "1"))}}
	e.Ops[0].RequestID, e.Ops[0].Seen = "r1", 9
	first := w.apply(t, e).Results[0]
	before := w.hash(t)
	second := w.apply(t, e).Results[0]
	if !bytes.Equal(before, w.hash(t)) || !second.Duplicate || second.Revision != first.Revision || second.Status != record.StatusOK {
		t.Errorf("first %s, again %s", formatResult(first), formatResult(second))
	}
	e.Sequence++ // another group, the same request
	if third := w.apply(t, e).Results[0]; !third.Duplicate || third.Status != record.StatusOK {
		t.Errorf("the request again: %s", formatResult(third))
	}
	group := &record.Entry{Level: 2, Replica: 1, Boot: 1, Sequence: 20}
	for _, line := range []string{
		"peer 4 four", "place 1 1 9 default x 3", "link 3 9 1", "take 3 a", "channel 0 3 all", "mint 1 5", "trim 1 1 0", "heal put own/h 1",
		"put own/a 1", "tenant-create acme", "unpeer 4 -", "trim 1 1 5", "put a 1",
	} {
		group.Ops = append(group.Ops, mustParse(t, line))
	}
	results := w.apply(t, group).Results
	before = w.hash(t)
	for i, r := range w.apply(t, group).Results {
		if !r.Duplicate || r.Status != results[i].Status || r.Revision != results[i].Revision {
			t.Errorf("operation %d: %s; first %s", i+1, formatResult(r), formatResult(results[i]))
		}
	}
	if !bytes.Equal(before, w.hash(t)) {
		t.Error("the group ran again")
	}
}

// What may make any number of revisions goes alone: a window could not tell those of the operations after it.
func TestImport_GoesAlone(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.ok(t, "take 2 b")
	_, st := w.feedState(t, 2, 3)
	walk := record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: s.region, Channel: 3, Step: st.Step, Limit: 10}}
	one := s.clone().one(put("service:a", "1"))
	whole := s.clone()
	whole.at.Sequence++
	for _, op := range []record.Op{walk, one, whole.snapshot()[0]} {
		out := w.ops(t, op, mustParse(t, "put own/a 1"))
		checkStatuses(t, out.Results, record.StatusInvalid, record.StatusOK)
	}
	w.take(t, walk, one)
}
