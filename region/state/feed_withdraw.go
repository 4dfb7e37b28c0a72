package state

import "supercluster/region/record"

// withdraw gives up a channel that its home keeps from this region now. What is here of it goes by a walk. The channel stays
// known by its document, so that one that comes late does not bring it back, and by its incarnation, so that no earlier one
// does; should this region be in the audience again, it takes the channel over from the beginning.
func (m *machine) withdraw(b *record.Withdraw, r *record.Result) error {
	in, err := m.inbound(b.RegionID, b.Channel, r)
	if err != nil || in == nil {
		return err
	}
	s := &in.state
	doc, err := record.DecodeChannelDocument(b.Document)
	switch {
	case !in.known:
		refuse(r, record.StatusNotFound, "channel %d of region %x is not here", b.Channel, b.RegionID)
		return nil
	case err != nil || doc.Region != in.region || doc.Channel.ID != in.channel || doc.Channel.MayHave(m.fed.self):
		refuse(r, record.StatusInvalid, "the document does not keep channel %d of region %x from this region", b.Channel, b.RegionID)
		return nil
	}
	if here, err := record.DecodeChannelDocument(s.Document); err == nil && here.Channel.Generation >= doc.Channel.Generation {
		refuse(r, record.StatusStale, "the document of channel %d that is here is not older", b.Channel)
		return nil
	}
	if err := m.kv.Delete(record.AppendResyncKey(nil, in.alias, in.channel)); err != nil {
		return err
	}
	s.Document, s.Head, s.Revision, s.LogBytes = b.Document, nil, 0, 0
	s.Position = record.FeedPosition{Incarnation: s.Position.Incarnation}
	s.FloorSequence, s.FloorChain = 0, [32]byte{}
	s.Step++
	s.Walking, s.Next = true, nil
	return m.setFeedState(in.alias, in.channel, s)
}

// withdrawn reports whether what is here of a channel must go. Entries of versions before went on showing it.
func (m *machine) withdrawn(in *inbound) bool {
	if m.entry.Level < record.LevelIncarnation {
		return false
	}
	doc, err := record.DecodeChannelDocument(in.state.Document)
	return err == nil && !doc.Channel.MayHave(m.fed.self)
}

// walkWithdrawn takes one step of giving a channel up: records and rows of its log, each time from the beginning.
func (m *machine) walkWithdrawn(in *inbound, b *record.Walk) error {
	rows, more, err := m.walkedRows(in, b)
	if err != nil {
		return err
	}
	for i := range rows {
		if err := m.dropImported(in, rows[i].key); err != nil {
			return err
		}
	}
	left, err := m.dropLog(in)
	if err != nil {
		return err
	}
	s := &in.state
	s.Walking, s.Next = more != nil || left, nil
	if err := m.setFeedState(in.alias, in.channel, s); err != nil {
		return err
	}
	return m.commitShown(in, record.Writer{Time: m.entry.Time}, record.Trace{}, s.Revision)
}

// dropLog removes rows from the log of a channel, and reports whether there are more.
func (m *machine) dropLog(in *inbound) (more bool, err error) {
	from := record.AppendFeedLogKey(nil, in.alias, in.channel, 0)
	it, err := m.kv.Scan(from, record.AppendFeedLogKey(nil, in.alias, in.channel, ^uint64(0)), false)
	if err != nil {
		return false, err
	}
	var keys [][]byte
	for it.Next() {
		if len(keys) == maxTrimFeed {
			more = true
			break
		}
		keys = append(keys, append([]byte(nil), it.Key()...))
	}
	if err := it.Close(); err != nil {
		return false, err
	}
	for _, k := range keys {
		if err := m.kv.Delete(k); err != nil {
			return false, err
		}
	}
	return more, nil
}
