package state_test

import (
	"fmt"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// What a person sets of the exchange with other regions is recorded with who did it; what the region does itself is not.
func TestSettings_SayWho(t *testing.T) {
	w := newReceiver(t)
	by := func(actor string) record.Writer { return record.Writer{Time: 5, Actor: actor} }
	self, two := regionID(1), regionID(2)
	channel := record.Channel{Name: "mine", Class: record.ClassConfig, Projection: record.ProjectionFull}
	link := record.Link{RegionID: two, Remote: [16]byte{7}, Tenant: 1}
	w.ok(t, "unlink 2 9") // of a duty, as it were
	for _, set := range []struct {
		name string
		live bool
		op   record.Op
	}{
		{fmt.Sprintf("link/%x/%x", two, link.Remote), true, record.Op{Type: record.OpLink, Link: &record.Link{RegionID: two, Remote: link.Remote, Tenant: 1, Writer: by("link")}}},
		{fmt.Sprintf("link/%x/%x", two, link.Remote), false, record.Op{Type: record.OpLink, Link: &record.Link{RegionID: two, Remote: link.Remote, Writer: by("unlink")}}},
		{"channel/1", true, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: channel, Writer: by("channel")}}},
		{fmt.Sprintf("import/%x", two), true, record.Op{Type: record.OpTake, Take: &record.Take{RegionID: two, Selector: record.Selector{{Name: "a"}}, Writer: by("take")}}},
		{"fence", true, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: 1, Operator: true, Writer: by("mint")}}},
	} {
		commits := w.take(t, set.op)
		if len(commits) != 1 || len(commits[0].Events) != 1 || commits[0].Events[0].Record.Key.Name != set.name {
			t.Fatalf("%s: %s", set.name, formatCommits(commits))
		}
		c := commits[0]
		actor, err := state.ActorOf(w.kv, record.ShardSystem, c.Position.Revision)
		if err != nil || actor != c.Writer.Actor || actor == "" || c.Events[0].Record.Key.Kind != record.KindSetting {
			t.Errorf("%s is by %q: %v", set.name, actor, err)
		}
		if got := c.Events[0].Type == record.EventPut; got != set.live {
			t.Errorf("%s is set: %v", set.name, got)
		}
	}
	if commits := w.take(t, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: record.Channel{ID: 1, Name: "mine", Class: record.ClassConfig, Projection: record.ProjectionFull}}}); len(commits) != 0 {
		t.Errorf("nobody is recorded: %s", formatCommits(commits))
	}
	if actor, err := state.ActorOf(w.kv, record.ShardSystem, 1<<40); actor != "" || err != nil {
		t.Errorf("a revision that is not there is by %q: %v", actor, err)
	}

	// Of two who begin from one document the later is told.
	peer := func(at uint64, value string) record.Op {
		return record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: self, Value: []byte(value), Compare: true, Revision: at}}
	}
	w.refused(t, peer(9, "a"), record.StatusStale, "expected was 9")
	first := w.take(t, peer(0, "a"))[0].Position.Revision
	w.refused(t, peer(0, "b"), record.StatusStale, "expected was 0")
	w.take(t, peer(first, "b"))
	w.refused(t, peer(first, "c"), record.StatusStale, "revision")
}
