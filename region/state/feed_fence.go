package state

import "supercluster/region/record"

// fence stops exports, if the proof is one: a head of this region that is no part of its history as it stands now.
func (m *machine) fence(b *record.SetFence, r *record.Result) error {
	f, err := m.federated()
	if err != nil {
		return err
	}
	head, err := record.DecodeFeedHead(b.Proof)
	switch {
	case err != nil || f == nil || head.Region != f.self:
		refuse(r, record.StatusInvalid, "the proof is no head of this region")
		return nil
	case b.Fence != record.FenceHealing && b.Fence != record.FenceClone:
		refuse(r, record.StatusInvalid, "there is no fence %d", b.Fence)
		return nil
	case f.row.Fence >= b.Fence:
		refuse(r, record.StatusStale, "the region is fenced already: %s", f.row.Reason)
		return nil
	}
	standing, err := StandingOf(m.kv, &head)
	if err != nil {
		return err
	}
	if !standing.Foreign() {
		refuse(r, record.StatusStale, "the head is part of the region's history")
		return nil
	}
	f.row.Fence, f.row.FencedAt, f.row.Reason = b.Fence, m.entry.Time, b.Reason
	f.row.Fences++
	f.row.Seen = max(f.row.Seen, head.Position.Incarnation)
	f.dirty = true
	return nil
}

// Standing says how a head that this region signed relates to its history.
type Standing uint8

// The standings.
const (
	StandingKnown   Standing = 0 // part of the history, or so old that it no longer matters
	StandingAhead   Standing = 1 // later than the newest record or document: the region lost some
	StandingDiffers Standing = 2 // another record stands at its sequence
	StandingNewer   Standing = 3 // of an incarnation that this region never had
)

// Foreign reports whether the head proves that the region runs on old data, or that another copy of it lives.
func (s Standing) Foreign() bool { return s != StandingKnown }

// StandingOf judges a head of this region, whose signature was judged before.
func StandingOf(r Reader, head *record.FeedHead) (Standing, error) {
	f, _, err := ReadFederation(r)
	if err != nil || head.Position.Incarnation < f.Incarnation {
		return StandingKnown, err
	}
	if head.Position.Incarnation > f.Incarnation {
		return StandingNewer, nil
	}
	s, _, err := readFeedState(r, AliasSelf, head.Channel)
	if err != nil {
		return StandingKnown, err
	}
	if head.Position.Sequence > s.Position.Sequence {
		return StandingAhead, nil
	}
	docs, err := Channels(r)
	if err != nil {
		return StandingKnown, err
	}
	for i := range docs {
		if docs[i].ID == head.Channel && docs[i].Generation < head.Generation {
			return StandingAhead, nil
		}
	}
	chain, known, err := FeedChainAt(r, AliasSelf, head.Channel, &s, head.Position.Sequence)
	if err != nil || !known || chain == head.Position.Chain {
		return StandingKnown, err
	}
	return StandingDiffers, nil
}

// Contradicts reports whether a head of another region says something else than what came of the channel from there: of the same
// incarnation it has another record at its sequence.
func Contradicts(r Reader, head *record.FeedHead) (bool, error) {
	alias, _, found, err := FindRegion(r, head.Region)
	if err != nil || !found {
		return false, err
	}
	s, found, err := readFeedState(r, alias, head.Channel)
	if err != nil || !found || s.Position.Incarnation != head.Position.Incarnation {
		return false, err
	}
	chain, known, err := FeedChainAt(r, alias, head.Channel, &s, head.Position.Sequence)
	return known && chain != head.Position.Chain, err
}

// maxIncarnation bounds incarnations: the number of a document has an incarnation in its upper half.
const maxIncarnation = 1<<32 - 1

// mint begins a new incarnation: larger than any that anybody showed, so that every receiver takes what comes from now
// on for newer than all before. The logs begin anew, since what they held may not be what peers have.
func (m *machine) mint(op *record.Op, r *record.Result) error {
	b := op.Mint
	f, err := m.federate()
	if err != nil {
		return err
	}
	switch {
	case f.row.Incarnation != b.Incarnation:
		refuse(r, record.StatusStale, "the region is not in incarnation %d", b.Incarnation)
		return nil
	case f.row.Fence == record.FenceClone && !b.Operator:
		refuse(r, record.StatusDenied, "another copy of the region lives: stop it, then unfence this one")
		return nil
	case max(f.row.Incarnation, f.row.Seen, b.Seen) >= maxIncarnation:
		refuse(r, record.StatusInvalid, "incarnation %d was seen; the last one is %d", max(f.row.Incarnation, f.row.Seen, b.Seen), maxIncarnation)
		return nil
	}
	f.row.Incarnation = max(f.row.Incarnation, f.row.Seen, b.Seen) + 1
	f.row.Seen = f.row.Incarnation
	f.row.Fence, f.dirty = record.FenceNone, true
	if b.Operator {
		f.row.Fences = 0
	}
	for i := range f.channels {
		s := &f.channels[i].state
		s.Position.Incarnation = f.row.Incarnation
		s.FloorSequence, s.FloorChain, s.LogBytes = s.Position.Sequence, s.Position.Chain, 0
		f.channels[i].dirty = true
		f.channels[i].doc.Generation = generation(f.row.Incarnation, 1)
		if s.Step == 0 { // its document was brought back
			f.channels[i].beginWalk()
		}
	}
	r.ID = uint32(f.row.Incarnation)
	if err := m.writeChannels(f); err != nil {
		return err
	}
	return m.note(op, "fence", record.AppendAlias(nil, r.ID), &b.Writer)
}

// maxTrimFeed bounds the rows that one step removes from a log.
const maxTrimFeed = 4096

// trimFeed removes the oldest records from the log of a channel. Who stands before them gets a snapshot.
func (m *machine) trimFeed(b *record.TrimFeed, r *record.Result) error {
	f, err := m.exporting()
	if err != nil {
		return err
	}
	alias, known, err := m.alias(b.RegionID)
	if err != nil {
		return err
	}
	if f == nil || known == nil {
		refuse(r, record.StatusNotFound, "region %x is not known here", b.RegionID)
		return nil
	}
	if alias == AliasSelf {
		for i := range f.channels {
			if c := &f.channels[i]; c.doc.ID == b.Channel {
				c.dirty = true
				return m.trimLog(alias, b, &c.state, r)
			}
		}
		refuse(r, record.StatusNotFound, "there is no channel %d", b.Channel)
		return nil
	}
	s, found, err := readFeedState(m.kv, alias, b.Channel)
	if err != nil {
		return err
	}
	if !found {
		refuse(r, record.StatusNotFound, "there is no channel %d", b.Channel)
		return nil
	}
	if err := m.trimLog(alias, b, &s, r); err != nil {
		return err
	}
	return m.setFeedState(alias, b.Channel, &s)
}

func (m *machine) trimLog(alias uint32, b *record.TrimFeed, s *record.FeedState, r *record.Result) error {
	if b.Through > s.Position.Sequence {
		refuse(r, record.StatusFuture, "the channel is at sequence %d", s.Position.Sequence)
		return nil
	}
	from := record.AppendFeedLogKey(nil, alias, b.Channel, 0)
	to := record.AppendFeedLogKey(nil, alias, b.Channel, b.Through+1)
	it, err := m.kv.Scan(from, to, false)
	if err != nil {
		return err
	}
	var keys [][]byte
	for len(keys) < maxTrimFeed && it.Next() {
		sequence, err := record.DecodeFeedLogKey(it.Key())
		if err == nil && sequence > s.FloorSequence { // what is before the floor was left by an incarnation before
			var row record.FeedLogRow
			row, err = record.DecodeFeedLogRow(it.Value())
			s.FloorSequence, s.FloorChain = sequence, row.Chain
			s.LogBytes -= min(s.LogBytes, uint64(len(it.Key())+len(it.Value())))
		}
		if err != nil {
			_ = it.Close() // the first error says more
			return err
		}
		keys = append(keys, append([]byte(nil), it.Key()...))
	}
	if err := it.Close(); err != nil {
		return err
	}
	for _, k := range keys {
		if err := m.kv.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
