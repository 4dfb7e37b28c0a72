package state_test

import (
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// documentEntries are what a region applied that healed and took the document of a channel from a peer.
func documentEntries(t *testing.T) []record.Entry { return proposed(documentHistory(t).kept) }

// While it heals, a region takes documents of its channels as peers show them. They go through the records in the next incarnation.
func TestSetChannel_BroughtBack(t *testing.T) { documentHistory(t) }

func documentHistory(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.keep = true
	w.ok(t, "identity 1 dc1")
	w.offers(t)
	w.ok(t, "put config:app/b 1")
	w.apply(t, &record.Entry{Level: record.LevelDocuments})
	set := func(change func(*record.Channel)) record.Op {
		c := record.Channel{ID: 9, Name: "late", Class: record.ClassConfig, Projection: record.ProjectionFull, Generation: 1<<32 | 3}
		change(&c)
		return record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: c}}
	}
	late := set(func(*record.Channel) {})
	w.refused(t, late, record.StatusStale, "does not heal")
	w.take(t, fence(record.FenceHealing, record.FeedHead{Region: regionID(1), Channel: 9, Position: record.FeedPosition{Incarnation: 1, Sequence: 5}}))
	w.refused(t, set(func(c *record.Channel) { c.ID = 0 }), record.StatusInvalid, "no channel 0")
	w.refused(t, set(func(c *record.Channel) { c.Class = 99 }), record.StatusInvalid, "class")
	w.refused(t, set(func(c *record.Channel) { c.ID, c.Generation = 4, 1<<32|1 }), record.StatusStale, "not older")
	w.refused(t, set(func(c *record.Channel) { c.ID = 4 }), record.StatusExists, "another class")
	w.refused(t, set(func(c *record.Channel) { c.Name = "all" }), record.StatusExists, "all")
	w.take(t, late)
	w.refused(t, late, record.StatusStale, "not older")
	w.ok(t, "heal put config:app/a 1")
	if _, s := w.feedState(t, 1, 9); s.Walking || s.Records != 1 || s.Position.Incarnation != 1 {
		t.Errorf("before the new incarnation: %+v", s)
	}
	w.ok(t, "mint 1 0")
	w.walkAll(t, 1)
	if _, s := w.feedState(t, 1, 9); s.Records != 2 || s.Position.Incarnation != 2 {
		t.Errorf("in the new incarnation: %+v", s)
	}
	if r := w.ok(t, "channel 0 2 next"); r.ID != 10 {
		t.Errorf("the next channel is %d", r.ID)
	}
	docs, err := state.Channels(w.kv)
	if err != nil || len(docs) != 6 || docs[4].Name != "late" || docs[4].Generation != 2<<32|1 {
		t.Errorf("%+v, %v", docs, err)
	}
	checkFeed(t, w)
	return w
}
