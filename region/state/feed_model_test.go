package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// pair is a home and a receiver of its channels, with nothing between them.
// Both keep what is applied to them.
type pair struct {
	t              testing.TB
	home, receiver *world
}

const (
	pairHome     = 2
	pairChannels = 4
)

func newPair(t testing.TB) *pair {
	p := &pair{t: t, home: newWorld(t), receiver: newWorld(t)}
	p.home.keep, p.receiver.keep = true, true
	p.receiver.ok(t, "identity 1 dc1")
	for _, line := range []string{
		"identity 2 dc2", "peer 1 one", "place 1 1 9 default - 2", "channel 0 1 all", "channel 0 2 all", "channel 0 4 all", "channel 0 4 some web/ db/1",
	} {
		p.home.ok(t, line)
	}
	for _, line := range []string{"peer 2 two", "link 2 9 1", "place 1 1 9 default - 2", "channel 0 2 own"} {
		p.receiver.ok(t, line)
	}
	return p
}

func (p *pair) states(channel uint32) (home, receiver record.FeedState) {
	_, home = p.home.feedState(p.t, pairHome, channel)
	_, receiver = p.receiver.feedState(p.t, pairHome, channel)
	return home, receiver
}

// ownHead is the head of a channel of the home, as if signed.
func (p *pair) head(channel uint32) record.FeedHead {
	docs, err := state.Channels(p.home.kv)
	if err != nil {
		p.t.Fatal(err)
	}
	h, err := state.OwnHead(p.home.kv, regionID(pairHome), &docs[channel-1])
	if err != nil {
		p.t.Fatal(err)
	}
	h.Time = int64(p.home.index)
	return h
}

// next makes the operation that takes the receiver on: a batch from the log, else the chunks of a snapshot.
func (p *pair) next(channel uint32, bytes int) (ops []record.Op) {
	home, receiver := p.states(channel)
	_, resync, err := state.ReadResync(p.receiver.kv, 2, channel)
	if err != nil {
		p.t.Fatal(err)
	}
	h := p.head(channel)
	if resync || home.Position.Incarnation != receiver.Position.Incarnation || receiver.Position.Sequence < home.FloorSequence {
		return p.chunks(channel, h, bytes)
	}
	rows, err := state.FeedLog(p.home.kv, state.AliasSelf, channel, &home, receiver.Position.Sequence, bytes)
	if err != nil {
		p.t.Fatal(err)
	}
	b := &record.Import{RegionID: regionID(pairHome), Channel: channel, From: receiver.Position}
	for _, row := range rows {
		b.Records = append(b.Records, row.Record)
		h.Position.Sequence, h.Position.Chain, h.Digest, h.Revision = row.Sequence, row.Chain, row.Digest, row.Revision
	}
	b.Head = record.AppendFeedHead(nil, &h)
	return []record.Op{{Type: record.OpImport, Import: b}}
}

func (p *pair) chunks(channel uint32, h record.FeedHead, bytes int) (ops []record.Op) {
	var from []byte
	for {
		items, next, err := state.FeedContent(p.home.kv, state.AliasSelf, channel, from, bytes)
		if err != nil {
			p.t.Fatal(err)
		}
		ops = append(ops, record.Op{Type: record.OpReplace, Replace: &record.Replace{
			RegionID: regionID(pairHome), Channel: channel, Target: record.AppendFeedHead(nil, &h), From: from, To: next, Items: items,
		}})
		if from = next; next == nil {
			return ops
		}
	}
}

func (p *pair) settle() {
	for channel := uint32(1); channel <= pairChannels; channel++ {
		p.home.walkAll(p.t, 100)
		for range 3 {
			for _, op := range p.next(channel, 1<<20) {
				if r := p.receiver.op(p.t, op); r.Status != record.StatusOK && r.Status != record.StatusStale {
					p.t.Fatalf("channel %d: %s", channel, formatResult(r))
				}
			}
		}
		home, receiver := p.states(channel)
		if home.Position != receiver.Position || home.Digest != receiver.Digest || home.Records != receiver.Records {
			p.t.Fatalf("channel %d: home %+v, receiver %+v", channel, home, receiver)
		}
	}
	p.receiver.walkAll(p.t, 100)
}

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"instance:web/1", "instance:web/2", "instance:db/1", "instance:db/2", "config:a", "config:b", "route:r"}).Draw(t, "name")
}

func drawTerms(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", " web/", " db/", " =web/1 a", " nothing"}).Draw(t, "terms")
}

// Whatever happens to a home, a receiver and the walks of both, in whatever order: every sum that is kept of a channel is
// that of its rows, the counters of tenants too, what is shown is there, and in the end both have the same.
func TestFeedModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := newPair(t)
		try := func(w *world, format string, args ...any) { w.line(t, fmt.Sprintf(format, args...)) }
		draw := func(name string, n int) int { return rapid.IntRange(0, n).Draw(rt, name) }
		step := func(w *world) {
			limit, first := uint32(1+draw("limit", 3)), true
			for alias, region := range []uint64{1, 2} {
				if w == p.home {
					region = 3 - region
				}
				_ = state.EachFeedState(w.kv, uint32(alias)+1, func(channel uint32, s *record.FeedState) error {
					if s.Walking && first {
						first = false
						w.op(t, record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: regionID(region), Channel: channel, Step: s.Step, From: s.Next, Limit: limit}})
					}
					return nil
				})
			}
		}
		deliver := func(*rapid.T) {
			for _, op := range p.next(uint32(1+draw("channel", pairChannels-1)), []int{1, 100, 1 << 20}[draw("bytes", 2)]) {
				if draw("lost", 7) == 0 {
					return
				}
				p.receiver.op(t, op)
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) { try(p.home, "put %s %d", drawName(rt), draw("value", 3)) },
			"put two": func(rt *rapid.T) {
				try(p.home, "txn then put config:a %d ; put instance:web/1 %d ; del instance:db/1", draw("value", 3), draw("value", 3))
			},
			"del":    func(rt *rapid.T) { try(p.home, "del %s", drawName(rt)) },
			"select": func(rt *rapid.T) { try(p.home, "channel %d 4 c%s", 3+draw("channel", 1), drawTerms(rt)) },
			"walk":   func(*rapid.T) { step(p.home) },
			"trim":   func(*rapid.T) { try(p.home, "trim 2 %d %d", 1+draw("channel", 3), draw("through", 8)) },
			"mint": func(*rapid.T) {
				f, _, _ := state.ReadFederation(p.home.kv)
				if f.Incarnation < 4 {
					try(p.home, "mint %d %d", f.Incarnation, draw("seen", 3))
				}
			},
			"deliver":        deliver,
			"deliver again":  deliver,
			"receiver walks": func(*rapid.T) { step(p.receiver) },
			"receiver trims": func(*rapid.T) { try(p.receiver, "trim 2 %d %d", 1+draw("channel", 3), draw("through", 8)) },
			"take":           func(rt *rapid.T) { try(p.receiver, "take 2%s", drawTerms(rt)) },
			"link":           func(*rapid.T) { try(p.receiver, "%s", []string{"link 2 9 1", "unlink 2 9"}[draw("linked", 1)]) },
			"peer": func(*rapid.T) {
				try(p.receiver, "%s", []string{"peer 2 two", "peer 2 two", "unpeer 2 -"}[draw("removed", 2)])
			},
			"receiver's own": func(rt *rapid.T) {
				try(p.receiver, "%s %s", []string{"put", "del"}[draw("verb", 1)], drawName(rt)+" mine")
			},
			"homes": func(*rapid.T) {
				try(p.receiver, "place 1 1 9 default %s %d", []string{"a", "b", "r"}[draw("prefix", 2)], 1+draw("home", 1))
			},
			"alarm": func(*rapid.T) { try(p.receiver, "alarm %s 1", []string{"on", "off", "off"}[draw("raised", 2)]) },
			"compact": func(*rapid.T) {
				try(p.receiver, "compact 1 %d", p.receiver.summary(t).Positions.Data)
				try(p.receiver, "purge 1 50")
			},
			"restore": func(*rapid.T) { p.receiver.restore(t) },
			"": func(rt *rapid.T) {
				for _, w := range []*world{p.home, p.receiver} {
					checkFeed(t, w)
					checkCounters(rt, w)
				}
			},
		})
		for _, line := range []string{"alarm off 1", "peer 2 two", "link 2 9 1", "take 2"} {
			p.receiver.ok(t, line)
		}
		p.settle()
		checkFeed(t, p.receiver)
		checkCounters(rt, p.receiver)
	})
}

// feedEntries go through every part of the feed, one operation each.
func feedEntries(t testing.TB) (before *world, ops []record.Op) {
	p := newPair(t)
	for _, line := range []string{"put instance:web/1 up", "put config:a 1", "put config:b 1", "put route:r 1"} {
		p.home.ok(t, line)
	}
	p.settle()
	w := p.receiver
	for _, line := range []string{"channel 2 2 own x", "put config:local 1", "peer 4 four", "take 2 a", "tenant-create acme", "place 2 2 8 default - 1"} {
		w.line(t, line)
	}
	for _, line := range []string{"put config:a 2", "del config:b", "put instance:web/2 up"} {
		p.home.ok(t, line)
	}
	receiver := w.kv.Snapshot()
	for channel := uint32(2); channel <= 3; channel++ {
		ops = append(ops, p.next(channel, 1<<20)...)
	}
	for _, op := range ops {
		w.op(t, op)
	}
	_, s := w.feedState(t, pairHome, 3)
	ops = append(ops, mustParse(t, fmt.Sprintf("trim 2 3 %d", s.Position.Sequence)))
	for _, line := range []string{"mint 1 0", "del route:r", "put config:d 1", "put config:e 1"} {
		p.home.ok(t, line)
	}
	ops = append(ops, p.next(2, 50)...)
	ops = append(ops, record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: regionID(1), Channel: 1, Step: 2, Limit: 10}})
	ops = append(ops, record.Op{Type: record.OpWalk, Walk: &record.Walk{RegionID: regionID(pairHome), Channel: 3, Step: s.Step, Limit: 10}})
	proof := record.FeedHead{Region: regionID(1), Channel: 1, Position: record.FeedPosition{Incarnation: 5}}
	ops = append(ops, fence(record.FenceHealing, proof))
	for _, line := range []string{
		"heal put instance:x 1", "mint 1 5", "channel 1 2 own", "channel 0 1 all", "link 2 9 1", "unlink 2 9", "take 2", "take 2 b",
		"place 1 1 9 default a 1", "unplace 1 1 9 default a", "trim 2 2 5", "trim 1 1 0", "peer 5 five", "unpeer 4 -", "tenant-delete acme", "put instance:y 1",
	} {
		ops = append(ops, mustParse(t, line))
	}
	w.kv, w.index = receiver, 1000
	return w, ops
}

// Whatever call fails, an operation of federation gives the error, leaves no iterator open, and never writes while one is.
func TestFeed_PassesOnEveryErrorOfTheStore(t *testing.T) {
	w, ops := feedEntries(t)
	failed := 0
	for i, op := range ops {
		e := &record.Entry{Level: 2, Ops: []record.Op{op}}
		for fail := 1; ; fail++ {
			b := &brittle{KV: w.kv.Snapshot(), t: t, fail: fail}
			_, err := state.Apply(b, w.index+1, e)
			if b.open != 0 {
				t.Fatalf("operation %d (type %d), call %d failed: %d iterators stay open", i, op.Type, fail, b.open)
			}
			if b.calls < fail {
				break
			}
			if failed++; !errors.Is(err, errDisk) {
				t.Fatalf("operation %d (type %d), call %d failed and it says %v", i, op.Type, fail, err)
			}
		}
		if r := w.op(t, op); r.Status != record.StatusOK {
			t.Errorf("operation %d (type %d): %s", i, op.Type, formatResult(r))
		}
	}
	if failed < 300 {
		t.Errorf("only %d calls failed", failed)
	}
	checkFeed(t, w)
}

// A row of the feed that is damaged or of a later format stops the replica with an instruction; nothing panics.
func TestFeed_StopsOnRowsItCannotRead(t *testing.T) {
	w, ops := feedEntries(t)
	stopped := map[record.Space]bool{}
	for _, op := range ops {
		e := &record.Entry{Level: 2, Ops: []record.Op{op}}
		for space := range record.Space(20) {
			each(t, w, space, func(key, value []byte) {
				for _, bad := range [][]byte{{}, {1}, append([]byte{77}, value...)} {
					kv := w.kv.Snapshot()
					_ = kv.Set(key, bad)
					_, err := state.Apply(kv, w.index+1, e)
					if err == nil {
						continue // the operation did not need that row
					}
					f, ok := fault.As(err)
					if !ok || f.Kind != fault.Corrupt && f.Kind != fault.Unsupported || f.Hint == "" {
						t.Fatalf("operation %d on row %x = %x: %v", op.Type, key, bad, err)
					}
					stopped[space] = true
				}
			})
		}
		w.op(t, op)
	}
	for _, space := range []record.Space{
		record.SpaceMeta, record.SpaceVersions, record.SpaceFeedLog, record.SpaceExported, record.SpaceCursors, record.SpaceOrigins, record.SpaceResync,
		record.SpaceRegions, record.SpaceFederated,
	} {
		if !stopped[space] {
			t.Errorf("no damage in space %d was seen", space)
		}
	}
}

// What is read of channels passes on every error of the store too.
func TestFeedReads_PassOnEveryErrorOfTheStore(t *testing.T) {
	w, ops := feedEntries(t)
	for _, op := range ops[:2] {
		w.op(t, op)
	}
	_, st := w.feedState(t, pairHome, 3)
	reads := map[string]func(state.Reader) error{
		"regions":  func(r state.Reader) error { _, err := state.Regions(r); return err },
		"links":    func(r state.Reader) error { _, err := state.Links(r, 2); return err },
		"selector": func(r state.Reader) error { _, err := state.ImportSelector(r, 2); return err },
		"log":      func(r state.Reader) error { _, err := state.FeedLog(r, 2, 3, &st, st.FloorSequence, 1<<20); return err },
		"content":  func(r state.Reader) error { _, _, err := state.FeedContent(r, 2, 2, nil, 1<<20); return err },
		"states": func(r state.Reader) error {
			return state.EachFeedState(r, 2, func(uint32, *record.FeedState) error { return nil })
		},
		"own": func(r state.Reader) error {
			_, _, err := state.FeedContent(r, 1, 1, nil, 1<<20)
			return err
		},
		"standing": func(r state.Reader) error {
			_, err := state.StandingOf(r, &record.FeedHead{Channel: 1, Position: record.FeedPosition{Incarnation: 1}})
			return err
		},
		"head": func(r state.Reader) error {
			_, err := state.OwnHead(r, regionID(1), &record.Channel{ID: 1})
			return err
		},
	}
	for name, read := range reads {
		for fail := 1; ; fail++ {
			b := &brittle{KV: w.kv, t: t, fail: fail}
			err := read(b)
			if b.open != 0 {
				t.Fatalf("%s: call %d failed: %d iterators stay open", name, fail, b.open)
			}
			if b.calls < fail {
				if err != nil || fail == 1 {
					t.Errorf("%s after %d calls: %v", name, fail, err)
				}
				break
			}
			if !errors.Is(err, errDisk) {
				t.Errorf("%s: call %d failed and it says %v", name, fail, err)
			}
		}
	}
}

// An exported record that is not what its channel carries is found, not sent.
func TestFeedContent_FindsDamage(t *testing.T) {
	w := newHome(t)
	w.ok(t, "put a 1")
	k := key("a")
	b, _, _ := w.kv.Get(record.AppendVersionKey(nil, k, 2))
	_ = w.kv.Set(record.AppendVersionKey(nil, k, 2), append(bytes.Clone(b), 'x'))
	if _, _, err := state.FeedContent(w.kv, state.AliasSelf, 3, nil, 1<<20); !fault.Is(err, fault.Corrupt) {
		t.Errorf("%v", err)
	}
}
