package federation

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// hostile is a peer with a valid certificate that says what the test wants.
type hostile struct {
	*site
	end  *link.Endpoint
	stop func()

	mu     sync.Mutex
	offers []offer
	pulled func(m *feed.Message, send func(raw []byte) error)
	pulls  int
	ended  error // of the last connection that was accepted
}

func (w *world) hostile(name string, friends ...*site) *hostile {
	h := &hostile{site: w.plan(name)}
	me := &server{site: h.site, node: "n1"}
	h.servers = append(h.servers, me)
	socket, address, closeLink := me.socket("")
	me.address = address
	roots := &trust{roots: map[[16]byte]*x509.CertPool{}}
	for _, s := range w.regions {
		_ = roots.set(s.id, [][]byte{s.ca.cert.Raw})
	}
	c := roots.tls(h.ca.issue(w.t, link.PeerID{Region: h.id, Server: "n1"}))
	end, err := link.New(link.Config{
		Self: link.PeerID{Region: h.id, Server: "n1"}, Server: c, Client: func([16]byte) (*tls.Config, error) { return c, nil }, Identify: identify,
		Level: record.FeatureLevel,
		Accept: func(ctx context.Context, c *link.Conn) error {
			err := h.serve(ctx, c)
			h.mu.Lock()
			h.ended = c.Err()
			h.mu.Unlock()
			return err
		},
	}, socket)
	if err != nil {
		w.t.Fatal(err)
	}
	h.end = end
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- end.Run(ctx) }()
	<-end.Ready()
	h.stop = func() { cancel(); <-done; closeLink() }
	for _, s := range friends {
		s.knows(h.site)
	}
	return h
}

func (h *hostile) serve(ctx context.Context, c *link.Conn) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		s, err := c.Accept(ctx)
		if err != nil {
			return err
		}
		all.Go(func() {
			defer s.Close()
			for sequence := uint64(0); ; {
				m, err := s.Recv(ctx)
				if err != nil {
					return
				}
				h.mu.Lock()
				offers, pulled := h.offers, h.pulled
				h.mu.Unlock()
				if s.Class() == link.ClassCalls {
					id, _ := binary.Uvarint(m.Body)
					var b []byte
					for _, o := range offers {
						b = appendOffer(b, o)
					}
					_ = s.Send(ctx, link.Message{Type: frameAnswer, Body: encodeAnswer(id, b, nil)})
					continue
				}
				ask, err := feed.Decode(m.Body)
				if err != nil || ask.Type != feed.TypePull {
					continue
				}
				h.mu.Lock()
				h.pulls++
				h.mu.Unlock()
				send := func(raw []byte) error {
					body := append(binary.BigEndian.AppendUint64(nil, sequence), raw...)
					sequence++
					return s.Send(ctx, link.Message{Type: raw[1], Body: body})
				}
				_ = send(feed.Append(nil, &feed.Message{Type: feed.TypeOpened, Region: ask.Region, Channel: ask.Channel, Stamp: ask.Pull.Stamp}))
				pulled(&ask, send)
			}
		})
	}
}

func (h *hostile) set(offers []offer, pulled func(*feed.Message, func([]byte) error)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offers, h.pulled, h.pulls = offers, pulled, 0
}

func (h *hostile) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pulls
}

// document signs the document of channel 2 in the name of a region, by this region's key.
func (h *hostile) signedDocument(of *site) []byte {
	doc := record.ChannelDocument{Region: of.id, Channel: record.Channel{ID: 2, Name: "all", Class: record.ClassConfig, Projection: record.ProjectionFull, Generation: 1 << 32}}
	copy(doc.Signature[:], ed25519.Sign(h.feed, doc.Signed()))
	return record.AppendChannelDocument(nil, &doc)
}

// signedHead signs a head of a region, by this region's key.
func (h *hostile) signedHead(of *site, channel uint32, at record.FeedPosition, d record.Digest) []byte {
	head := record.FeedHead{Region: of.id, Channel: channel, Generation: 1 << 32, Position: at, Digest: d, Revision: 7, Time: time.Now().UnixNano()}
	copy(head.Signature[:], ed25519.Sign(h.feed, head.Signed()))
	return record.AppendFeedHead(nil, &head)
}

// snapshot makes all of channel 2 of the hostile region: keys with values that are their names.
func (h *hostile) snapshot(incarnation uint64, keys ...record.FeedKey) (offer, []byte) {
	var d record.Digest
	c := &feed.Chunk{Document: h.signedDocument(h.site)}
	for _, k := range keys {
		entry := record.AppendFeedEntry(nil, &record.FeedEntry{OwnerEpoch: 99, Revision: 7, Version: 1, Value: []byte("of " + h.name)})
		key := record.AppendFeedKey(nil, &k)
		c.Items = append(c.Items, record.FeedItem{Key: key, Entry: entry})
		d.Add(record.Element(key, entry))
	}
	c.Target = h.signedHead(h.site, 2, record.FeedPosition{Incarnation: incarnation, Sequence: 10}, d)
	return offer{h.signedDocument(h.site), c.Target}, feed.Append(nil, &feed.Message{Type: feed.TypeChunk, Region: h.id, Channel: 2, Chunk: c})
}

func TestHostilePeer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		a.put(config("app"), "of alpha")
		a.put(instance("web/1"), "of alpha")
		w.converge(15*time.Second, a, b)
		evil := w.hostile("evil", b)
		defer func() { evil.stop() }()
		goesOn := func(what string) {
			t.Helper()
			a.put(instance("web/1"), what)
			w.converge(2*time.Second, a, b)
			if s, err := b.fed().Status(context.Background()); err != nil || s.GetIncarnation() != 1 || s.GetFence() > 1 {
				t.Errorf("%s: status %v, %v", what, s, err)
			}
			if !b.has(a, config("app"), "of alpha") {
				t.Errorf("%s: a record of alpha was changed", what)
			}
		}
		stands := func() record.FeedState {
			s, _, err := state.FeedStateOf(b.store.pin(), b.alias(evil.site), 2)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}

		// It offers a channel of alpha, signed by itself.
		at := record.FeedPosition{Incarnation: 9, Sequence: 9}
		evil.set([]offer{{evil.signedDocument(a), evil.signedHead(a, 2, at, record.Digest{})}}, nil)
		time.Sleep(5 * time.Second)
		if evil.asked() > 0 {
			t.Error("a channel was pulled that its home did not sign")
		}
		goesOn("forged offer")

		// In its own channel it claims what is alpha's.
		own := record.FeedKey{Tenant: evil.id, Namespace: "default", Kind: 700, Regional: true, Name: "own"}
		o, snapshot := evil.snapshot(3,
			record.FeedKey{Tenant: evil.id, Namespace: "default", Kind: record.KindInstance, Name: "web/1"}, // as if it were placed
			record.FeedKey{Tenant: evil.id, Namespace: "default", Kind: record.KindConfig, Name: "app"},
			own)
		evil.set([]offer{o}, func(_ *feed.Message, send func([]byte) error) { _ = send(snapshot) })
		w.until(10*time.Second, "two records are in quarantine", func() bool { return stands().Quarantined == 2 && stands().Records == 3 })
		q, err := b.fed().Quarantine(10)
		if err != nil || q.GetTotal() != 2 || q.GetRecords()[0].GetReason() != "malformed" || q.GetRecords()[1].GetReason() != "not-home" {
			t.Errorf("quarantine %v, %v", q, err)
		}
		goesOn("claims")

		// It goes back to an older incarnation, which says something else.
		before := stands()
		o, snapshot = evil.snapshot(2, record.FeedKey{Tenant: evil.id, Namespace: "default", Kind: 700, Regional: true, Name: "older"})
		evil.set([]offer{o}, func(_ *feed.Message, send func([]byte) error) { _ = send(snapshot) })
		evil.again()
		w.until(15*time.Second, "it was pulled again and again", func() bool { return evil.asked() > 3 })
		if s := stands(); s.Position != before.Position || s.Digest != before.Digest {
			t.Errorf("a peer took the receiver back to %v", s.Position)
		}
		goesOn("old incarnation")

		// Batches whose chain or digest is not that of the head, that repeat a sequence, or that lack one.
		rec := func(sequence uint64) []byte {
			k := record.AppendFeedKey(nil, &own)
			return record.AppendFeedRecord(nil, &record.FeedRecord{Sequence: sequence, Revision: 8, Changes: []record.FeedChange{{Op: record.FeedDelete, Key: k}}})
		}
		gone := before.Digest
		for _, k := range []record.FeedKey{own} {
			entry := record.AppendFeedEntry(nil, &record.FeedEntry{OwnerEpoch: 99, Revision: 7, Version: 1, Value: []byte("of evil")})
			gone.Remove(record.Element(record.AppendFeedKey(nil, &k), entry))
		}
		good := record.FeedPosition{Incarnation: 3, Sequence: 11, Chain: record.ChainNext(before.Position.Chain, rec(11))}
		for _, x := range []struct {
			name   string
			record []byte
			at     record.FeedPosition
			digest record.Digest
		}{
			{"chain", rec(11), record.FeedPosition{Incarnation: 3, Sequence: 11, Chain: [32]byte{1}}, gone},
			{"digest", rec(11), good, before.Digest},
			{"gap", rec(12), record.FeedPosition{Incarnation: 3, Sequence: 12, Chain: record.ChainNext(before.Position.Chain, rec(12))}, gone},
			{"sequence", rec(12), record.FeedPosition{Incarnation: 3, Sequence: 11, Chain: record.ChainNext(before.Position.Chain, rec(12))}, gone},
			{"not a record", []byte("garbage"), record.FeedPosition{Incarnation: 3, Sequence: 11, Chain: record.ChainNext(before.Position.Chain, []byte("garbage"))}, gone},
		} {
			raw := feed.Append(nil, &feed.Message{Type: feed.TypeBatch, Region: evil.id, Channel: 2, Batch: &feed.Batch{
				Records: [][]byte{x.record}, Head: evil.signedHead(evil.site, 2, x.at, x.digest),
			}})
			evil.set([]offer{o}, func(_ *feed.Message, send func([]byte) error) { _ = send(raw) })
			evil.again()
			w.until(15*time.Second, "it was pulled again", func() bool { return evil.asked() > 1 })
			if s := stands(); s.Position != before.Position || s.Digest != before.Digest {
				t.Errorf("%s: it was taken over", x.name)
			}
			goesOn(x.name)
		}

		// It tells beta that it is behind: in a refusal, and in a pull of beta's channel.
		forged := evil.signedHead(b, 2, record.FeedPosition{Incarnation: 50, Sequence: 1000}, record.Digest{})
		refusal := feed.Append(nil, &feed.Message{Type: feed.TypeRefuse, Region: evil.id, Channel: 2, Refuse: &feed.Refuse{Reason: feed.RefusedBehind, Head: forged}})
		evil.set([]offer{o, {evil.signedDocument(b), forged}}, func(_ *feed.Message, send func([]byte) error) { _ = send(refusal) })
		evil.again()
		conn, err := evil.end.Dial(context.Background(), b.id, b.servers[0].address)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := conn.Open(context.Background(), link.ClassConfig)
		if err != nil {
			t.Fatal(err)
		}
		pull := &feed.Message{Type: feed.TypePull, Region: b.id, Channel: 2, Pull: &feed.Pull{
			Region: b.id, Channel: 2, Cursor: record.FeedPosition{Incarnation: 50, Sequence: 1000}, Head: forged, Credit: 1 << 20,
		}}
		if err := hello(context.Background(), stream, false, newLaneName()); err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(context.Background(), link.Message{Type: uint8(pull.Type), Body: feed.Append(nil, pull)}); err != nil {
			t.Fatal(err)
		}
		if m, err := stream.Recv(context.Background()); err != nil {
			t.Error(err)
		} else if answer, err := feed.Decode(m.Body[numbered:]); err != nil || answer.Refuse == nil || answer.Refuse.Reason != feed.RefusedBehind {
			t.Errorf("the pull was answered with %v, %v", answer, err)
		}
		conn.Close(nil)
		w.until(15*time.Second, "it was pulled again", func() bool { return evil.asked() > 1 })
		goesOn("forged heads")
		if b.store.counted(record.OpFence) > 0 {
			t.Error("a peer fenced another region")
		}

		// It sends a message of a later format, and one that is none.
		for _, raw := range [][]byte{append([]byte{77}, snapshot[1:]...), {1, 3}} {
			evil.set([]offer{o}, func(_ *feed.Message, send func([]byte) error) { _ = send(raw) })
			evil.again()
			w.until(40*time.Second, "the link says why", func() bool {
				for _, l := range b.fed().Links().GetLinks() {
					if l.GetRegion() == "evil" {
						return strings.Contains(l.GetLastError(), "format") || strings.Contains(l.GetLastError(), "pars") || strings.Contains(l.GetLastError(), "message")
					}
				}
				return false
			})
			goesOn(fmt.Sprintf("message %x", raw[:2]))
		}
	})
}

// again ends the connections, so that what was set is asked for anew.
func (h *hostile) again() {
	for _, c := range h.end.Conns() {
		c.Close(nil)
	}
}

// TestBundle_Expires: the roots by which a region is trusted end. What is up goes on; a new connection is refused, which is
// shown; what is here of the region stays and ages; the others go on.
func TestBundle_Expires(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		const lives = time.Minute
		a := w.plan("alpha")
		a.ca = newAuthority(t, lives)
		made := time.Now()
		a.start("n1")
		a.store.lead("n1")
		b, c := w.region("beta"), w.region("gamma")
		w.mesh(a, b, c)
		for _, s := range w.regions {
			s.federate(a)
		}
		a.put(instance("web/1"), "one")
		w.converge(15 * time.Second)
		w.linked()
		time.Sleep(lives - time.Since(made) + time.Second)
		a.put(instance("web/1"), "two")
		w.converge(5 * time.Second) // connections that are up stay
		w.isolate(a, true)
		time.Sleep(15 * time.Second)
		w.isolate(a, false)
		a.put(instance("web/1"), "three")
		b.put(instance("web/2"), "four")
		w.until(time.Minute, "the links to alpha are refused", func() bool {
			refused := 0
			for _, s := range []*site{b, c} {
				for _, l := range s.fed().Links().GetLinks() {
					if l.GetRegion() == a.name && l.GetState() == "refused" && l.GetLastError() != "" {
						refused++
					}
				}
			}
			return refused == 2
		})
		if !c.has(b, instance("web/2"), "four") || !c.has(a, instance("web/1"), "two") || c.age(a) < 15*time.Second {
			t.Errorf("gamma has web/1 of an age of %v", c.age(a))
		}
	})
}

// TestHostilePeer_Flood: a peer sends without end, whatever credit it has.
func TestHostilePeer_Flood(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		w.tuning.Credit = 256 << 10
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15*time.Second, a, b)
		evil := w.hostile("evil", b)
		defer func() { evil.stop() }()
		o, _ := evil.snapshot(3)
		big := &feed.Chunk{Target: o.head, To: []byte{0xff}, Items: []record.FeedItem{{Key: []byte("k"), Entry: make([]byte, 300<<10)}}}
		raw := feed.Append(nil, &feed.Message{Type: feed.TypeChunk, Region: evil.id, Channel: 2, Chunk: big})
		sent := 0
		b.store.mu.Lock()
		b.store.refuse = func(op *record.Op) error {
			if op.Replace != nil && op.Replace.RegionID == evil.id {
				time.Sleep(9 * time.Second) // the store is slow
			}
			return nil
		}
		b.store.mu.Unlock()
		evil.set([]offer{o}, func(_ *feed.Message, send func([]byte) error) {
			for range 1000 {
				if send(raw) != nil {
					return
				}
				sent++
			}
		})
		w.until(40*time.Second, "the connection was ended for it", func() bool {
			evil.mu.Lock()
			defer evil.mu.Unlock()
			return evil.ended != nil && strings.Contains(evil.ended.Error(), "credit")
		})
		a.put(instance("web/1"), "goes on")
		w.converge(3*time.Second, a, b)
		evil.set(nil, nil)
	})
}

func TestAges_NobodyMakesThemFresher(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a := newAges()
		n := channelName{region: [16]byte{1}, channel: 1}
		time.Sleep(time.Minute)
		a.note(n, a.stamp()+int64(time.Hour), 0)
		if age := a.of(n); age != 0 {
			t.Errorf("age %v", age)
		}
		time.Sleep(time.Minute)
		if age := a.of(n); age != time.Minute {
			t.Errorf("a stamp of the future made it %v old", age)
		}
		a.note(n, a.stamp(), -time.Hour)
		time.Sleep(time.Minute)
		if age := a.of(n); age != time.Minute {
			t.Errorf("a negative age made it %v old", age)
		}
		a.note(n, 0, 24*365*time.Hour)
		if age := a.of(n); age != time.Minute {
			t.Errorf("an older answer made it %v old", age)
		}
	})
}
