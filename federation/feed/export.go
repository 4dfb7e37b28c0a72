package feed

import (
	"supercluster/region/record"
	"supercluster/region/state"
)

// Server serves channels: this region's own, and those that it imported, to others.
type Server struct {
	Self [16]byte
	Sign Signer
}

// Exporter serves one channel to one peer. It holds no records; a snapshot that is being sent holds its Reader.
type Exporter struct {
	server  Server
	peer    [16]byte
	region  [16]byte
	alias   uint32
	channel uint32

	sent       record.FeedPosition
	generation uint64 // of the document that the peer has
	credit     int64
	stamp      int64
	answered   bool // the stamp was sent back

	snapshot state.Reader // consistent; nil while the tail is sent
	release  func()
	target   []byte
	next     []byte
}

// standing is what a channel is at the server, at one moment.
type standing struct {
	alias    uint32
	state    record.FeedState
	document record.Channel
	fence    record.Fence
	resync   bool
}

func (s *Server) standing(r state.Reader, region [16]byte, channel uint32) (st standing, ok bool, err error) {
	alias, g, found, err := state.FindRegion(r, region)
	if err != nil || !found || g.Removed {
		return st, false, err
	}
	st.alias = alias
	if st.state, found, err = state.FeedStateOf(r, alias, channel); err != nil || !found {
		return st, false, err
	}
	if alias != state.AliasSelf {
		doc, err := record.DecodeChannelDocument(st.state.Document)
		if err != nil || len(st.state.Head) == 0 {
			return st, false, nil // it has nothing yet that it could pass on
		}
		st.document = doc.Channel
		_, st.resync, err = state.ReadResync(r, alias, channel)
		return st, true, err
	}
	f, _, err := state.ReadFederation(r)
	if err != nil {
		return st, false, err
	}
	st.fence = f.Fence
	docs, err := state.Channels(r)
	for i := range docs {
		if docs[i].ID == channel {
			st.document = docs[i]
			return st, true, err
		}
	}
	return st, false, err
}

// judge decides whether and how a receiver is served that stands at a cursor: from the log, or (snapshot) all of it.
func (st *standing) judge(r state.Reader, p *Pull, peer [16]byte) (snapshot bool, refused Refusal, err error) {
	at := st.state.Position
	switch {
	case !st.document.MayHave(peer) && peer != p.Region: // its own it may always see
		return false, RefusedAudience, nil
	case st.fence != record.FenceNone:
		return false, RefusedFenced, nil
	case st.resync:
		return false, RefusedResync, nil
	case p.Cursor.Incarnation > at.Incarnation:
		return false, RefusedBehind, nil
	case p.Cursor.Incarnation < at.Incarnation:
		return true, 0, nil
	case p.Cursor.Sequence > at.Sequence || p.Whole && p.Cursor.Sequence == at.Sequence:
		return false, RefusedBehind, nil
	case p.Whole:
		return true, 0, nil
	case p.Cursor.Sequence < st.state.FloorSequence:
		return true, 0, nil
	}
	chain, known, err := state.FeedChainAt(r, st.alias, p.Channel, &st.state, p.Cursor.Sequence)
	if err == nil && known && chain != p.Cursor.Chain {
		return false, RefusedDiffers, nil
	}
	return !known, 0, err
}

// Open answers a pull: an Exporter that goes on from the cursor, or a refusal. snapshot gives a consistent Reader that
// stays good until release; it is called only when all of the channel must be sent.
func (s *Server) Open(r state.Reader, peer [16]byte, p *Pull, snapshot func() (state.Reader, func())) (*Exporter, *Message, error) {
	st, ok, err := s.standing(r, p.Region, p.Channel)
	if err != nil {
		return nil, nil, err
	}
	refused := RefusedUnknown
	all := false
	if ok {
		if all, refused, err = st.judge(r, p, peer); err != nil {
			return nil, nil, err
		}
	}
	if refused != 0 {
		m, err := s.refuse(r, &st, p, refused)
		return nil, m, err
	}
	e := &Exporter{
		server: *s, peer: peer, region: p.Region, alias: st.alias, channel: p.Channel, sent: p.Cursor,
		generation: p.Generation, credit: int64(p.Credit), stamp: p.Stamp,
	}
	if all {
		return e, nil, e.begin(snapshot)
	}
	return e, nil, nil
}

// refuse shows the server's head with the refusal, unless the peer may not even know that.
func (s *Server) refuse(r state.Reader, st *standing, p *Pull, why Refusal) (*Message, error) {
	m := &Message{Type: TypeRefuse, Region: p.Region, Channel: p.Channel, Refuse: &Refuse{Reason: why}}
	if why == RefusedUnknown || why == RefusedAudience {
		return m, nil
	}
	var err error
	m.Refuse.Head, err = s.headOf(r, st, p.Region, 0)
	return m, err
}

// headOf gives the signed head of a channel as it stands: made here for an own one, as it came for an imported one.
func (s *Server) headOf(r state.Reader, st *standing, region [16]byte, now int64) ([]byte, error) {
	if st.alias != state.AliasSelf {
		return st.state.Head, nil
	}
	head, err := state.OwnHead(r, region, &st.document)
	if err != nil {
		return nil, err
	}
	return s.sign(head, now), nil
}

func (s *Server) sign(head record.FeedHead, now int64) []byte {
	head.Time = now
	head.Signature = s.Sign(head.Signed())
	return record.AppendFeedHead(nil, &head)
}

// begin starts a snapshot.
func (e *Exporter) begin(snapshot func() (state.Reader, func())) error {
	e.Close()
	e.snapshot, e.release = snapshot()
	e.next, e.target = nil, nil
	return nil
}

// Close lets go of a snapshot.
func (e *Exporter) Close() {
	if e.release != nil {
		e.release()
	}
	e.snapshot, e.release = nil, nil
}

// Credit takes in that the receiver has room for more bytes.
func (e *Exporter) Credit(n uint32) { e.credit = min(e.credit+int64(n), 1<<30) }

// Probe takes in that the receiver wants to know how old it is. Only a message that brings it to the newest record that the
// server has, looked up afterwards, answers that: what is said of a part of a backlog, or from a tail that was read before,
// would call old records fresh.
func (e *Exporter) Probe(stamp int64) { e.stamp, e.answered = stamp, false }

// Next gives the next message: nil if there is nothing to say or no credit left. A refusal ends the Exporter. r is the
// store as it is now; age is how long ago the server last knew that it had the newest head of an imported channel, asked
// before r was taken.
func (e *Exporter) Next(r state.Reader, now, age int64, snapshot func() (state.Reader, func())) (*Message, error) {
	if e.credit <= 0 {
		return nil, nil
	}
	m, err := e.message(r, now, age, snapshot)
	if err != nil || m == nil {
		return nil, err
	}
	e.credit -= int64(m.Size())
	return m, nil
}

func (e *Exporter) message(r state.Reader, now, age int64, snapshot func() (state.Reader, func())) (*Message, error) {
	st, ok, err := e.server.standing(r, e.region, e.channel)
	if err != nil {
		return nil, err
	}
	if e.snapshot != nil {
		switch {
		case !ok:
			return e.end(r, &st, RefusedUnknown)
		case !st.document.MayHave(e.peer):
			return e.end(r, &st, RefusedAudience)
		case st.fence != record.FenceNone:
			return e.end(r, &st, RefusedFenced)
		}
		return e.chunk(now)
	}
	p := &Pull{Region: e.region, Channel: e.channel, Cursor: e.sent}
	if !ok {
		return e.server.refuse(r, &st, p, RefusedUnknown)
	}
	all, refused, err := st.judge(r, p, e.peer)
	switch {
	case err != nil:
		return nil, err
	case refused != 0:
		return e.server.refuse(r, &st, p, refused)
	case all: // the log was trimmed, or a new incarnation began
		if err := e.begin(snapshot); err != nil {
			return nil, err
		}
		return e.chunk(now)
	case e.sent == st.state.Position:
		return e.idle(r, &st, now, age)
	}
	return e.batch(r, &st, now, age)
}

// end refuses the rest of a snapshot: what is being sent is as it was, whether it may be sent is as it is now.
func (e *Exporter) end(r state.Reader, st *standing, why Refusal) (*Message, error) {
	e.Close()
	return e.server.refuse(r, st, &Pull{Region: e.region, Channel: e.channel}, why)
}

// idle shows a newer head of the position that the receiver has.
func (e *Exporter) idle(r state.Reader, st *standing, now, age int64) (*Message, error) {
	news := st.document.Generation != e.generation
	if e.answered && !news {
		return nil, nil
	}
	head, err := e.server.headOf(r, st, e.region, now)
	if err != nil {
		return nil, err
	}
	return e.close(&Batch{Head: head}, st, age)
}

// close ends a batch with what every batch carries.
func (e *Exporter) close(b *Batch, st *standing, age int64) (*Message, error) {
	if st.document.Generation != e.generation {
		b.Document, e.generation = e.server.documentOf(st, e.region), st.document.Generation
	}
	if e.sent == st.state.Position {
		b.Stamp, b.AgeNanos = e.stamp, age
		e.answered = true
	}
	return &Message{Type: TypeBatch, Region: e.region, Channel: e.channel, Batch: b}, nil
}

// documentOf gives the signed document of a channel.
func (s *Server) documentOf(st *standing, region [16]byte) []byte {
	if st.alias != state.AliasSelf {
		return st.state.Document
	}
	doc := record.ChannelDocument{Region: region, Channel: st.document}
	doc.Signature = s.Sign(doc.Signed())
	return record.AppendChannelDocument(nil, &doc)
}

// batch sends records from the log. An imported channel is cut where a signed head closes it.
func (e *Exporter) batch(r state.Reader, st *standing, now, age int64) (*Message, error) {
	rows, err := state.FeedLog(r, st.alias, e.channel, &st.state, e.sent.Sequence, MaxBatchBytes)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	b := &Batch{}
	if st.alias == state.AliasSelf {
		if b.Head, err = e.ownHead(r, st, &rows[len(rows)-1], now); err != nil {
			return nil, err
		}
	} else if rows, b.Head, err = e.closed(r, st, rows); err != nil || len(rows) == 0 {
		return nil, err
	}
	for i := range rows {
		b.Records = append(b.Records, rows[i].Record)
	}
	last := &rows[len(rows)-1]
	e.sent.Sequence, e.sent.Chain = last.Sequence, last.Chain
	return e.close(b, st, age)
}

// ownHead makes the head at a row of the log. At the newest row it also says up to which revision the region is.
func (e *Exporter) ownHead(r state.Reader, st *standing, row *state.FeedLogEntry, now int64) ([]byte, error) {
	if row.Sequence == st.state.Position.Sequence {
		return e.server.headOf(r, st, e.region, now)
	}
	return e.server.sign(record.FeedHead{
		Region: e.region, Channel: e.channel, Generation: st.document.Generation, Digest: row.Digest, Revision: row.Revision,
		Position: record.FeedPosition{Incarnation: st.state.Position.Incarnation, Sequence: row.Sequence, Chain: row.Chain},
	}, now), nil
}

// closed cuts rows at the last one that a head closes. If none of them is closed, it reads on: a batch that came here in
// one piece can be passed on in one.
func (e *Exporter) closed(r state.Reader, st *standing, rows []state.FeedLogEntry) ([]state.FeedLogEntry, []byte, error) {
	for budget := MaxBatchBytes; ; budget *= 2 {
		for i := len(rows) - 1; i >= 0; i-- {
			if rows[i].Sequence == st.state.Position.Sequence {
				return rows[:i+1], st.state.Head, nil
			}
			if len(rows[i].Head) > 0 {
				return rows[:i+1], rows[i].Head, nil
			}
		}
		if budget > MaxMessageBytes {
			return nil, nil, nil
		}
		var err error
		if rows, err = state.FeedLog(r, st.alias, e.channel, &st.state, e.sent.Sequence, 2*budget); err != nil {
			return nil, nil, err
		}
	}
}

// chunk sends the next part of a snapshot; after the last one the tail goes on from its head.
func (e *Exporter) chunk(now int64) (*Message, error) {
	st, ok, err := e.server.standing(e.snapshot, e.region, e.channel)
	if err != nil {
		return nil, err
	}
	if !ok || st.resync || st.fence != record.FenceNone {
		e.Close()
		return e.server.refuse(e.snapshot, &st, &Pull{Region: e.region, Channel: e.channel}, RefusedUnknown)
	}
	if e.target == nil {
		if e.target, err = e.server.headOf(e.snapshot, &st, e.region, now); err != nil {
			return nil, err
		}
	}
	items, next, err := state.FeedContent(e.snapshot, st.alias, e.channel, e.next, MaxBatchBytes)
	if err != nil {
		return nil, err
	}
	c := &Chunk{Target: e.target, From: e.next, To: next, Items: items}
	if e.next = next; next == nil {
		c.Document, e.generation = e.server.documentOf(&st, e.region), st.document.Generation
		e.sent = st.state.Position
		e.Close()
	}
	return &Message{Type: TypeChunk, Region: e.region, Channel: e.channel, Chunk: c}, nil
}

// Size is what a message counts against the credit.
func (m *Message) Size() int {
	const overhead = 256
	n := overhead
	switch {
	case m.Batch != nil:
		for _, r := range m.Batch.Records {
			n += len(r)
		}
	case m.Chunk != nil:
		for i := range m.Chunk.Items {
			n += len(m.Chunk.Items[i].Key) + len(m.Chunk.Items[i].Entry)
		}
	}
	return n
}
