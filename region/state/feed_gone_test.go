package state_test

import (
	"fmt"
	"reflect"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// goneFrom gives what the events of deletions in the data shard say of each record, by name, as they were applied; those
// read from history must say the same.
func (w *world) goneFrom(t *testing.T) map[string]record.Origin {
	t.Helper()
	all := map[string]record.Origin{}
	var applied []record.Commit
	for i := range w.commits {
		if w.commits[i].Position.Shard == record.ShardData {
			applied = append(applied, w.commits[i])
		}
	}
	for i := range applied {
		for _, e := range applied[i].Events {
			if e.Type == record.EventDelete {
				all[e.Record.Key.Name] = e.Record.Origin
			}
		}
	}
	read, err := state.Commits(w.kv, record.ShardData, 1, 0)
	if err != nil || !reflect.DeepEqual(read, applied) {
		t.Errorf("read back\n%+v\nwas applied as\n%+v: %v", read, applied, err)
	}
	return all
}

func wantGone(t *testing.T, got, want map[string]record.Origin) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("deletions say\n%+v\nwant\n%+v", got, want)
	}
}

// of2 is where region 2 was.
func of2(incarnation, revision uint64) record.Origin {
	return record.Origin{Home: regionID(2), HomeRevision: revision, Incarnation: incarnation}
}

// A record that its home deleted says so with the revision of that, whatever its kind; what this region deletes says nothing.
func TestGone_Deleted(t *testing.T) {
	for class, keys := range map[record.Class][]string{
		record.ClassConfig:    {"config:c", "route:r"},
		record.ClassServices:  {"service:s"},
		record.ClassEndpoints: {"instance:web/1", "check:web/1/http", "check-status:web/2/http"},
	} {
		w, s := connected(t, class)
		want := map[string]record.Origin{}
		for _, k := range keys {
			w.take(t, s.one(put(k, "v")))
		}
		for _, k := range keys {
			w.take(t, s.one(del(k)))
			want[feedKey(k).Name] = of2(1, 100+s.at.Sequence)
		}
		w.ok(t, "put own/mine 1")
		w.ok(t, "del own/mine")
		want["own/mine"] = record.Origin{}
		wantGone(t, w.goneFrom(t), want)
	}
}

// What a snapshot no longer has says where the snapshot is.
func TestGone_Replaced(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "v"), put("service:b", "v")))
	s.set(del("service:a"))
	s.at.Sequence += 9
	w.take(t, s.snapshot()...)
	wantGone(t, w.goneFrom(t), map[string]record.Origin{"a": of2(1, 110)})
}

// What is no longer shown here although its home still has it says how far its channel is.
func TestGone_NoLongerShown(t *testing.T) {
	for _, line := range []string{"take 2 b", "unlink 2 9", "unpeer 2 -", "place 1 1 9 default a 3"} {
		t.Run(line, func(t *testing.T) {
			w, s := connected(t, record.ClassServices)
			w.take(t, s.one(put("service:a", "v")), s.one(put("service:b", "v")))
			w.ok(t, line)
			w.walkAll(t, 10)
			if got := w.goneFrom(t)["a"]; got != of2(1, 102) {
				t.Errorf("it says %+v", got)
			}
		})
	}
}

// A channel that is given up has no position: what the last version said is what is known.
func TestGone_Withdrawn(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "v")), s.one(put("service:b", "v")))
	w.take(t, s.kept(1<<32|2, regionID(9)))
	w.walkAll(t, 10)
	wantGone(t, w.goneFrom(t), map[string]record.Origin{"a": of2(1, 50), "b": of2(1, 50)})
}

// reborn is a source whose next snapshot is of a new incarnation.
func (s *source) reborn() {
	s.at = record.FeedPosition{Incarnation: s.at.Incarnation + 1, Sequence: 1, Chain: [32]byte{7}}
}

// A deletion is of the incarnation in which it was made, not of that in which the record was written. History tells only
// where there was no other between them, and says nothing rather than something wrong.
func TestGone_NewIncarnation(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "v"), put("service:b", "v"), put("service:c", "v")))
	w.take(t, s.one(del("service:c")))
	s.reborn()
	w.take(t, s.snapshot()...) // a and b are as they were, and stay of incarnation 1
	w.take(t, s.one(del("service:a")))
	w.take(t, s.one(put("service:b", "2")))
	w.take(t, s.one(del("service:b")))
	applied, read := map[string]record.Origin{}, map[string]record.Origin{}
	commits, err := state.Commits(w.kv, record.ShardData, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	for into, all := range map[*map[string]record.Origin][]record.Commit{&applied: w.commits, &read: commits} {
		for i := range all {
			for _, e := range all[i].Events {
				if e.Type == record.EventDelete {
					(*into)[e.Record.Key.Name] = e.Record.Origin
				}
			}
		}
	}
	wantGone(t, applied, map[string]record.Origin{"c": of2(1, 102), "a": of2(2, 102), "b": of2(2, 104)})
	wantGone(t, read, map[string]record.Origin{"c": of2(0, 102), "a": of2(0, 102), "b": of2(2, 104)})
}

// What the first chunks of a snapshot of a new incarnation took away is in the transactions before the channel moves there.
func TestGone_SnapshotUnderWay(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "v"), put("service:z", "v")))
	s.one(del("service:a")) // never came
	s.reborn()
	chunks := s.snapshot("service:m")
	commit := w.take(t, chunks[0])[0]
	want := of2(2, commit.Events[0].Record.Origin.HomeRevision)
	if got := commit.Events[0].Record.Origin; got != want {
		t.Fatalf("the event of the chunk says %+v, not %+v", got, want)
	}
	want.Incarnation = 0
	read := func() record.Origin {
		commits, err := state.Commits(w.kv, record.ShardData, commit.Position.Revision-1, 0)
		if err != nil || len(commits) == 0 {
			t.Fatal(commits, err)
		}
		return commits[0].Events[0].Record.Origin
	}
	if got := read(); got != want {
		t.Errorf("while it is under way history says %+v, not %+v", got, want)
	}
	w.take(t, chunks[1])
	if got := read(); got != want {
		t.Errorf("after it history says %+v, not %+v", got, want)
	}
}

// While the channels of a region are in two incarnations nobody can tell from history.
func TestGone_ChannelsInTwoIncarnations(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	other := newSource(2, uint32(record.ClassConfig))
	other.reborn()
	w.take(t, s.one(put("service:a", "v")), s.one(del("service:a")))
	w.take(t, other.snapshot()...)
	commits, err := state.Commits(w.kv, record.ShardData, 1, 0)
	if err != nil || len(commits) != 2 || commits[1].Events[0].Record.Origin != of2(0, 102) {
		t.Errorf("%+v: %v", commits, err)
	}
}

// At the oldest revision that may be read all is known that was known before.
func TestGone_AtTheFloor(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "v")))
	last := w.take(t, s.one(del("service:a")))[0].Position.Revision
	w.ok(t, fmt.Sprintf("compact 1 %d", last))
	w.ok(t, "purge 1 100")
	commits, err := state.Commits(w.kv, record.ShardData, last-1, 0)
	if err != nil || len(commits) != 1 || commits[0].Events[0].Record.Origin != of2(1, 102) {
		t.Errorf("%+v: %v", commits, err)
	}
}

// The history of a record names the region that took it away, also when the transaction of that is purged.
func TestGone_History(t *testing.T) {
	w, s := connected(t, record.ClassConfig)
	w.take(t, s.one(put("config:a", "v")))
	at := w.take(t, s.one(del("config:a")))[0].Position.Revision
	w.take(t, s.one(put("config:a", "again")))
	w.ok(t, "put config:own/b 1")
	w.ok(t, "del config:own/b")
	tombstone := func(name string, limit int) record.Origin {
		t.Helper()
		all, err := state.History(w.kv, key("config:"+name), limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if r.Deleted {
				return r.Origin
			}
		}
		t.Fatalf("no tombstone of %s in %+v", name, all)
		return record.Origin{}
	}
	if a, b := tombstone("a", 0), tombstone("own/b", 0); a != of2(1, 102) || b != (record.Origin{}) {
		t.Errorf("a went at %+v, own/b at %+v", a, b)
	}
	if a := tombstone("a", 2); a != of2(1, 102) { // the version before is beyond the limit
		t.Errorf("a went at %+v", a)
	}
	if all, err := state.History(w.kv, key("config:a"), 2); err != nil || len(all) != 2 {
		t.Errorf("%d versions of at most 2: %v", len(all), err)
	}
	w.ok(t, fmt.Sprintf("compact 1 %d", at+1))
	w.ok(t, "purge 1 100")
	if a, b := tombstone("a", 0), tombstone("own/b", 0); a != (record.Origin{Home: regionID(2)}) || b != (record.Origin{}) {
		t.Errorf("a went at %+v, own/b at %+v", a, b)
	}
}

// A tombstone that is the oldest version that is kept is of the region that wrote the one after it.
func TestGone_HistoryBeginsWithATombstone(t *testing.T) {
	w, s := connected(t, record.ClassConfig)
	write := func(times int) (last uint64) {
		for range times {
			last = w.take(t, s.one(put("config:a", fmt.Sprint(s.at.Sequence))))[0].Position.Revision
		}
		return last
	}
	write(16)
	w.take(t, s.one(del("config:a"))) // the 17th version
	w.ok(t, fmt.Sprintf("compact 1 %d", write(30)))
	w.ok(t, "purge 1 100")
	write(1) // the 48th trims what is before the last 32
	all, err := state.History(w.kv, key("config:a"), 0)
	if err != nil || len(all) != record.ConfigVersions || !all[len(all)-1].Deleted {
		t.Fatalf("%d versions (%v)", len(all), err)
	}
	if got := all[len(all)-1].Origin; got != (record.Origin{Home: regionID(2)}) {
		t.Errorf("it went at %+v", got)
	}
}
