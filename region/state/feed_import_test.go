package state_test

import (
	"bytes"
	"reflect"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// A peer speaks for itself alone, and what is regional is not placed: what it claims beyond that is kept, relayed, and not
// shown.
func TestImport_QuarantinesWhatARegionMayNotSay(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	malformed := record.FeedChange{Op: record.FeedPut, Key: []byte("no key"), Entry: []byte{1}}
	future := put("service:future", "x")
	future.Entry[0] = 9
	w.take(t, s.one(put("service:mine", "1"), put("service:own/a", "1"), put("!service:b", "1"), put("!instance:web/1", "up"),
		put("!odd:relayed", "x"), malformed, future))
	for name, want := range map[string]record.Quarantine{
		"service:mine": record.QuarantineNone, "service:own/a": record.QuarantineNotHome, "!service:b": record.QuarantineMalformed,
		"!instance:web/1": record.QuarantineMalformed, "!odd:relayed": record.QuarantineNone, "service:future": record.QuarantineMalformed,
	} {
		w.quarantine(t, 3, name, want)
	}
	if _, st := w.feedState(t, 2, 3); st.Quarantined != 5 || st.Records != 7 {
		t.Errorf("%d of %d quarantined", st.Quarantined, st.Records)
	}
	// All of it is passed on byte for byte, from the log and in a snapshot.
	alias, st := w.feedState(t, 2, 3)
	items, _, err := state.FeedContent(w.kv, alias, 3, nil, 1<<20)
	if err != nil || len(items) != len(s.live) {
		t.Fatalf("%d records of %d: %v", len(items), len(s.live), err)
	}
	for _, it := range items {
		if !bytes.Equal(s.live[string(it.Key)], it.Entry) {
			t.Errorf("%x became %x", it.Key, it.Entry)
		}
	}
	rows, err := state.FeedLog(w.kv, alias, 3, &st, 0, 1<<20)
	if err != nil || len(rows) != 1 || record.ChainNext([32]byte{}, rows[0].Record) != s.at.Chain || !bytes.Equal(rows[0].Head, st.Head) {
		t.Errorf("the log has %d rows: %v", len(rows), err)
	}
	w.take(t, s.one(record.FeedChange{Op: record.FeedDelete, Key: []byte("no key")}, del("service:own/a"), del("service:future")))
	if _, st := w.feedState(t, 2, 3); st.Quarantined != 2 || st.Records != 4 {
		t.Errorf("%d of %d quarantined", st.Quarantined, st.Records)
	}
}

// A batch is taken over whole or not at all.
func TestImport_RefusesWhatDoesNotFit(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "1")))
	at, digest := s.at, s.digest
	again := func(change func(*record.Import)) record.Op {
		s.at, s.digest, s.live = at, digest, map[string][]byte{string(wireKey("service:a")): put("service:a", "1").Entry}
		op := s.batch([]record.FeedChange{put("service:b", "1")}, []record.FeedChange{put("service:c", "1")})
		change(op.Import)
		return op
	}
	head := func(b *record.Import, change func(*record.FeedHead)) {
		h, err := record.DecodeFeedHead(b.Head)
		if err != nil {
			t.Fatal(err)
		}
		change(&h)
		b.Head = record.AppendFeedHead(nil, &h)
	}
	twice := func(b *record.Import) {
		s.at, s.digest = at, digest
		*b = *s.one(put("service:b", "1"), put("service:b", "2")).Import
	}
	for _, tt := range []struct {
		name   string
		change func(*record.Import)
		status record.Status
		text   string
	}{
		{"an earlier incarnation", func(b *record.Import) { b.From.Incarnation = 0 }, record.StatusStale, "stands at 1.1"},
		{"an earlier sequence", func(b *record.Import) { b.From.Sequence = 0 }, record.StatusStale, "not at 1.0"},
		{"another chain", func(b *record.Import) { b.From.Chain[0]++ }, record.StatusStale, "stands at"},
		{"a gap", func(b *record.Import) { b.Records = b.Records[1:] }, record.StatusInvalid, "sequence 3 after 1"},
		{"a record too few", func(b *record.Import) { b.Records = b.Records[:1] }, record.StatusInvalid, "another chain"},
		{"a record that was changed", func(b *record.Import) { b.Records[0][4]++ }, record.StatusInvalid, "another chain"},
		{"a head of an incarnation that is not here", func(b *record.Import) {
			head(b, func(h *record.FeedHead) { h.Position.Incarnation++ })
		}, record.StatusInvalid, "another chain"},
		{"a head with another chain", func(b *record.Import) { head(b, func(h *record.FeedHead) { h.Position.Chain[0]++ }) }, record.StatusInvalid, "another chain"},
		{"a head with another digest", func(b *record.Import) { head(b, func(h *record.FeedHead) { h.Digest[0]++ }) }, record.StatusInvalid, "digest"},
		{"a head of another channel", func(b *record.Import) { head(b, func(h *record.FeedHead) { h.Channel++ }) }, record.StatusInvalid, "not closed"},
		{"a head of another region", func(b *record.Import) { head(b, func(h *record.FeedHead) { h.Region[0]++ }) }, record.StatusInvalid, "not closed"},
		{"no head", func(b *record.Import) { b.Head = nil }, record.StatusInvalid, "not closed"},
		{"a head of a later format", func(b *record.Import) { b.Head[0] = 9 }, record.StatusInvalid, "not closed"},
		{"a record of a later format", func(b *record.Import) { b.Records[0][0] = 9 }, record.StatusInvalid, "format 9"},
		{"a record that is none", func(b *record.Import) { b.Records[1] = nil }, record.StatusInvalid, "cannot be read"},
		{"a key that changes twice", twice, record.StatusInvalid, "changes a key twice"},
		{"an unknown region", func(b *record.Import) { b.RegionID = regionID(7) }, record.StatusNotFound, "not known"},
		{"this region", func(b *record.Import) { b.RegionID = regionID(1) }, record.StatusNotFound, "not known"},
		{"a channel that is not here", func(b *record.Import) { b.Channel = 4 }, record.StatusStale, "stands at 0.0"},
	} {
		t.Run(tt.name, func(t *testing.T) { w.refused(t, again(tt.change), tt.status, tt.text) })
	}
	w.take(t, again(func(*record.Import) {}))
	w.refused(t, again(func(*record.Import) {}), record.StatusStale, "stands at 1.3")
}

// An idle head moves what the channel is known to be; one that came late does not, but its document counts.
func TestImport_IdleHeads(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "1")))
	idle, late := s.batch(), s.batch()
	idle, late = late, idle
	document := func(generation uint64, id uint32) []byte {
		return record.AppendChannelDocument(nil, &record.ChannelDocument{Region: s.region, Channel: record.Channel{ID: id, Generation: generation}})
	}
	generation := func() uint64 {
		_, st := w.feedState(t, 2, 3)
		d, err := record.DecodeChannelDocument(st.Document)
		if err != nil {
			t.Fatal(err)
		}
		return d.Channel.Generation
	}
	idle.Import.Document = document(5, 3)
	if commits := w.take(t, idle); len(commits) != 0 {
		t.Errorf("an idle head made %+v", commits)
	}
	_, st := w.feedState(t, 2, 3)
	if !bytes.Equal(st.Head, idle.Import.Head) || generation() != 5 {
		t.Errorf("head %x, generation %d", st.Head, generation())
	}
	late.Import.Document = document(6, 3)
	w.take(t, late)
	if _, st = w.feedState(t, 2, 3); !bytes.Equal(st.Head, idle.Import.Head) || generation() != 6 {
		t.Errorf("after a late head: %x, generation %d", st.Head, generation())
	}
	for _, bad := range [][]byte{document(5, 3), document(9, 4), []byte("none")} {
		next := s.batch()
		next.Import.Document = bad
		w.take(t, next)
		if generation() != 6 {
			t.Errorf("the document %x was kept", bad)
		}
	}
}

// Commits of imports say who made the change at home, and in which trace; the records say where they came from.
func TestImport_CommitsTellTheHome(t *testing.T) {
	w, s := connected(t, record.ClassConfig)
	commits := w.take(t, s.batch([]record.FeedChange{put("config:a", "1"), put("route:r", "1")}, []record.FeedChange{put("config:a", "2")}))
	if len(commits) != 2 || len(commits[0].Events) != 2 {
		t.Fatalf("%s", formatCommits(commits))
	}
	writer := record.Writer{Time: 5000, Actor: "eve", Message: "from home"}
	for i, c := range commits {
		want := record.Origin{Home: regionID(2), OwnerEpoch: 1, HomeRevision: 50, FeedSequence: uint64(i) + 1, Incarnation: 1}
		if c.Writer != writer || c.Trace.TraceID[0] != 0xab || c.Events[0].Record.Origin != want || c.Events[0].Record.Version != 7 {
			t.Errorf("commit %d: %+v", i, c)
		}
	}
	read, err := state.Commits(w.kv, record.ShardData, 1, 0)
	if err != nil || !reflect.DeepEqual(read, commits) {
		t.Errorf("read back\n%+v\nwas applied as\n%+v: %v", read, commits, err)
	}
	b, _, err := w.kv.Get(record.AppendTransactionKey(nil, record.ShardData, commits[0].Position.Revision))
	if err != nil {
		t.Fatal(err)
	}
	row, err := record.DecodeTransaction(b)
	if err != nil || row.Home != regionID(2) || row.HomePosition != (record.Position{Shard: record.ShardData, Revision: 101}) {
		t.Errorf("%+v: %v", row, err)
	}
}

// A record of this region stands in the way of one of its home until somebody deletes it and the walk looks again.
func TestImport_CollisionEndsWhenTheLocalOneGoes(t *testing.T) {
	w, s := newRegion(t), newSource(2, 3)
	for _, line := range []string{"peer 2 two", "link 2 9 1", "put a mine", "place 1 1 9 default - 2"} {
		w.ok(t, line)
	}
	w.take(t, s.snapshot()...)
	w.take(t, s.one(put("service:a", "theirs")))
	w.quarantine(t, 3, "service:a", record.QuarantineCollision)
	w.take(t, s.one(put("service:a", "theirs again")))
	if got := w.shown(t, "a", 0); got != "mine" {
		t.Errorf("a is %q", got)
	}
	if r := w.line(t, "put a 2"); r.Status != record.StatusNotHome {
		t.Errorf("a second put: %s", formatResult(r))
	}
	w.ok(t, "del a")
	w.quarantine(t, 3, "service:a", record.QuarantineCollision)
	w.ok(t, "take 2") // what is shown is the same: only the walk begins
	w.walkAll(t, 10)
	checkFeed(t, w)
	w.quarantine(t, 3, "service:a", record.QuarantineNone)
	if got := w.shown(t, "a", 0); got != "theirs again" {
		t.Errorf("a is %q", got)
	}
	w.refused(t, mustParse(t, "del a"), record.StatusNotHome, "02000000")
}

// Imported records are read-only: those of a foreign scope for ever, placed ones as long as their home is away.
func TestImport_RecordsAreReadOnly(t *testing.T) {
	w, s := connected(t, record.ClassEndpoints)
	w.take(t, s.one(put("instance:web/1", "up")))
	foreign := key("instance:web/1")
	foreign.Scope = 2
	for _, op := range []record.TxnOp{
		{Type: record.TxnPut, Key: foreign, Value: []byte("down")},
		{Type: record.TxnDelete, Key: foreign},
		{Type: record.TxnDeleteRange, Range: record.Range{Shard: 1, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: 2}},
	} {
		for _, kind := range []record.OpType{record.OpTxn, record.OpHeal} {
			w.refused(t, record.Op{Type: kind, Txn: &record.Txn{Shard: 1, Then: []record.TxnOp{op}}}, record.StatusDenied, "another region")
		}
	}
	if got := w.shown(t, "instance:web/1", 2); got != "up" {
		t.Errorf("the instance is %q", got)
	}
}

// A full region takes deletes and heads, and nothing that grows.
func TestImport_WhileSpaceIsShort(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "1"), put("service:b", "1")))
	w.ok(t, "alarm on 1")
	before := *s
	w.refused(t, s.one(put("service:c", "1")), record.StatusNoSpace, "disk")
	s.at, s.digest = before.at, before.digest
	delete(s.live, string(wireKey("service:c")))
	w.take(t, s.one(del("service:a")), s.batch())
	s.set(del("service:b"))
	s.at.Sequence += 5
	w.take(t, s.snapshot()...)
	s.set(put("service:b", "1"))
	s.at.Sequence++
	w.refused(t, s.snapshot()[0], record.StatusNoSpace, "disk")
	w.ok(t, "alarm off 1")
	w.take(t, s.snapshot()...)
}

// What a tenant was linked to before does not take away what is shown in its place by now, whichever comes first.
func TestLink_AnotherTenantInPlaceOfTheFirst(t *testing.T) {
	for _, other := range []string{"8", "10"} { // its keys come before those of tenant 9, or after
		for _, limit := range []uint32{1, 100} {
			w, s := connected(t, record.ClassServices)
			w.take(t, s.one(put("service:a", "nine"), put("service@"+other+".default:a", "other"), put("service:b", "nine")))
			w.ok(t, "unlink 2 9")
			w.ok(t, "link 2 "+other+" 1")
			w.walkAll(t, limit)
			checkFeed(t, w)
			if a, b := w.shown(t, "a", 0), w.shown(t, "b", 0); a != "other" || b != "" {
				t.Errorf("tenant %s in steps of %d: a is %q, b is %q", other, limit, a, b)
			}
		}
	}
}

// A record that two channels carry is shown until neither does.
func TestImport_TwoChannelsCarryOneRecord(t *testing.T) {
	w, s := connected(t, record.ClassEndpoints)
	second := newSource(2, 14)
	w.take(t, second.snapshot()...)
	w.take(t, s.one(put("instance:web/1", "up")), second.one(put("instance:web/1", "up")))
	w.take(t, s.one(record.FeedChange{Op: record.FeedUnexport, Key: wireKey("instance:web/1")}))
	if got := w.shown(t, "instance:web/1", 2); got != "up" {
		t.Errorf("one channel carries it and it is %q", got)
	}
	// The one that lags shows what was before; when it no longer carries the record, what the other has counts.
	w.take(t, second.one(put("instance:web/1", "new")), s.one(put("instance:web/1", "old")), s.one(record.FeedChange{Op: record.FeedUnexport, Key: wireKey("instance:web/1")}))
	if got := w.shown(t, "instance:web/1", 2); got != "new" {
		t.Errorf("the channel that carries it has %q", got)
	}
	w.take(t, second.one(del("instance:web/1")))
	if got := w.shown(t, "instance:web/1", 2); got != "" {
		t.Errorf("no channel carries it and it is %q", got)
	}
}

// What is not linked, not federated or not wanted is kept and passed on, and shown when that changes.
func TestImport_ShownWhenLinked(t *testing.T) {
	w, s := newRegion(t), newSource(2, 4)
	w.ok(t, "peer 2 two")
	w.take(t, s.snapshot()...)
	w.take(t, s.one(put("instance:web/1", "up"), put("instance:db/1", "up")))
	expect := func(when, web, db string) {
		t.Helper()
		w.walkAll(t, 1)
		checkFeed(t, w)
		if a, b := w.shown(t, "instance:web/1", 2), w.shown(t, "instance:db/1", 2); a != web || b != db {
			t.Errorf("%s: %q and %q; want %q and %q", when, a, b, web, db)
		}
		if n, _, _ := state.Count(w.kv, 1, 0); (n.Keys == 0) != (web == "" && db == "") {
			t.Errorf("%s: the tenant has %d records", when, n.Keys)
		}
	}
	expect("nothing is linked", "", "")
	w.ok(t, "link 2 9 1")
	expect("the namespace is not federated", "", "")
	w.ok(t, "place 1 1 9 default - 2")
	expect("linked", "up", "up")
	w.ok(t, "take 2 =web/1")
	expect("one is wanted", "up", "")
	w.ok(t, "unlink 2 9")
	expect("unlinked", "", "")
	w.ok(t, "link 2 9 1")
	expect("linked again", "up", "")
	w.ok(t, "unpeer 2 -")
	expect("no peer any more", "", "")
	w.refused(t, s.batch(), record.StatusDenied, "no longer a peer")
	w.ok(t, "peer 2 two")
	w.ok(t, "take 2")
	expect("a peer again", "up", "up")
	w.take(t, s.batch())
}

// TestContradicts: what a relay shows of a channel says something else than what came of it.
func TestContradicts(t *testing.T) {
	w, s := connected(t, record.ClassServices)
	w.take(t, s.one(put("service:a", "1")))
	copied := s.clone() // from here on another copy of the region writes, too
	w.take(t, s.one(put("service:a", "2")), s.one(put("service:a", "3")))
	shows := func(s *source, change func(*record.FeedHead)) bool {
		t.Helper()
		head, err := record.DecodeFeedHead(s.head())
		if err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(&head)
		}
		differs, err := state.Contradicts(w.kv, &head)
		if err != nil {
			t.Fatal(err)
		}
		return differs
	}
	if shows(s, nil) || shows(copied, nil) {
		t.Error("part of the history contradicts it")
	}
	copied.one(put("service:a", "of the copy"))
	if !shows(copied, nil) {
		t.Error("another record in the log")
	}
	copied.one(put("service:a", "of the copy"))
	if !shows(copied, nil) {
		t.Error("another newest record")
	}
	for what, change := range map[string]func(*record.FeedHead){
		"of a later incarnation":        func(h *record.FeedHead) { h.Position.Incarnation++ },
		"of a region that is not known": func(h *record.FeedHead) { h.Region = regionID(9) },
		"of a channel that is not here": func(h *record.FeedHead) { h.Channel = 99 },
	} {
		if shows(copied, change) {
			t.Errorf("a head %s contradicts", what)
		}
	}
	if copied.one(put("service:a", "ahead")); shows(copied, nil) {
		t.Error("what is newer than the log contradicts it")
	}
}
