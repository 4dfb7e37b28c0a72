package feed

import (
	"supercluster/region/record"
	"supercluster/region/state"
)

// Tail is the end of a channel at one moment: what most receivers miss. It is made once for all of them, with one
// signature, so that a change costs the same whatever the number of receivers. What can be seen of it never changes.
type Tail struct {
	region   [16]byte
	channel  uint32
	document record.Channel
	fence    record.Fence
	resync   bool
	from     record.FeedPosition // before the first row
	at       record.FeedPosition
	rows     []state.FeedLogEntry // up to at, without a gap
	bytes    int
	head     []byte // signed, at the end
	followed bool   // what is behind its rows belongs to the tail that was made from it; only Server.Tail asks
}

// maxTailBytes bounds the records that a Tail holds.
const maxTailBytes = MaxBatchBytes

// At is the position that the tail ends at.
func (t *Tail) At() record.FeedPosition { return t.at }

// Tail gives the tail of a channel as it stands, made from the one before if that is not too old; before itself when
// nothing changed, and nil when the channel is not there. Those of one channel are made by one goroutine at a time; others may read
// earlier ones meanwhile.
func (s *Server) Tail(r state.Reader, region [16]byte, channel uint32, before *Tail, now int64) (*Tail, error) {
	st, ok, err := s.standing(r, region, channel)
	if err != nil || !ok {
		return nil, err
	}
	if before != nil && before.at == st.state.Position && before.fence == st.fence && before.resync == st.resync &&
		before.document.Generation == st.document.Generation {
		return before, nil
	}
	t := &Tail{
		region: region, channel: channel, document: st.document, fence: st.fence, resync: st.resync, at: st.state.Position, from: st.state.Position,
	}
	if t.head, err = s.headOf(r, &st, region, now); err != nil {
		return nil, err
	}
	if before == nil || before.at.Incarnation != t.at.Incarnation || before.at.Sequence > t.at.Sequence {
		return t, nil
	}
	rows, err := state.FeedLog(r, st.alias, channel, &st.state, before.at.Sequence, maxTailBytes)
	if err != nil {
		return nil, err
	}
	if n := len(rows); n == 0 && before.at != t.at || n > 0 && rows[n-1].Sequence != t.at.Sequence {
		return t, nil // too much at once: receivers read the log themselves
	}
	t.take(before, rows)
	return t, nil
}

// take puts rows after those of the tail before, in the same memory while there is room, and lets the oldest go.
func (t *Tail) take(before *Tail, rows []state.FeedLogEntry) {
	t.from, t.bytes = before.from, before.bytes
	for i := range rows {
		t.bytes += len(rows[i].Record)
	}
	old := before.rows
	for t.bytes > maxTailBytes && len(old) > 0 {
		t.bytes -= len(old[0].Record)
		t.from.Sequence, t.from.Chain = old[0].Sequence, old[0].Chain
		old = old[1:]
	}
	if before.followed {
		old = old[:len(old):len(old)] // there is another one already
	}
	before.followed = true
	t.rows = append(old, rows...)
}

// after gives the rows after a position; false: the tail does not go back that far, or the position is none of it.
func (t *Tail) after(p record.FeedPosition) ([]state.FeedLogEntry, bool) {
	if p.Incarnation != t.at.Incarnation || p.Sequence < t.from.Sequence || p.Sequence >= t.at.Sequence {
		return nil, false
	}
	n := int(p.Sequence - t.from.Sequence)
	chain := t.from.Chain
	if n > 0 {
		chain = t.rows[n-1].Chain
	}
	return t.rows[n:], chain == p.Chain
}

// NextFrom gives the next message from the tail of the channel. ok is false when only Next can tell what to say: the
// receiver is too far behind, asked for something, wants to know how old it is, or is not to be served.
func (e *Exporter) NextFrom(t *Tail) (m *Message, ok bool) {
	switch {
	case t == nil || e.snapshot != nil || t.fence != record.FenceNone || t.resync || t.document.Generation != e.generation ||
		!t.document.MayHave(e.peer) && e.peer != e.region || !e.answered:
		return nil, false
	case e.sent == t.at:
		return nil, true
	case e.credit <= 0:
		return nil, true
	}
	rows, covered := t.after(e.sent)
	if !covered {
		return nil, false
	}
	b := &Batch{Head: t.head, Records: make([][]byte, len(rows))}
	for i := range rows {
		b.Records[i] = rows[i].Record
	}
	e.sent = t.at
	m = &Message{Type: TypeBatch, Region: e.region, Channel: e.channel, Batch: b}
	e.credit -= int64(m.Size())
	return m, true
}
