package federation

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// via tells through whom the channels of a region come: its name if all come through one.
func (s *site) via(o *site) string {
	list, err := s.fed().ChannelList()
	if err != nil {
		s.w.t.Fatal(err)
	}
	via := ""
	for i, c := range list {
		switch {
		case c.GetRegion() != o.name:
		case via == "" || via == c.GetVia():
			via = c.GetVia()
		default:
			return fmt.Sprintf("%s and %s (%d)", via, c.GetVia(), i)
		}
	}
	return via
}

func (s *site) age(o *site) time.Duration {
	age, ok := s.fed().Age(o.id)
	if !ok {
		return neverHeard
	}
	return age
}

func TestRelay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.cut(a, c)
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		if via := c.via(a); via != "beta" {
			t.Errorf("the channels of alpha come through %q", via)
		}
		w.until(3*time.Second, "what comes through a relay is fresh", func() bool { return c.age(a) < 2*time.Second })
		for range 20 { // and stays so: two probes and their round trips
			time.Sleep(100 * time.Millisecond)
			if age := c.age(a); age > 2500*time.Millisecond {
				t.Errorf("through a relay it is %v old", age)
			}
		}
		w.heal(a, c)
		took := w.until(20*time.Second, "direct again", func() bool { return c.via(a) == "alpha" && a.via(c) == "gamma" })
		t.Logf("direct %v after the heal", took)
		a.put(config("app"), "two")
		w.converge(5 * time.Second)
		// Cut in the midst of it.
		w.cut(a, c)
		cutAt := time.Now()
		a.put(config("app"), "three")
		b.put(instance("web/1"), "three")
		w.until(20*time.Second, "it comes through the relay", func() bool { return c.has(a, config("app"), "three") })
		// Long before the connection is known to be dead: two probes without an answer, counted from the first after the cut.
		if took := time.Since(cutAt); took > 3500*time.Millisecond {
			t.Errorf("through the relay only %v after the cut", took)
		} else {
			t.Logf("through the relay %v after the cut", took)
		}
		w.converge(5 * time.Second)
		// The relay is cut as well: nobody serves, nothing is lost, the age tells.
		w.isolate(c, true)
		time.Sleep(20 * time.Second)
		if !c.has(a, config("app"), "three") || c.age(a) < 15*time.Second {
			t.Errorf("age %v", c.age(a))
		}
		w.isolate(c, false)
		w.converge(20 * time.Second)
		w.linked()
		w.verify()
		for _, s := range w.regions {
			if s.store.counted(record.OpFence) > 0 {
				t.Errorf("%s fenced itself", s.name)
			}
		}
	})
}

// TestRelay_Flaps: a direct link that carries nothing for three seconds of every five moves its channels seldom.
func TestRelay_Flaps(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, _, c := w.three()
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		w.linked()
		moves, via := 0, c.via(a)
		for round := range 300 {
			if round%50 == 0 {
				w.cut(a, c)
			}
			if round%50 == 30 {
				w.heal(a, c)
			}
			if round%10 == 0 {
				a.put(config("app"), fmt.Sprint(round))
			}
			time.Sleep(100 * time.Millisecond)
			if now := c.via(a); (now == "alpha" || now == "beta") && now != via {
				moves, via = moves+1, now
			}
			if age := c.age(a); age > 4500*time.Millisecond {
				t.Errorf("%d: it is %v old", round, age)
			}
		}
		if t.Logf("%d moves", moves); moves == 0 || moves > 8 {
			t.Errorf("the channels moved %d times in half a minute", moves)
		}
		w.heal(a, c)
		w.until(20*time.Second, "direct again", func() bool { return c.via(a) == "alpha" })
		w.converge(5 * time.Second)
	})
}

func TestRelay_Audience(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.cut(a, c)
		w.converge(15 * time.Second)
		if _, err := a.fed().SetChannel(context.Background(), &pb.Channel{Id: uint32(record.ClassConfig), Name: "all", Class: "config", Audience: []string{"beta"}}, record.Writer{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		a.put(config("secret"), "for beta")
		a.put(instance("web/1"), "for all")
		w.converge(10*time.Second, a, b)
		time.Sleep(10 * time.Second)
		if _, found := c.of(a, config("secret")); found || !b.has(a, config("secret"), "for beta") || !c.has(a, instance("web/1"), "for all") {
			t.Error("a relay gave a channel to a region that may not have it, or kept another back")
		}
		w.heal(a, c)
		time.Sleep(15 * time.Second)
		if _, found := c.of(a, config("secret")); found {
			t.Error("the home gave it")
		}
		if age := c.age(a); age > 1500*time.Millisecond { // what is withheld makes the rest no older
			t.Errorf("age %v", age)
		}
	})
}

// TestRelay_Cycle: nobody hears of a region that is gone; three relays have the same of it and ask each other in a ring.
func TestRelay_Cycle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		d := w.region("delta")
		w.mesh(w.regions...)
		d.federate(a)
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		w.isolate(a, true)
		cutAt := time.Now()
		time.Sleep(15 * time.Second)
		count := func() (n int) {
			for _, s := range []*site{b, c, d} {
				n += s.store.counted(record.OpImport) + s.store.counted(record.OpReplace)
			}
			return n
		}
		before := count()
		time.Sleep(30 * time.Second)
		if n := count() - before; n > 3*firstChannels*3*5 { // idle heads, of which one in 10 s is written
			t.Errorf("%d imports of a region that is gone", n)
		}
		for _, s := range []*site{b, c, d} {
			if gone := time.Since(cutAt); s.age(a) < gone-3*time.Second {
				t.Errorf("%s: what it has of a region that is gone for %v is %v old", s.name, gone, s.age(a))
			}
		}
		w.converge(time.Second, b, c, d)
		w.isolate(a, false)
		w.converge(20 * time.Second)
	})
}

// TestRelay_Unknown: a relay passes on, byte for byte, what it does not understand.
func TestRelay_Unknown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		b, c := w.region("beta"), w.region("gamma")
		a := w.plan("alpha") // of the next release; it gave this to beta, and runs no more
		w.mesh(a, b, c)
		b.federate(a)
		c.federate(a)
		doc := record.ChannelDocument{Region: a.id, Channel: record.Channel{ID: 2, Name: "all", Class: record.ClassConfig, Projection: record.ProjectionFull, Generation: 1 << 32}}
		copy(doc.Signature[:], ed25519.Sign(a.feed, doc.Signed()))
		at := record.FeedPosition{Incarnation: 1}
		b.do(record.Op{Type: record.OpReplace, Replace: &record.Replace{
			RegionID: a.id, Channel: 2, Target: a.head(2, at, record.Digest{}), Document: record.AppendChannelDocument(nil, &doc),
		}})
		entry := func(value string) []byte {
			return record.AppendFeedEntry(nil, &record.FeedEntry{OwnerEpoch: 1, Revision: 7, Version: 1, Extension: []byte("of a later version"), Value: []byte(value)})
		}
		var digest record.Digest
		rec := record.FeedRecord{Sequence: 1, Revision: 7}
		for _, k := range []record.FeedKey{
			{Tenant: a.id, Namespace: "default", Kind: 999, Regional: true, Name: "unknown"},
			{Tenant: a.id, Namespace: "default", Kind: record.KindConfig, Name: "app"},
		} {
			key := record.AppendFeedKey(nil, &k)
			rec.Changes = append(rec.Changes, record.FeedChange{Op: record.FeedPut, Key: key, Entry: entry(k.Name)})
			digest.Add(record.Element(key, entry(k.Name)))
		}
		encoded := record.AppendFeedRecord(nil, &rec)
		next := record.FeedPosition{Incarnation: 1, Sequence: 1, Chain: record.ChainNext(at.Chain, encoded)}
		b.do(record.Op{Type: record.OpImport, Import: &record.Import{RegionID: a.id, Channel: 2, From: at, Records: [][]byte{encoded}, Head: a.head(2, next, digest)}})
		w.until(20*time.Second, "gamma has it through beta", func() bool { return c.has(a, config("app"), "app") })
		k := record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: 999, Scope: record.ScopeRegion, Name: "unknown"}
		if !c.has(a, k, "unknown") || !b.has(a, k, "unknown") {
			t.Error("a record of an unknown kind is not kept")
		}
		theirs, _, err := state.FeedContent(b.store.pin(), b.alias(a), 2, nil, 1<<20)
		mine, _, err2 := state.FeedContent(c.store.pin(), c.alias(a), 2, nil, 1<<20)
		if err != nil || err2 != nil || len(mine) != 2 || len(theirs) != 2 {
			t.Fatalf("%d and %d records, %v, %v", len(theirs), len(mine), err, err2)
		}
		for i := range mine {
			if !bytes.Equal(mine[i].Key, rec.Changes[1-i].Key) || !bytes.Equal(mine[i].Entry, rec.Changes[1-i].Entry) || !bytes.Equal(mine[i].Entry, theirs[i].Entry) {
				t.Errorf("record %d was changed on its way", i)
			}
		}
	})
}

// head makes a head that the region signs.
func (s *site) head(channel uint32, at record.FeedPosition, d record.Digest) []byte {
	h := record.FeedHead{Region: s.id, Channel: channel, Generation: at.Incarnation << 32, Position: at, Digest: d, Revision: 7, Time: time.Now().UnixNano()}
	copy(h.Signature[:], ed25519.Sign(s.feed, h.Signed()))
	return record.AppendFeedHead(nil, &h)
}
