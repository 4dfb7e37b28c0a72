package state_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"supercluster/region/record"
	"supercluster/region/state"
)

// newHome is region 1 with a channel of each class, and its namespace federated with its home here, but for theirs/.
func newHome(t testing.TB) *world {
	t.Helper()
	w := newRegion(t)
	w.offers(t)
	return w
}

// offers makes a region the home of what is in the default namespace, but for theirs/, and gives it channels.
func (w *world) offers(t testing.TB) {
	t.Helper()
	for _, line := range []string{
		"peer 2 two", "place 1 1 9 default - 1", "place 1 1 9 default theirs/ 2",
		"channel 0 1 all", "channel 0 2 all", "channel 0 3 all", "channel 0 4 all",
	} {
		w.ok(t, line)
	}
	w.walkAll(t, 100)
}

// ownHead is the head of a channel as the home stands.
func (w *world) ownHead(t testing.TB, channel uint32) record.FeedHead {
	t.Helper()
	docs, err := state.Channels(w.kv)
	if err != nil {
		t.Fatal(err)
	}
	h, err := state.OwnHead(w.kv, regionID(1), &docs[channel-1])
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func fence(kind record.Fence, h record.FeedHead) record.Op {
	return record.Op{Type: record.OpFence, SetFence: &record.SetFence{Fence: kind, Proof: record.AppendFeedHead(nil, &h), Reason: "proved"}}
}

func TestStanding(t *testing.T) {
	w := newHome(t)
	for i := range 6 {
		w.ok(t, fmt.Sprintf("put a %d", i))
	}
	now := w.ownHead(t, 3)
	_, st := w.feedState(t, 1, 3)
	rows, err := state.FeedLog(w.kv, state.AliasSelf, 3, &st, 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	at := func(sequence uint64, change func(*record.FeedHead)) record.FeedHead {
		h := now
		h.Position.Sequence = sequence
		if sequence <= uint64(len(rows)) && sequence > 0 {
			h.Position.Chain = rows[sequence-1].Chain
		}
		if change != nil {
			change(&h)
		}
		return h
	}
	other := func(h *record.FeedHead) { h.Position.Chain[0]++ }
	newest := st.Position.Sequence
	for _, tt := range []struct {
		name string
		head record.FeedHead
		want state.Standing
	}{
		{"the newest", now, state.StandingKnown},
		{"an old one", at(2, nil), state.StandingKnown},
		{"another newest", at(newest, other), state.StandingDiffers},
		{"another record once", at(3, other), state.StandingDiffers},
		{"a later one", at(newest+1, other), state.StandingAhead},
		{"a later document", at(2, func(h *record.FeedHead) { h.Generation++ }), state.StandingAhead},
		{"a newer incarnation", at(1, func(h *record.FeedHead) { h.Position.Incarnation++ }), state.StandingNewer},
		{"an incarnation before", at(newest+5, func(h *record.FeedHead) { h.Position.Incarnation = 0 }), state.StandingKnown},
		{"a channel that was lost", at(1, func(h *record.FeedHead) { h.Channel = 9 }), state.StandingAhead},
	} {
		if got, err := state.StandingOf(w.kv, &tt.head); err != nil || got != tt.want || got.Foreign() != (tt.want != state.StandingKnown) {
			t.Errorf("%s: %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
	w.ok(t, "trim 1 3 4")
	if got, err := state.StandingOf(w.kv, ptr(at(3, other))); err != nil || got != state.StandingKnown {
		t.Errorf("before the log: %d, %v", got, err)
	}
	if got, err := state.StandingOf(w.kv, ptr(at(4, other))); err != nil || got != state.StandingDiffers {
		t.Errorf("at the floor of the log: %d, %v", got, err)
	}
}

func ptr[T any](v T) *T { return &v }

// A fence needs a proof, and only what would be exported waits for its end.
func TestFence(t *testing.T) {
	w := newHome(t)
	w.ok(t, "put a 1")
	w.ok(t, "ns-create default local")
	ahead := w.ownHead(t, 3)
	foreign := ahead
	foreign.Region = regionID(2)
	w.refused(t, fence(record.FenceHealing, ahead), record.StatusStale, "part of the region's history")
	w.refused(t, fence(record.FenceHealing, foreign), record.StatusInvalid, "no head of this region")
	w.refused(t, record.Op{Type: record.OpFence, SetFence: &record.SetFence{Fence: 1, Proof: []byte("x")}}, record.StatusInvalid, "no head")
	ahead.Position.Sequence += 5
	w.refused(t, fence(0, ahead), record.StatusInvalid, "no fence 0")
	w.refused(t, fence(3, ahead), record.StatusInvalid, "no fence 3")
	w.take(t, fence(record.FenceHealing, ahead))
	w.refused(t, fence(record.FenceHealing, ahead), record.StatusStale, "fenced already: proved")
	fenced := []string{"put a 2", "del a", "put config:c 1", "put instance:web/1 up", "txn then get a ; put a 3"}
	for _, line := range fenced {
		w.refused(t, mustParse(t, line), record.StatusFenced, "proved")
	}
	for _, line := range []string{
		"put config@1.2:c 1", "put node:n 1", "del missing", "txn then get a", "txn if mod(a)=1 then put a 2 else get a", "heal put a healed", "heal del a",
		"put summary:web 1", // no channel has that class
	} {
		w.ok(t, line)
	}
	w.refused(t, mustParse(t, "heal put theirs/a 1"), record.StatusNotHome, "02000000")
	f, _, err := state.ReadFederation(w.kv)
	if err != nil || f.Fence != record.FenceHealing || f.Fences != 1 || f.Reason != "proved" {
		t.Errorf("%+v, %v", f, err)
	}
	w.ok(t, "mint 1 0")
	for _, line := range fenced[2:4] {
		w.ok(t, line)
	}
}

// A new incarnation is larger than any that anybody showed. A clone is ended by a person alone.
func TestMint(t *testing.T) {
	w := newHome(t)
	w.ok(t, "put a 1")
	before := w.ownHead(t, 3)
	if r := w.ok(t, "mint 1 7"); r.ID != 8 {
		t.Errorf("minted %d", r.ID)
	}
	w.refused(t, mustParse(t, "mint 1 9"), record.StatusStale, "not in incarnation 1")
	after := w.ownHead(t, 3)
	if !after.Position.After(before.Position) || after.Digest != before.Digest || after.Generation <= before.Generation {
		t.Errorf("%+v became %+v", before, after)
	}
	_, st := w.feedState(t, 1, 3)
	if rows, err := state.FeedLog(w.kv, 1, 3, &st, 0, 1<<20); err != nil || len(rows) != 0 {
		t.Errorf("the log still has %d rows: %v", len(rows), err)
	}
	w.ok(t, "put a 2")
	checkFeed(t, w)
	newer := w.ownHead(t, 3)
	newer.Position.Incarnation = 20
	w.take(t, fence(record.FenceHealing, newer))
	w.take(t, fence(record.FenceClone, newer))
	w.refused(t, mustParse(t, "mint 8 0"), record.StatusDenied, "another copy")
	if r := w.ok(t, "mint 8 0 operator"); r.ID != 21 {
		t.Errorf("minted %d", r.ID)
	}
	f, _, err := state.ReadFederation(w.kv)
	if err != nil || f.Incarnation != 21 || f.Seen != 21 || f.Fence != record.FenceNone || f.Fences != 0 {
		t.Errorf("%+v, %v", f, err)
	}
	w.refused(t, mustParse(t, "mint 21 18446744073709551615"), record.StatusInvalid, "the last one is")
	w.refused(t, mustParse(t, "mint 21 4294967295"), record.StatusInvalid, "the last one is")
	w.ok(t, "mint 21 4294967294")
	w.refused(t, mustParse(t, "mint 4294967295 0"), record.StatusInvalid, "the last one is")
}

// A change of the selector adds and removes exactly what it must while writes go on, at most Limit records in a step.
func TestWalk_OfASelectorChange(t *testing.T) {
	for _, limit := range []uint32{1, 3, 0} {
		w := newHome(t)
		for i := range 10 {
			w.ok(t, fmt.Sprintf("put instance:%s/%d up", []string{"web", "db"}[i%2], i))
		}
		w.ok(t, "channel 4 4 all web/ =db/1")
		step := func() {
			_, s := w.feedState(t, 1, 4)
			before := s.Position.Sequence
			w.take(t, record.Op{Type: record.OpWalk, Walk: &record.Walk{Channel: 4, Step: s.Step, From: s.Next, Limit: limit}})
			_, after := w.feedState(t, 1, 4)
			rows, err := state.FeedLog(w.kv, 1, 4, &after, before, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				r, err := record.DecodeFeedRecord(row.Record)
				if err != nil || !r.Backfill || len(r.Changes) > max(int(limit), 1) {
					t.Errorf("a step of %d has %d changes, backfill %v: %v", limit, len(r.Changes), r.Backfill, err)
				}
			}
		}
		_, s := w.feedState(t, 1, 4)
		for _, bad := range []record.Walk{
			{Channel: 4, Step: s.Step + 1, Limit: 1},
			{Channel: 4, Step: s.Step - 1, Limit: 1},
			{Channel: 4, Step: s.Step, From: []byte{2}, Limit: 1},
			{Channel: 3, Step: 1, Limit: 1},
			{Channel: 9, Step: 1, Limit: 1},
			{RegionID: regionID(2), Channel: 4, Step: 1, Limit: 1},
		} {
			w.refused(t, record.Op{Type: record.OpWalk, Walk: &bad}, record.StatusStale, "does not stand there")
		}
		w.refused(t, record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: regionID(7), Channel: 4, Step: 1}}, record.StatusNotFound, "not known")
		step()
		for _, line := range []string{"put instance:web/8 new", "put instance:db/1 new", "put instance:web/new up", "put instance:db/new up", "del instance:web/2", "del instance:db/3"} {
			w.ok(t, line)
			if _, st := w.feedState(t, 1, 4); st.Walking {
				step()
			}
		}
		w.walkAll(t, limit)
		checkFeed(t, w)
		want := map[string]string{"web/0": "up", "web/4": "up", "web/6": "up", "web/8": "new", "web/new": "up", "db/1": "new"}
		items, _, err := state.FeedContent(w.kv, 1, 4, nil, 1<<20)
		if err != nil || len(items) != len(want) {
			t.Errorf("%d records are carried: %v", len(items), err)
		}
		for _, it := range items {
			k, _ := record.DecodeFeedKey(it.Key)
			e, err := record.DecodeFeedEntry(it.Entry)
			if err != nil || want[k.Name] != string(e.Value) {
				t.Errorf("%q is carried as %q: %v", k.Name, e.Value, err)
			}
		}
	}
}

// Only the home writes placed records; the longest prefix says which region that is.
func TestPlace_Homes(t *testing.T) {
	w := newHome(t)
	w.ok(t, "place 1 1 9 default theirs/ours/ 1")
	for line, want := range map[string]record.Status{
		"put theirs/ours/a 1": record.StatusOK, "put theirs/a 1": record.StatusNotHome, "put theirs 1": record.StatusOK,
		"put config:theirs/a 1": record.StatusNotHome, "put instance:theirs/1 up": record.StatusOK, "del theirs/a": record.StatusNotHome,
		"delrange theirs/ours/ theirs/ours0": record.StatusOK, "delrange a b": record.StatusOK, "delrange a -": record.StatusNotHome,
		"delrange theirs/a theirs/b": record.StatusNotHome, "txn then get theirs/a": record.StatusOK, "delrange theirs0 -": record.StatusOK,
		"put config@1.9:x 1": record.StatusNotFound,
	} {
		r := w.line(t, line)
		if r.Status != want || want == record.StatusNotHome && !bytes.Contains([]byte(r.Detail), fmt.Appendf(nil, "%x", regionID(2))) {
			t.Errorf("%s: %s; want %s", line, formatResult(r), statusNames[want])
		}
	}
	epoch := func() uint64 {
		space, _, err := state.ReadFederated(w.kv, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		return space.Home("theirs/a").Epoch
	}
	w.ok(t, "place 1 1 9 default theirs/ 2")
	if epoch() != 1 {
		t.Errorf("the same home again is epoch %d", epoch())
	}
	w.ok(t, "place 1 1 9 default theirs/ 1")
	w.ok(t, "put theirs/a 1")
	w.ok(t, "place 1 1 9 default theirs/ 2")
	if epoch() != 3 {
		t.Errorf("the third home is epoch %d", epoch())
	}
	w.refused(t, mustParse(t, "put theirs/a 2"), record.StatusNotHome, "")
	w.ok(t, "del theirs/a") // a leftover
	w.refused(t, mustParse(t, "del theirs/a"), record.StatusNotHome, "")
	for line, want := range map[string]record.Status{
		"place 1 1 8 default b 1": record.StatusInvalid, "place 1 1 9 renamed b 1": record.StatusInvalid, "place 1 1 9 default b 7": record.StatusNotFound,
		"place 1 9 9 default b 1": record.StatusNotFound, "unplace 1 1 9 default -": record.StatusDenied, "unplace 1 1 9 default b": record.StatusNotFound,
		"place 1 1 0 default b 1": record.StatusInvalid, "place 0 0 9 default b 1": record.StatusInvalid,
	} {
		w.refused(t, mustParse(t, line), want, "")
	}
}

// What is declared of a namespace ends with it, and with its tenant.
func TestPlace_EndsWithTheNamespace(t *testing.T) {
	w := newHome(t)
	for _, line := range []string{
		"tenant-create acme", "ns-create acme prod", "place 2 3 8 prod - 1", "place 2 3 8 prod x/ 2", "place 2 2 8 default - 2",
		"put instance@2.3:web/1 up", "del instance@2.3:web/1",
	} {
		w.ok(t, line)
	}
	if n := w.rows(t, record.SpaceFederated); n != 3 {
		t.Fatalf("%d federated namespaces", n)
	}
	placements := func() int {
		res, err := state.ReadRange(w.kv, record.Range{Kind: record.KindPlacement, Scope: record.ScopeRegion}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(res.Records)
	}
	if n := placements(); n != 5 {
		t.Errorf("%d placements", n)
	}
	w.ok(t, "ns-delete acme prod")
	checkFeed(t, w)
	if n := w.rows(t, record.SpaceFederated); n != 2 || placements() != 3 {
		t.Errorf("%d federated namespaces, %d placements", n, placements())
	}
	w.ok(t, "tenant-delete acme")
	checkFeed(t, w)
	if n := w.rows(t, record.SpaceFederated); n != 1 || placements() != 2 {
		t.Errorf("%d federated namespaces, %d placements", n, placements())
	}
	items, _, err := state.FeedContent(w.kv, 1, 1, nil, 1<<20)
	if err != nil || len(items) != 2 {
		t.Errorf("%d records of control are carried: %v", len(items), err)
	}
}

// Channels have limits, keep their class, and are counted by the machine.
func TestSetChannel(t *testing.T) {
	w := newHome(t)
	set := func(c record.Channel) record.Op {
		return record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: c}}
	}
	good := record.Channel{Class: record.ClassConfig, Projection: record.ProjectionFull}
	with := func(change func(*record.Channel)) record.Op {
		c := good
		change(&c)
		return set(c)
	}
	w.refused(t, with(func(c *record.Channel) { c.Class = 0 }), record.StatusInvalid, "class")
	w.refused(t, with(func(c *record.Channel) { c.Projection = 9 }), record.StatusInvalid, "projection")
	w.refused(t, with(func(c *record.Channel) { c.Projection = record.ProjectionSummary }), record.StatusInvalid, "projection")
	w.refused(t, with(func(c *record.Channel) { c.Class = record.ClassSummaries }), record.StatusInvalid, "projection")
	w.refused(t, with(func(c *record.Channel) { c.Selector = make(record.Selector, record.MaxTerms+1) }), record.StatusTooLarge, "256")
	w.refused(t, with(func(c *record.Channel) { c.Audience = make([][16]byte, record.MaxTerms+1) }), record.StatusTooLarge, "256")
	w.refused(t, with(func(c *record.Channel) { c.ID = 77 }), record.StatusNotFound, "77")
	w.refused(t, record.Op{Type: record.OpTake, Take: &record.Take{RegionID: regionID(2), Selector: make(record.Selector, record.MaxTerms+1)}}, record.StatusTooLarge, "256")
	w.take(t, with(func(c *record.Channel) {
		c.ID, c.Class, c.Audience = 4, record.ClassConfig, [][16]byte{{2}}
	}))
	docs, err := state.Channels(w.kv)
	if err != nil || docs[3].Class != record.ClassEndpoints || docs[3].Generation != 1<<32|2 || len(docs[3].Audience) != 1 {
		t.Errorf("%+v, %v", docs, err)
	}
	w.take(t, set(good))
	w.refused(t, set(good), record.StatusExists, "channel")
	for i := range record.MaxChannels - 5 {
		w.take(t, with(func(c *record.Channel) { c.Name = fmt.Sprint(i) }))
	}
	w.refused(t, with(func(c *record.Channel) { c.Name = "one more" }), record.StatusTooLarge, "80")
}

// An unidentified region has no federation, and a region without peers costs nothing.
func TestFederation_BeginsWithTheFirstOperation(t *testing.T) {
	w := newWorld(t)
	w.apply(t, &record.Entry{Level: 3})
	for _, line := range []string{"peer 2 two", "link 2 9 1", "place 1 1 9 default - 1", "channel 0 1 all", "take 2 a", "walk 2 1 1 1", "mint 1 1", "trim 1 1 1"} {
		w.refused(t, mustParse(t, line), record.StatusDenied, "identity")
	}
	w = newRegion(t)
	w.apply(t, &record.Entry{Level: 3})
	for _, op := range []record.Op{newSource(2, 1).batch(), newSource(2, 1).snapshot()[0], mustParse(t, "trim 1 1 1"), mustParse(t, "take 2 a")} {
		w.refused(t, op, record.StatusNotFound, "")
	}
	w.refused(t, fence(1, record.FeedHead{Region: regionID(1)}), record.StatusInvalid, "")
	w.refused(t, mustParse(t, "walk 0 1 1 1"), record.StatusStale, "")
	if _, found, err := state.ReadFederation(w.kv); err != nil || found {
		t.Errorf("federation began: %v", err)
	}
}

// Operations of federation give the same whether they come in one entry or in many: what an entry knows of channels and
// namespaces is what the rows would say.
func TestFeedGrouping_DoesNotMatter(t *testing.T) {
	lines := []string{
		"peer 2 two", "peer 3 three", "unpeer 2 -", "link 2 9 1", "unlink 2 9", "take 2 web/", "place 1 1 9 default - 1", "place 1 1 9 default a 2",
		"place 1 2 9 prod - 1", "unplace 1 1 9 default a", "channel 0 1 all", "channel 0 3 all", "channel 0 4 all", "channel 1 4 all web/", "mint 1 0",
		"mint 2 5", "trim 1 1 1", "trim 1 2 2", "put a 1", "put ab 2", "del a", "put instance:web/1 up", "del instance:web/1", "ns-create default prod",
		"ns-delete default prod", "put service@1.2:x 1", "del service@1.2:x", "heal put a 3", "heal del a",
	}
	rapid.Check(t, func(rt *rapid.T) {
		one, many := newRegion(t), newRegion(t)
		for _, w := range []*world{one, many} {
			w.apply(t, &record.Entry{Level: 2})
		}
		var ops []record.Op
		for range rapid.IntRange(1, 20).Draw(rt, "n") {
			ops = append(ops, mustParse(t, rapid.SampledFrom(lines).Draw(rt, "line")))
		}
		all := one.ops(t, ops...)
		var each state.Outcome
		for _, op := range ops {
			out := many.ops(t, op)
			each.Results, each.Commits = append(each.Results, out.Results...), append(each.Commits, out.Commits...)
		}
		if a, b := formatOutcome(all), formatOutcome(each); a != b {
			rt.Fatalf("in one entry:\n%s\none by one:\n%s", a, b)
		}
		if a, b := one.hash(t), many.hash(t); !bytes.Equal(a, b) {
			rt.Fatalf("hash %x in one entry, %x one by one", a, b)
		}
		checkFeed(t, one)
	})
}
