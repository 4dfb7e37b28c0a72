package federation

import (
	"slices"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/feed"
	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// fenced has a region take itself for one that lost what was in its endpoints.
func (s *site) fenced() {
	ahead := s.head(uint32(record.ClassEndpoints), record.FeedPosition{Incarnation: 1, Sequence: 5000}, record.Digest{})
	s.do(record.Op{Type: record.OpFence, SetFence: &record.SetFence{Fence: record.FenceHealing, Proof: ahead, Reason: "test"}})
}

// stands gives where a channel of a region itself is.
func (s *site) stands(channel record.Class) record.FeedState {
	st, _, err := state.FeedStateOf(s.store.pin(), state.AliasSelf, uint32(channel))
	if err != nil {
		s.w.t.Fatal(err)
	}
	return st
}

// TestRestored_PeerBehind: the only peer is where the region was some records ago, as one whose link was slow. What came after was
// never there to be lost, and is not taken for deleted.
func TestRestored_PeerBehind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		a.put(config("app"), "one")
		a.put(config("gone"), "one")
		w.converge(15*time.Second, a, b)
		w.isolate(a, true)
		a.put(config("app"), "two")
		a.put(config("late"), "two")
		a.delete(config("gone"))
		a.servers[0].stop()
		a.start("n1") // what is here is from before this process
		a.store.lead("n1")
		w.until(5*time.Second, "it knows what it began with", func() bool { return a.fed().started.Load() > 0 })
		a.fenced()
		w.isolate(a, false)
		w.until(60*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		w.converge(20*time.Second, a, b)
		if _, found := b.of(a, config("gone")); found || !b.has(a, config("app"), "two") || !b.has(a, config("late"), "two") {
			t.Error("healing took away what the peer had not got yet")
		}
		if h := a.status().GetHealing(); h.GetRestored() != 0 || h.GetKept() != 0 {
			t.Errorf("report %v", h)
		}
	})
}

// TestRestored_HostilePeer: a peer that shows a head of the region, which it may have, gives its own records for it, or old ones.
func TestRestored_HostilePeer(t *testing.T) {
	for _, old := range []bool{false, true} {
		bubble.Test(t, func(t *testing.T) {
			w := newWorld(t, 40*time.Millisecond)
			defer w.close()
			a := w.region("alpha")
			evil := w.hostile("evil", a)
			defer func() { evil.stop() }()
			a.federate(a)
			a.put(config("app"), "one")
			w.until(10*time.Second, "its configuration is in a channel", func() bool { return a.stands(record.ClassConfig).Records == 1 })
			first := a.stands(record.ClassConfig)
			items, _, err := state.FeedContent(a.store.pin(), state.AliasSelf, uint32(record.ClassConfig), nil, feed.MaxBatchBytes)
			if err != nil {
				t.Fatal(err)
			}
			a.put(config("app"), "two")

			channel := uint32(record.ClassConfig)
			shown := a.head(channel, record.FeedPosition{Incarnation: 1, Sequence: 6000}, record.Digest{})
			chunk := &feed.Chunk{Items: slices.Clone(items), Target: a.head(channel, first.Position, first.Digest)}
			if !old {
				for i := range chunk.Items {
					entry, err := record.DecodeFeedEntry(chunk.Items[i].Entry)
					if err != nil {
						t.Fatal(err)
					}
					entry.Value = []byte("of evil")
					chunk.Items[i].Entry = record.AppendFeedEntry(nil, &entry)
				}
				var d record.Digest
				for _, item := range chunk.Items {
					d.Add(record.Element(item.Key, item.Entry))
				}
				chunk.Target = evil.signedHead(evil.site, channel, record.FeedPosition{Incarnation: 1, Sequence: 6000}, d)
			}
			raw := feed.Append(nil, &feed.Message{Type: feed.TypeChunk, Region: a.id, Channel: channel, Chunk: chunk})
			evil.set([]offer{{evil.signedDocument(a), shown}}, func(m *feed.Message, send func([]byte) error) {
				if m.Region == a.id {
					_ = send(raw)
				}
			})
			a.servers[0].stop()
			a.start("n1")
			a.store.lead("n1")
			w.until(200*time.Second, "it gave up on the peer", func() bool { return a.status().GetHealing() != nil })
			if evil.asked() == 0 {
				t.Error("the peer was not asked")
			}
			if !a.has(a, config("app"), "two") {
				t.Errorf("old %v: a peer changed a record of the region", old)
			}
			st := a.status()
			if h := st.GetHealing(); h.GetRestored() != 0 || len(h.GetUnreachable()) == 0 || st.GetFence() != pb.Fence_FENCE_NONE {
				t.Errorf("old %v: %v, report %v", old, st.GetFence(), h)
			}
		})
	}
}
