package state

import (
	"bytes"
	"slices"

	"supercluster/region/record"
)

// inbound is a channel of another region while an entry is applied.
type inbound struct {
	alias   uint32
	region  [16]byte
	channel uint32
	state   record.FeedState
	known   bool            // the channel was here before
	take    record.Selector // what of the region's records is shown here
	shown   []shownChange
	looked  lookedAt    // where the last rival was looked for, since the last commit
	last    *localPlace // where the record before this one stands; nil: none was looked for
	// incarnation is that of the home whose records are taken over.
	incarnation uint64
	// before are rows as they were read to judge the digest, without their entries; a row that is changed goes out of it.
	before map[string]*rowBefore

	siblings     []uint32 // all channels of the region that are here
	links        []TenantLink
	siblingsRead bool
}

type rowBefore struct {
	record.Imported
	found bool

	element record.Digest // of the row as the records leave it, if they do
	left    bool
}

// inbound finds a channel of another region; nil, and a refusal, if nothing may come from there.
func (m *machine) inbound(region [16]byte, channel uint32, r *record.Result) (*inbound, error) {
	f, err := m.federated()
	if err != nil {
		return nil, err
	}
	alias, known, err := m.alias(region)
	switch {
	case err != nil:
		return nil, err
	case f == nil || known == nil || alias == AliasSelf:
		refuse(r, record.StatusNotFound, "region %x is not known here", region)
		return nil, nil
	case known.Removed:
		refuse(r, record.StatusDenied, "region %x is no longer a peer", region)
		return nil, nil
	}
	in := &inbound{alias: alias, region: region, channel: channel, shown: m.scratch.shown}
	if in.state, in.known, err = readFeedState(m.kv, alias, channel); err != nil {
		return nil, err
	}
	in.take, err = ImportSelector(m.kv, alias)
	return in, err
}

// importRecords takes records over from a channel: all of them or, if anything does not fit, none.
func (m *machine) importRecords(b *record.Import, r *record.Result) error {
	in, err := m.inbound(b.RegionID, b.Channel, r)
	if err != nil || in == nil {
		return err
	}
	if !skipsCursor && !m.limits.without.Cursor && in.state.Position != b.From {
		refuse(r, record.StatusStale, "the channel stands at %d.%d, not at %d.%d", in.state.Position.Incarnation,
			in.state.Position.Sequence, b.From.Incarnation, b.From.Sequence)
		return nil
	}
	if resync, err := m.resyncing(in); err != nil || resync {
		refuse(r, record.StatusStale, "a snapshot of the channel is being taken over")
		return err
	}
	next, recs, ok := m.decodeImport(b, in, r)
	if !ok {
		return nil
	}
	digest, growth, err := m.digestAfter(in, recs)
	if err != nil {
		return err
	}
	switch {
	case !skipsCursor && !m.limits.without.Cursor && digest != next.Digest:
		refuse(r, record.StatusInvalid, "the records do not lead to the digest of their signed head")
		return nil
	case growth && m.full():
		refuseGrowth(r)
		return nil
	}
	in.incarnation = next.Position.Incarnation
	if err := m.foreseeImport(in, recs); err != nil {
		return err
	}
	for i := range recs {
		if err := m.importRecord(in, &recs[i], b.Records[i]); err != nil {
			return err
		}
	}
	return m.importHead(in, next, b)
}

func (m *machine) resyncing(in *inbound) (bool, error) {
	_, found, err := ReadResync(m.kv, in.alias, in.channel)
	return found, err
}

// decodeImport judges the records and their head by themselves: dense sequences, and a chain that ends in the head.
func (m *machine) decodeImport(b *record.Import, in *inbound, r *record.Result) (record.FeedHead, []record.FeedRecord, bool) {
	head, err := record.DecodeFeedHead(b.Head)
	if err != nil || head.Region != b.RegionID || head.Channel != b.Channel {
		refuse(r, record.StatusInvalid, "the records are not closed by a head of their channel")
		return head, nil, false
	}
	at := in.state.Position
	recs := make([]record.FeedRecord, len(b.Records))
	for i, encoded := range b.Records {
		rec, err := record.DecodeFeedRecord(encoded)
		if err != nil {
			refuse(r, record.StatusInvalid, "record %d of the batch cannot be read: %v", i, err)
			return head, nil, false
		}
		if !skipsCursor && !m.limits.without.Cursor && rec.Sequence != at.Sequence+1 || !distinctChanges(&rec) {
			refuse(r, record.StatusInvalid, "record %d of the batch has sequence %d after %d, or changes a key twice", i,
				rec.Sequence, at.Sequence)
			return head, nil, false
		}
		at.Sequence, at.Chain = rec.Sequence, record.ChainNext(at.Chain, encoded)
		recs[i] = rec
	}
	if !skipsCursor && !m.limits.without.Cursor && head.Position != at {
		refuse(r, record.StatusInvalid, "the records end at %d.%d with another chain than their head at %d.%d",
			at.Incarnation, at.Sequence, head.Position.Incarnation, head.Position.Sequence)
		return head, nil, false
	}
	return head, recs, true
}

func distinctChanges(rec *record.FeedRecord) bool {
	if len(rec.Changes) < 2 {
		return true
	}
	seen := make(map[string]struct{}, len(rec.Changes))
	for i := range rec.Changes {
		seen[string(rec.Changes[i].Key)] = struct{}{}
	}
	return len(seen) == len(rec.Changes)
}

// digestAfter gives the digest that the channel will have, and whether anything is put.
func (m *machine) digestAfter(in *inbound, recs []record.FeedRecord) (digest record.Digest, growth bool, err error) {
	if err := m.readBefore(in, recs); err != nil {
		return digest, false, err
	}
	digest = in.state.Digest
	for i := range recs {
		for j := range recs[i].Changes {
			c := &recs[i].Changes[j]
			row := in.before[string(c.Key)]
			if row.left {
				digest.Remove(row.element)
			}
			if row.left = c.Op == record.FeedPut; row.left {
				row.element, growth = record.Element(c.Key, c.Entry), true
				digest.Add(row.element)
			}
		}
	}
	return digest, growth, nil
}

// readBefore reads the rows that the records change, without their entries.
func (m *machine) readBefore(in *inbound, recs []record.FeedRecord) error {
	n := 0
	for i := range recs {
		n += len(recs[i].Changes)
	}
	var rows []rowBefore
	rows, in.before = m.scratch.rowsFor(n)
	keys := make([][]byte, 0, n)
	for i := range recs {
		for j := range recs[i].Changes {
			key := recs[i].Changes[j].Key
			if _, met := in.before[string(key)]; !met {
				in.before[string(key)] = &rows[len(keys)]
				keys = append(keys, key)
			}
		}
	}
	if len(keys) >= inOrder {
		return m.readInOrder(in, keys)
	}
	for i, key := range keys {
		row, found, err := m.imported(in, key)
		if err != nil {
			return err
		}
		rows[i].set(row, found)
	}
	return nil
}

func (m *machine) readInOrder(in *inbound, keys [][]byte) error {
	slices.SortFunc(keys, bytes.Compare) // the keys of rows are in the same order
	ofRows := make([][]byte, len(keys))
	for i, key := range keys {
		ofRows[i] = record.AppendImportedKey(nil, in.alias, in.channel, key)
	}
	return m.kv.GetAll(ofRows, func(i int, value []byte, found bool) (err error) {
		var row record.Imported
		if found {
			row, err = record.DecodeImported(value)
		}
		in.before[string(keys[i])].set(row, found)
		return err
	})
}

func (b *rowBefore) set(row record.Imported, found bool) {
	row.Entry = nil
	b.Imported, b.found, b.element, b.left = row, found, row.Element, found
}

// imported finds an imported record. Entry is valid until the next read.
func (m *machine) imported(in *inbound, key []byte) (record.Imported, bool, error) {
	m.key = record.AppendImportedKey(m.key[:0], in.alias, in.channel, key)
	b, found, err := m.kv.Get(m.key)
	if err != nil || !found {
		return record.Imported{}, false, err
	}
	row, err := record.DecodeImported(b)
	return row, err == nil, err
}

// replaced finds an imported record that is about to change, without its entry.
func (m *machine) replaced(in *inbound, key []byte) (record.Imported, bool, error) {
	if row, ok := in.before[string(key)]; ok {
		delete(in.before, string(key))
		return row.Imported, row.found, nil
	}
	row, found, err := m.imported(in, key)
	row.Entry = nil
	return row, found, err
}

// importRecord takes one record over, in one revision of this region.
func (m *machine) importRecord(in *inbound, rec *record.FeedRecord, encoded []byte) error {
	in.shown = slices.Grow(in.shown[:0], len(rec.Changes))
	for i := range rec.Changes {
		c := &rec.Changes[i]
		var err error
		if c.Op == record.FeedPut {
			err = m.putImported(in, rec.Sequence, c.Key, c.Entry)
		} else {
			err = m.dropImported(in, c.Key)
		}
		if err != nil {
			return err
		}
	}
	s := &in.state
	s.Position.Sequence = rec.Sequence
	s.Position.Chain = record.ChainNext(s.Position.Chain, encoded)
	s.Revision = rec.Revision
	if err := m.setLogRow(in.alias, in.channel, s, &record.FeedLogRow{
		Chain: s.Position.Chain, Digest: s.Digest, Revision: rec.Revision, Record: encoded,
	}); err != nil {
		return err
	}
	return m.commitShown(in, rec.Writer, rec.Trace, rec.Revision)
}

// putImported keeps an imported record as it came, and shows it if it may be shown.
func (m *machine) putImported(in *inbound, sequence uint64, key, entry []byte) error {
	old, found, err := m.replaced(in, key)
	if err != nil {
		return err
	}
	next := record.Imported{Sequence: sequence, Element: record.Element(key, entry), Entry: entry}
	if found {
		in.forget(&old)
	}
	in.state.Digest.Add(next.Element)
	in.state.Records++
	local, decoded, err := m.show(in, key, &next)
	if err != nil {
		return err
	}
	if err := m.hideMoved(in, key, &old, &next, local); err != nil {
		return err
	}
	if next.Shown {
		in.shown = append(in.shown, shownChange{key: local, entry: decoded, sequence: sequence})
	}
	return m.setImported(in, key, &next)
}

func (m *machine) setImported(in *inbound, key []byte, row *record.Imported) error {
	if row.Quarantine != record.QuarantineNone {
		in.state.Quarantined++
	}
	m.key = record.AppendImportedKey(m.key[:0], in.alias, in.channel, key)
	m.row = record.AppendImported(m.row[:0], row)
	return m.kv.Set(m.key, m.row)
}

// forget takes a row out of the sums of its channel.
func (in *inbound) forget(row *record.Imported) {
	in.state.Digest.Remove(row.Element)
	in.state.Records--
	if row.Quarantine != record.QuarantineNone {
		in.state.Quarantined--
	}
}

// dropImported forgets an imported record and hides it.
func (m *machine) dropImported(in *inbound, key []byte) error {
	old, found, err := m.replaced(in, key)
	if err != nil || !found {
		return err
	}
	in.forget(&old)
	if err := m.kv.Delete(record.AppendImportedKey(nil, in.alias, in.channel, key)); err != nil {
		return err
	}
	return m.hideMoved(in, key, &old, &record.Imported{}, record.Key{})
}

// importHead ends an import: the head that closed it is kept, for relays and for the next pull.
func (m *machine) importHead(in *inbound, head record.FeedHead, b *record.Import) error {
	s := &in.state
	in.document(b.Document)
	if last, err := record.DecodeFeedHead(s.Head); err == nil && len(b.Records) == 0 && last.Time >= head.Time {
		return m.setFeedState(in.alias, in.channel, s) // an idle head that came late says nothing new
	}
	s.Position, s.Revision, s.Head = head.Position, head.Revision, b.Head
	if len(b.Records) > 0 {
		if err := m.markLogHead(in, b.Head); err != nil {
			return err
		}
	}
	return m.setFeedState(in.alias, in.channel, s)
}

// document keeps the document that came along, unless it is none of the channel or older than the one that is here: who
// may have the channel is what its home said last, in whatever order it came.
func (in *inbound) document(encoded []byte) {
	next, err := record.DecodeChannelDocument(encoded)
	if err != nil || next.Region != in.region || next.Channel.ID != in.channel {
		return
	}
	if here, err := record.DecodeChannelDocument(in.state.Document); err == nil && here.Channel.Generation > next.Channel.Generation {
		return
	}
	in.state.Document = encoded
}

// markLogHead keeps a signed head beside the record that it closes: a relay cuts its batches there.
func (m *machine) markLogHead(in *inbound, head []byte) error {
	m.key = record.AppendFeedLogKey(m.key[:0], in.alias, in.channel, in.state.Position.Sequence)
	b, found, err := m.kv.Get(m.key)
	if err != nil || !found {
		return err
	}
	row, err := record.DecodeFeedLogRow(b)
	if err != nil {
		return err
	}
	before := len(b)
	row.Head = head
	m.row = record.AppendFeedLogRow(m.row[:0], &row)
	in.state.LogBytes += uint64(len(m.row) - before)
	return m.kv.Set(m.key, m.row)
}
