package feed

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// The regions of the model without its dice: channel 1 has the endpoints of a region, channel 2 its config.

func quiet(t testing.TB) *model {
	m := newModel(t, 1, rules{})
	for n := range m.nodes {
		m.walk(n, 1000)
	}
	return m
}

func (m *model) ok(n int, op record.Op) {
	m.t.Helper()
	if r := m.apply(n, op); r.Status != record.StatusOK {
		m.t.Fatalf("operation %d: status %d, %s", op.Type, r.Status, r.Detail)
	}
}

// put writes an instance at a region.
func (m *model) put(n int, name string, value []byte) {
	m.t.Helper()
	m.now++
	m.ok(n, record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData, Then: []record.TxnOp{{
		Type: record.TxnPut, Value: value,
		Key: record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: record.ScopeRegion, Name: name},
	}}}})
}

// audience changes who may have channel 1 of a region.
func (m *model) audience(n int, regions ...int) {
	m.t.Helper()
	c := record.Channel{ID: 1, Name: "all", Class: record.ClassEndpoints, Projection: record.ProjectionFull}
	for _, r := range regions {
		c.Audience = append(c.Audience, regionID(r))
	}
	m.ok(n, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: c}})
	m.walk(n, 1000)
}

func (m *model) fence(n int) {
	m.t.Helper()
	head := record.FeedHead{Region: m.nodes[n].id, Channel: 1, Position: record.FeedPosition{Incarnation: 99}}
	m.ok(n, record.Op{Type: record.OpFence, SetFence: &record.SetFence{Fence: record.FenceHealing, Proof: record.AppendFeedHead(nil, &head), Reason: "test"}})
}

// stream is a channel on its way from a server to a peer.
type stream struct {
	m            *model
	server, peer int
	e            *Exporter
	i            *Importer
	released     int
	sent         []*Message
}

func (s *stream) snapshot() (state.Reader, func()) {
	return s.m.nodes[s.server].kv.Snapshot(), func() { s.released++ }
}

// open pulls channel 1 of a region; it gives the refusal, if it is one.
func (m *model) open(server, peer, region int, credit uint32) (*stream, *Message) {
	m.t.Helper()
	s := &stream{m: m, server: server, peer: peer, i: &Importer{Self: m.nodes[peer].id, Region: regionID(region), Channel: 1, Keys: fakeKeys}}
	pull, err := s.i.Pull(m.nodes[peer].kv, m.now, credit)
	if err != nil {
		m.t.Fatal(err)
	}
	e, refused, err := m.server(server).Open(m.nodes[server].kv, m.nodes[peer].id, pull.Pull, s.snapshot)
	if err != nil || (e == nil) == (refused == nil) {
		m.t.Fatalf("%v and %v: %v", e, refused, err)
	}
	s.e = e
	return s, refused
}

// next gives the next message as it arrives, or nil.
func (s *stream) next() *Message {
	s.m.t.Helper()
	msg, err := s.e.Next(s.m.nodes[s.server].kv, s.m.now, 7, s.snapshot)
	if err != nil {
		s.m.t.Fatal(err)
	}
	if msg == nil {
		return nil
	}
	arrived, err := Decode(Append(nil, msg))
	if err != nil {
		s.m.t.Fatal(err)
	}
	s.sent = append(s.sent, &arrived)
	return &arrived
}

// pump takes over all that the server has to say.
func (s *stream) pump() (messages []*Message) {
	s.m.t.Helper()
	for msg := s.next(); msg != nil; msg = s.next() {
		messages = append(messages, msg)
		op, err := s.i.Take(msg)
		if err != nil {
			s.m.t.Fatal(err)
		}
		s.m.ok(s.peer, *op)
	}
	return messages
}

// follow opens a stream with credit for everything, and takes over what is there.
func (m *model) follow(server, peer, region int) *stream {
	m.t.Helper()
	s, refused := m.open(server, peer, region, 1<<30)
	if refused != nil {
		m.t.Fatalf("refused: %v", refused.Refuse.Reason)
	}
	s.pump()
	return s
}

func (m *model) same(a, b, region int) {
	m.t.Helper()
	if why := m.compare(b, region, 1); why != "" || m.position(a, regionID(region), 1) != m.position(b, regionID(region), 1) {
		m.t.Errorf("dc%d: %s", b+1, why)
	}
}

func TestOpen_Refuses(t *testing.T) {
	pull := func(m *model, region int) *Pull {
		at := m.position(0, regionID(0), 1)
		return &Pull{Region: regionID(region), Channel: 1, Cursor: at, Credit: 1000}
	}
	for _, tt := range []struct {
		name  string
		setUp func(m *model, p *Pull)
		want  Refusal // 0: served
		shows bool    // the server's head comes along
	}{
		{"served", func(*model, *Pull) {}, 0, false},
		{"a region that nobody knows", func(_ *model, p *Pull) { p.Region[0] = 77 }, RefusedUnknown, false},
		{"a channel that is not there", func(_ *model, p *Pull) { p.Channel = 9 }, RefusedUnknown, false},
		{"a region that is here without its channel", func(_ *model, p *Pull) { p.Region = regionID(3) }, RefusedUnknown, false},
		{"another audience", func(m *model, _ *Pull) { m.audience(0, 2, 3) }, RefusedAudience, false},
		{"its audience", func(m *model, p *Pull) { m.audience(0, 1); p.Cursor = m.position(0, regionID(0), 1) }, 0, false},
		{"a later incarnation", func(_ *model, p *Pull) { p.Cursor.Incarnation++ }, RefusedBehind, true},
		{"a later sequence", func(_ *model, p *Pull) { p.Cursor.Sequence++ }, RefusedBehind, true},
		{"another chain", func(_ *model, p *Pull) { p.Cursor.Chain[0]++ }, RefusedDiffers, true},
		{"another chain in between", func(_ *model, p *Pull) { p.Cursor.Sequence-- }, RefusedDiffers, true},
		{"all of it, and nothing newer is there", func(_ *model, p *Pull) { p.Whole = true }, RefusedBehind, true},
		{"all of it", func(_ *model, p *Pull) { p.Whole = true; p.Cursor.Sequence-- }, 0, false},
		{"fenced", func(m *model, _ *Pull) { m.fence(0) }, RefusedFenced, true},
		{"an earlier incarnation", func(_ *model, p *Pull) { p.Cursor.Incarnation = 0 }, 0, false},
		{"a region that is no longer a peer", func(m *model, p *Pull) {
			p.Region = regionID(2)
			m.ok(0, record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: regionID(2), Removed: true}})
		}, RefusedUnknown, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := quiet(t)
			for i := range 3 {
				m.put(0, fmt.Sprintf("web/%d", i), []byte("up"))
			}
			p := pull(m, 0)
			tt.setUp(m, p)
			e, refused, err := m.server(0).Open(m.nodes[0].kv, regionID(1), p, func() (state.Reader, func()) { return m.nodes[0].kv.Snapshot(), func() {} })
			switch {
			case err != nil:
				t.Fatal(err)
			case tt.want == 0:
				if e == nil {
					t.Errorf("refused: %v", refused.Refuse.Reason)
				}
			case refused == nil || refused.Refuse.Reason != tt.want || (len(refused.Refuse.Head) > 0) != tt.shows:
				t.Errorf("%+v; want %v with a head: %v", refused, tt.want, tt.shows)
			case tt.shows:
				if _, genuine := Keys(fakeKeys).verify(refused.Refuse.Head); !genuine {
					t.Error("the head is not signed")
				}
			}
		})
	}
}

// Nothing is sent that was not asked for: one message may go below the credit, the next waits for more.
func TestExporter_KeepsToItsCredit(t *testing.T) {
	m := quiet(t)
	m.follow(0, 1, 0)
	m.put(0, "web/1", make([]byte, 1000))
	none, _ := m.open(0, 1, 0, 0)
	if msg := none.next(); msg != nil {
		t.Errorf("without credit came %+v", msg)
	}
	s, _ := m.open(0, 1, 0, 1)
	if len(s.pump()) != 1 {
		t.Fatal("a credit of one byte gives one message")
	}
	for i := range 5 {
		m.put(0, fmt.Sprintf("web/%d", i), []byte("up"))
	}
	if msg := s.next(); msg != nil {
		t.Errorf("beyond the credit came %+v", msg)
	}
	s.e.Credit(1000)
	if msg := s.next(); msg != nil {
		t.Errorf("the message before took more than %d bytes, and there came %+v", 1001, msg)
	}
	s.e.Credit(5000)
	s.pump()
	m.same(0, 1, 0)
	sum := 0
	for _, msg := range s.sent {
		sum += msg.Size()
	}
	if left := s.e.credit; left != 6001-int64(sum) {
		t.Errorf("%d bytes of credit are left after %d", left, sum)
	}
	s.e.Credit(1<<32 - 1)
	if s.e.credit != 1<<30 {
		t.Errorf("credit has no bound: %d", s.e.credit)
	}
}

// A probe is answered with a new head, its stamp and the age, once.
func TestExporter_AnswersProbes(t *testing.T) {
	m := quiet(t)
	s := m.follow(0, 1, 0)
	if msg := s.next(); msg != nil {
		t.Errorf("nobody asked, and there came %+v", msg)
	}
	m.now += 100
	s.e.Probe(4711)
	got := s.pump()
	if len(got) != 1 || len(got[0].Batch.Records) != 0 || got[0].Batch.Stamp != 4711 || got[0].Batch.AgeNanos != 7 || got[0].Batch.Document != nil {
		t.Fatalf("%+v", got)
	}
	if head, genuine := Keys(fakeKeys).verify(got[0].Batch.Head); !genuine || head.Time != m.now {
		t.Errorf("the head is of %d, not %d", head.Time, m.now)
	}
}

// The document comes with the first message and with the first one after a change, and with no other.
func TestExporter_SendsTheDocumentWhenItIsNews(t *testing.T) {
	m := quiet(t)
	s := m.follow(0, 1, 0)
	generation := func(msg *Message) uint64 {
		b := msg.Chunk
		encoded := []byte(nil)
		if b != nil {
			encoded = b.Document
		} else {
			encoded = msg.Batch.Document
		}
		if encoded == nil {
			return 0
		}
		doc, genuine := Keys(fakeKeys).verifyDocument(encoded)
		if !genuine {
			t.Error("the document is not signed")
		}
		return doc.Channel.Generation
	}
	if first := generation(s.sent[0]); first != 1<<32|1 {
		t.Errorf("the first message has the document of generation %x", first)
	}
	m.put(0, "web/1", []byte("up"))
	if got := s.pump(); len(got) != 1 || generation(got[0]) != 0 {
		t.Errorf("%+v", got)
	}
	m.audience(0, 1, 2)
	if got := s.pump(); len(got) != 1 || generation(got[0]) != 1<<32|2 {
		t.Errorf("%+v", got)
	}
	again := m.follow(0, 1, 0)
	if len(again.sent) != 1 || generation(again.sent[0]) != 0 {
		t.Errorf("a pull that has the document gets %+v", again.sent)
	}
}

// Whoever is taken out of the audience gets no more: not of the tail, nor of a snapshot that was under way. The same when
// the server fences itself, or no longer knows the region.
func TestExporter_EndsWhenItMustNot(t *testing.T) {
	ends := map[string]struct {
		change func(m *model)
		want   Refusal
	}{
		"audience": {func(m *model) { m.audience(0, 2) }, RefusedAudience},
		"fence":    {func(m *model) { m.fence(0) }, RefusedFenced},
	}
	for name, end := range ends {
		m := quiet(t)
		for i := range 3 {
			m.put(0, fmt.Sprintf("web/%d", i), make([]byte, 400<<10))
		}
		s, _ := m.open(0, 1, 0, 1<<30)
		if first := s.next(); first.Chunk == nil || first.Chunk.To == nil {
			t.Fatalf("%s: %+v is no first chunk", name, first)
		}
		end.change(m)
		if msg := s.next(); msg == nil || msg.Refuse == nil || msg.Refuse.Reason != end.want || s.released != 1 {
			t.Errorf("%s: in a snapshot came %+v; released %d times", name, msg, s.released)
		}
		m = quiet(t)
		tail := m.follow(0, 1, 0)
		end.change(m)
		if msg := tail.next(); msg == nil || msg.Refuse == nil || msg.Refuse.Reason != end.want {
			t.Errorf("%s: at the tail came %+v", name, msg)
		}
	}
}

// A snapshot is one moment in chunks; the tail goes on from there, and nothing is lost in between.
func TestExporter_SnapshotThenTail(t *testing.T) {
	m := quiet(t)
	for i := range 5 {
		m.put(0, fmt.Sprintf("web/%d", i), make([]byte, 300<<10))
	}
	s, _ := m.open(0, 1, 0, 1<<30)
	first := s.next()
	op, err := s.i.Take(first)
	if err != nil {
		t.Fatal(err)
	}
	m.ok(1, *op)
	m.put(0, "web/0", []byte("new")) // behind the snapshot
	m.put(0, "web/9", []byte("new"))
	rest := s.pump()
	var chunks, batches int
	for _, msg := range append([]*Message{first}, rest...) {
		if msg.Chunk != nil && batches == 0 && bytes.Equal(msg.Chunk.Target, first.Chunk.Target) {
			chunks++
		} else if msg.Batch != nil {
			batches++
		}
	}
	if chunks < 3 || batches != 1 || chunks+batches != len(rest)+1 || s.released != 1 {
		t.Errorf("%d chunks, %d batches of %d messages; released %d times", chunks, batches, len(rest)+1, s.released)
	}
	m.same(0, 1, 0)
	if s.i.At() != m.position(1, regionID(0), 1) {
		t.Errorf("the importer is at %+v", s.i.At())
	}
	// A trim behind the cursor, and a new incarnation: the tail turns into a snapshot by itself.
	m.ok(0, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: 1}})
	m.put(0, "web/1", []byte("minted"))
	if got := s.pump(); got[0].Chunk == nil {
		t.Errorf("after a mint came %+v", got[0])
	}
	m.same(0, 1, 0)
	m.put(0, "web/2", []byte("a"))
	m.put(0, "web/2", []byte("b"))
	m.ok(0, record.Op{Type: record.OpTrimFeed, TrimFeed: &record.TrimFeed{RegionID: regionID(0), Channel: 1, Through: m.position(0, regionID(0), 1).Sequence}})
	if got := s.pump(); got[0].Chunk == nil {
		t.Errorf("after a trim came %+v", got[0])
	}
	m.same(0, 1, 0)
	s.e.Close()
}

// A relay passes on what its home signed, byte for byte, cuts batches where a head closes them, and keeps to the audience.
func TestExporter_Relay(t *testing.T) {
	m := quiet(t)
	up := m.follow(0, 1, 0)
	down := m.follow(1, 2, 0)
	heads := map[string]bool{}
	for i := range 8 {
		m.put(0, fmt.Sprintf("web/%d", i), make([]byte, MaxBatchBytes*15/64))
		if i%2 == 1 {
			for _, msg := range up.pump() {
				heads[string(msg.Batch.Head)] = true
			}
		}
	}
	home, _, err := state.FeedStateOf(m.nodes[0].kv, state.AliasSelf, 1)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := state.FeedLog(m.nodes[0].kv, state.AliasSelf, 1, &home, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]byte
	for _, row := range rows[len(rows)-8:] {
		want = append(want, row.Record)
	}
	var got [][]byte
	messages := down.pump()
	for _, msg := range messages {
		if !heads[string(msg.Batch.Head)] || len(msg.Batch.Records)%2 != 0 {
			t.Errorf("a batch of %d records ends in a head that its home did not send", len(msg.Batch.Records))
		}
		got = append(got, msg.Batch.Records...)
	}
	if len(messages) < 2 || !reflect.DeepEqual(got, want) {
		t.Errorf("%d records in %d messages, not the %d of the home", len(got), len(messages), len(want))
	}
	m.same(0, 2, 0)
	// Another peer gets a snapshot of the relay under the head of the home.
	fresh := m.follow(1, 3, 0)
	if c := fresh.sent[0].Chunk; c == nil || !heads[string(c.Target)] {
		t.Errorf("%+v", fresh.sent[0])
	}
	m.same(0, 3, 0)
	// An idle head of the home reaches the relay's peers as it is.
	m.now += 50
	up.e.Probe(1)
	idle := up.pump()[0].Batch.Head
	down.e.Probe(2)
	if passed := down.pump(); len(passed) != 1 || !bytes.Equal(passed[0].Batch.Head, idle) || passed[0].Batch.Stamp != 2 {
		t.Errorf("%+v", passed)
	}
	m.audience(0, 1, 3)
	up.pump()
	if msg := down.next(); msg == nil || msg.Refuse == nil || msg.Refuse.Reason != RefusedAudience {
		t.Errorf("outside of the audience a relay sends %+v", msg)
	}
	if _, refused := m.open(1, 2, 0, 1000); refused == nil || refused.Refuse.Reason != RefusedAudience || refused.Refuse.Head != nil {
		t.Errorf("a relay opens for who is not in the audience: %+v", refused)
	}
}

// A relay that takes a snapshot over itself has a mixture, and serves nobody.
func TestExporter_RelayInResync(t *testing.T) {
	m := quiet(t)
	m.follow(0, 1, 0)
	for i := range 3 {
		m.put(0, fmt.Sprintf("web/%d", i), make([]byte, 400<<10))
	}
	m.ok(0, record.Op{Type: record.OpTrimFeed, TrimFeed: &record.TrimFeed{RegionID: regionID(0), Channel: 1, Through: m.position(0, regionID(0), 1).Sequence}})
	s, _ := m.open(0, 1, 0, 1<<30)
	op, err := s.i.Take(s.next())
	if err != nil {
		t.Fatal(err)
	}
	m.ok(1, *op)
	if _, refused := m.open(1, 2, 0, 1000); refused == nil || refused.Refuse.Reason != RefusedResync {
		t.Errorf("%+v", refused)
	}
	// The one that was cut off asks for all of it again, and shows the newest head that it knows.
	again, _ := m.open(0, 1, 0, 1<<30)
	pull, err := again.i.Pull(m.nodes[1].kv, m.now, 1)
	if err != nil || !pull.Pull.Whole || !bytes.Equal(pull.Pull.Head, op.Replace.Target) {
		t.Errorf("%+v: %v", pull, err)
	}
	again.pump()
	m.same(0, 1, 0)
	if _, refused := m.open(1, 2, 0, 1000); refused != nil {
		t.Errorf("refused: %v", refused.Refuse.Reason)
	}
}

// What an importer is sent is judged before anything is proposed.
func TestImporter_Refuses(t *testing.T) {
	m := quiet(t)
	m.put(0, "web/1", []byte("up"))
	chunk := func() (*stream, *Message) {
		s, _ := m.open(0, 2, 0, 1<<30)
		return s, s.next()
	}
	batch := func() (*stream, *Message) {
		s := m.follow(0, 1, 0)
		m.put(0, "web/1", fmt.Append(nil, m.now))
		return s, s.next()
	}
	document := func(change func(*record.ChannelDocument)) []byte {
		d := record.ChannelDocument{Region: regionID(0), Channel: record.Channel{ID: 1, Generation: 1 << 40}}
		change(&d)
		d.Signature = fakeSign(d.Region, d.Signed())
		return record.AppendChannelDocument(nil, &d)
	}
	rehead := func(encoded []byte, sign bool, change func(*record.FeedHead)) []byte {
		h, err := record.DecodeFeedHead(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if change(&h); sign {
			h.Signature = fakeSign(h.Region, h.Signed())
		}
		return record.AppendFeedHead(nil, &h)
	}
	for _, tt := range []struct {
		name   string
		make   func() (*stream, *Message)
		change func(*Message)
		kind   fault.Kind
		text   string
	}{
		{"a head that nobody signed", batch, func(m *Message) { m.Batch.Head = rehead(m.Batch.Head, false, func(h *record.FeedHead) { h.Time++ }) }, fault.Denied, "not signed"},
		{"no head", batch, func(m *Message) { m.Batch.Head = nil }, fault.Denied, "not signed"},
		{"a head of another region", batch, func(m *Message) {
			m.Batch.Head = rehead(m.Batch.Head, true, func(h *record.FeedHead) { h.Region = regionID(3) })
		}, fault.Invalid, "another channel"},
		{"a head of another channel", batch, func(m *Message) { m.Batch.Head = rehead(m.Batch.Head, true, func(h *record.FeedHead) { h.Channel++ }) }, fault.Invalid, "another channel"},
		{"a record too few", batch, func(m *Message) { m.Batch.Records = nil }, fault.Invalid, "ends at"},
		{"another incarnation", batch, func(m *Message) {
			m.Batch.Head = rehead(m.Batch.Head, true, func(h *record.FeedHead) { h.Position.Incarnation++ })
		}, fault.Invalid, "ends at"},
		{"a document that nobody signed", batch, func(m *Message) { m.Batch.Document = append(document(func(*record.ChannelDocument) {})[:60], 1) }, fault.Denied, "not signed"},
		{"a document of another channel", batch, func(m *Message) { m.Batch.Document = document(func(d *record.ChannelDocument) { d.Channel.ID++ }) }, fault.Invalid, "another channel"},
		{"a document for others", batch, func(m *Message) {
			m.Batch.Document = document(func(d *record.ChannelDocument) { d.Channel.Audience = [][16]byte{{77}} })
		}, fault.Denied, "not for this region"},
		{"an old document", batch, func(m *Message) {
			m.Batch.Document = document(func(d *record.ChannelDocument) { d.Channel.Generation = 1 })
		}, fault.Invalid, "older"},
		{"a message of another channel", batch, func(m *Message) { m.Channel++ }, fault.Invalid, "than was asked for"},
		{"a message of another region", batch, func(m *Message) { m.Region[0]++ }, fault.Invalid, "than was asked for"},
		{"a pull", batch, func(m *Message) { m.Type = TypePull }, fault.Invalid, "type 1"},
		{"a refusal", batch, func(m *Message) { m.Type, m.Refuse = TypeRefuse, &Refuse{Reason: RefusedBehind} }, fault.Unavailable, "server-behind"},
		{"a refusal for ever", batch, func(m *Message) { m.Type, m.Refuse = TypeRefuse, &Refuse{Reason: RefusedAudience} }, fault.Denied, "not-in-audience"},
		{"a chunk under a head that nobody signed", chunk, func(m *Message) { m.Chunk.Target[20]++ }, fault.Denied, "not signed"},
		{"a chunk in the middle", chunk, func(m *Message) { m.Chunk.From = []byte{1} }, fault.Invalid, "does not follow"},
		{"a chunk with an old document", chunk, func(m *Message) {
			m.Chunk.Document = document(func(d *record.ChannelDocument) { d.Region = regionID(3) })
		}, fault.Invalid, "another channel"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, msg := tt.make()
			tt.change(msg)
			if op, err := s.i.Take(msg); op != nil || !fault.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%+v, %v; want %v with %q", op, err, tt.kind, tt.text)
			}
		})
	}
	i := &Importer{Self: regionID(1), Region: regionID(0), Channel: 1, Keys: fakeKeys}
	_, msg := batch()
	if _, err := i.Take(msg); !fault.Is(err, fault.Invalid) {
		t.Errorf("before it asked for anything: %v", err)
	}
	unknown := &Importer{Self: regionID(1), Region: [16]byte{77}, Channel: 1, Keys: fakeKeys}
	if msg, err := unknown.Pull(m.nodes[1].kv, 1, 1); msg != nil || err != nil {
		t.Errorf("it asks for a region that is not known: %+v, %v", msg, err)
	}
	s, first := chunk()
	first.Chunk.To = []byte{0xff} // as if more came
	if _, err := s.i.Take(first); err != nil {
		t.Fatal(err)
	}
	_, tail := batch()
	if _, err := s.i.Take(tail); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "before the snapshot had ended") {
		t.Errorf("a batch in a snapshot: %v", err)
	}
}

// Only a head that this region signed, and that is no part of its history, fences it; and how depends on when it was signed.
func TestGuard_Judge(t *testing.T) {
	const started, fencedAt = 1000, 2000
	for _, tt := range []struct {
		name   string
		fences int // before, at fencedAt; each was ended by a mint
		start  int64
		head   func(*record.FeedHead)
		forged bool
		want   record.Fence
	}{
		{"its own head", 0, started, func(*record.FeedHead) {}, false, record.FenceNone},
		{"a head of somebody else", 0, started, func(h *record.FeedHead) { h.Region, h.Position.Sequence = regionID(2), 99 }, false, record.FenceNone},
		{"a forged one", 0, started, func(h *record.FeedHead) { h.Position.Sequence = 99 }, true, record.FenceNone},
		{"ahead", 0, started, func(h *record.FeedHead) { h.Position.Sequence = 99 }, false, record.FenceHealing},
		{"another chain", 0, started, func(h *record.FeedHead) { h.Position.Chain[0]++ }, false, record.FenceHealing},
		{"a later document", 0, started, func(h *record.FeedHead) { h.Generation += 5 }, false, record.FenceHealing},
		{"a newer incarnation", 0, started, func(h *record.FeedHead) { h.Position.Incarnation += 5 }, false, record.FenceHealing},
		{"an older incarnation", 1, started, func(h *record.FeedHead) { h.Position.Incarnation, h.Position.Sequence = 1, 99 }, false, record.FenceNone},
		{"ahead, after a fence", 1, started, func(h *record.FeedHead) { h.Position.Sequence, h.Time = 99, fencedAt+1 }, false, record.FenceHealing},
		{"newer, signed before the fence", 1, started, func(h *record.FeedHead) { h.Position.Incarnation, h.Time = 9, fencedAt }, false, record.FenceHealing},
		{"newer, signed after the fence", 1, started, func(h *record.FeedHead) { h.Position.Incarnation, h.Time = 9, fencedAt+1 }, false, record.FenceClone},
		{"newer, after a fence of an earlier life", 1, fencedAt + 500, func(h *record.FeedHead) { h.Position.Incarnation, h.Time = 9, fencedAt+1 }, false, record.FenceHealing},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := quiet(t)
			m.put(0, "web/1", []byte("up"))
			m.now = fencedAt
			for i := range tt.fences {
				m.fence(0)
				m.ok(0, record.Op{Type: record.OpMint, Mint: &record.Mint{Incarnation: uint64(i) + 1}})
			}
			docs, err := state.Channels(m.nodes[0].kv)
			if err != nil {
				t.Fatal(err)
			}
			h, err := state.OwnHead(m.nodes[0].kv, regionID(0), &docs[0])
			if err != nil {
				t.Fatal(err)
			}
			if tt.fences > 0 && h.Position.Incarnation != 100 {
				t.Fatalf("incarnation %d", h.Position.Incarnation)
			}
			if tt.head(&h); tt.fences > 0 && h.Position.Incarnation == 9 {
				h.Position.Incarnation = 109
			}
			if h.Signature = fakeSign(h.Region, h.Signed()); tt.forged {
				h.Signature[0]++
			}
			g := Guard{Self: regionID(0), Keys: fakeKeys, Started: tt.start}
			op, err := g.Judge(m.nodes[0].kv, record.AppendFeedHead(nil, &h))
			switch {
			case err != nil:
				t.Fatal(err)
			case tt.want == record.FenceNone && op != nil:
				t.Errorf("it fences: %+v", op.SetFence)
			case tt.want != record.FenceNone && (op == nil || op.SetFence.Fence != tt.want || op.SetFence.Reason == ""):
				t.Errorf("%+v; want fence %d", op, tt.want)
			}
			if op == nil {
				return
			}
			m.ok(0, *op)
			if op, err := g.Judge(m.nodes[0].kv, record.AppendFeedHead(nil, &h)); err != nil || op != nil && op.SetFence.Fence <= tt.want {
				t.Errorf("it fences again: %+v, %v", op, err)
			}
		})
	}
	g := Guard{Self: regionID(0), Keys: fakeKeys}
	if op, err := g.Judge(quiet(t).nodes[0].kv, []byte("no head")); op != nil || err != nil {
		t.Errorf("%+v, %v", op, err)
	}
}

// The dice of the model are its seed's: two runs are the same.
func TestModel_IsThatOfItsSeed(t *testing.T) {
	a, b := runModel(t, 5, rules{}, planOf(5)), runModel(t, 5, rules{}, planOf(5))
	if !reflect.DeepEqual(a.stats, b.stats) || a.r.Uint64() != b.r.Uint64() {
		t.Errorf("%v and %v", a.stats, b.stats)
	}
}
