package state

import (
	"bytes"

	"supercluster/region/record"
)

// replace takes over one chunk of a snapshot: after it the records of the channel between two keys are exactly those of
// the chunk. Equal ones are left alone, so that nobody is woken for nothing. The channel's position moves with the last
// chunk, whose content must have the digest of the signed head.
func (m *machine) replace(b *record.Replace, r *record.Result) error {
	in, err := m.inbound(b.RegionID, b.Channel, r)
	if err != nil || in == nil {
		return err
	}
	target, ok, err := m.judgeReplace(in, b, r)
	if err != nil || !ok {
		return err
	}
	gone, err := m.absent(in, b)
	if err != nil {
		return err
	}
	digest, err := m.digestOfChunk(in, b, gone)
	if err != nil {
		return err
	}
	last := len(b.To) == 0
	switch {
	case last && !m.limits.without.Cursor && digest != target.Digest:
		refuse(r, record.StatusInvalid, "the snapshot does not have the digest of its signed head")
		return nil
	case len(b.Items) > 0 && m.full():
		refuseGrowth(r)
		return nil
	}
	in.incarnation = target.Position.Incarnation
	if err := m.replaceItems(in, b, gone, target); err != nil {
		return err
	}
	key := record.AppendResyncKey(nil, in.alias, in.channel)
	if !last {
		if err := m.kv.Set(key, record.AppendResync(nil, &record.Resync{Target: b.Target, Next: b.To})); err != nil {
			return err
		}
		return m.setFeedState(in.alias, in.channel, &in.state)
	}
	if err := m.kv.Delete(key); err != nil {
		return err
	}
	s := &in.state
	s.Position, s.Revision, s.Head = target.Position, target.Revision, b.Target
	s.FloorSequence, s.FloorChain, s.LogBytes = target.Position.Sequence, target.Position.Chain, 0
	in.document(b.Document)
	return m.setFeedState(in.alias, in.channel, s)
}

// judgeReplace judges whether the chunk is the next one. A snapshot must be newer than what is here: nobody goes back in
// time. One under way gives way to another only if that is not older.
func (m *machine) judgeReplace(in *inbound, b *record.Replace, r *record.Result) (record.FeedHead, bool, error) {
	target, err := record.DecodeFeedHead(b.Target)
	if err != nil || target.Region != b.RegionID || target.Channel != b.Channel || !ascending(b) {
		refuse(r, record.StatusInvalid, "a chunk of a snapshot is not of its head's channel, or not in order")
		return target, false, nil
	}
	if !m.limits.without.Order && !target.Position.After(in.state.Position) {
		refuse(r, record.StatusStale, "the snapshot at %d.%d is not newer than %d.%d", target.Position.Incarnation,
			target.Position.Sequence, in.state.Position.Incarnation, in.state.Position.Sequence)
		return target, false, nil
	}
	resync, found, err := ReadResync(m.kv, in.alias, in.channel)
	if err != nil {
		return target, false, err
	}
	if found && !m.limits.without.Order {
		was, err := record.DecodeFeedHead(resync.Target)
		if err != nil {
			return target, false, err
		}
		if was.Position.After(target.Position) {
			refuse(r, record.StatusStale, "a newer snapshot of the channel is being taken over")
			return target, false, nil
		}
	}
	follows := found && bytes.Equal(resync.Target, b.Target) && bytes.Equal(resync.Next, b.From)
	if len(b.From) > 0 && !follows {
		refuse(r, record.StatusStale, "the chunk does not follow the one before it")
		return target, false, nil
	}
	return target, true, nil
}

// ascending reports whether the items of a chunk are in order and within its bounds.
func ascending(b *record.Replace) bool {
	last := b.From
	for i := range b.Items {
		k := b.Items[i].Key
		if order := bytes.Compare(k, last); order < 0 || order == 0 && (i > 0 || len(k) == 0) {
			return false
		}
		if len(b.To) > 0 && bytes.Compare(k, b.To) >= 0 {
			return false
		}
		last = k
	}
	return len(b.To) == 0 || bytes.Compare(b.From, b.To) < 0
}

// absent lists the records of the channel here that the chunk does not have.
func (m *machine) absent(in *inbound, b *record.Replace) (gone [][]byte, err error) {
	from := record.AppendImportedKey(nil, in.alias, in.channel, b.From)
	to := record.PrefixSuccessor(record.AppendImportedKey(nil, in.alias, in.channel, nil))
	if len(b.To) > 0 {
		to = record.AppendImportedKey(nil, in.alias, in.channel, b.To)
	}
	at := 0
	err = scan(m.kv, from, to, func(key, _ []byte) error {
		k := record.ImportedFeedKey(key)
		for at < len(b.Items) && bytes.Compare(b.Items[at].Key, k) < 0 {
			at++
		}
		if at == len(b.Items) || !bytes.Equal(b.Items[at].Key, k) {
			gone = append(gone, bytes.Clone(k))
		}
		return nil
	})
	return gone, err
}

func (m *machine) digestOfChunk(in *inbound, b *record.Replace, gone [][]byte) (record.Digest, error) {
	rec := record.FeedRecord{Changes: make([]record.FeedChange, 0, len(gone)+len(b.Items))}
	for _, k := range gone {
		rec.Changes = append(rec.Changes, record.FeedChange{Op: record.FeedUnexport, Key: k})
	}
	for i := range b.Items {
		rec.Changes = append(rec.Changes, record.FeedChange{Op: record.FeedPut, Key: b.Items[i].Key, Entry: b.Items[i].Entry})
	}
	digest, _, err := m.digestAfter(in, []record.FeedRecord{rec})
	return digest, err
}

func (m *machine) replaceItems(in *inbound, b *record.Replace, gone [][]byte, target record.FeedHead) error {
	for _, k := range gone {
		if err := m.dropImported(in, k); err != nil {
			return err
		}
	}
	for i := range b.Items {
		it := &b.Items[i]
		old, found, err := m.imported(in, it.Key)
		if err != nil {
			return err
		}
		if found && old.Element == record.Element(it.Key, it.Entry) {
			continue
		}
		if err := m.putImported(in, target.Position.Sequence, it.Key, it.Entry); err != nil {
			return err
		}
	}
	return m.commitShown(in, record.Writer{Time: m.entry.Time}, record.Trace{}, target.Revision)
}

// walk takes one step of a backfill of an own channel, or of a remap of an imported one.
func (m *machine) walk(b *record.Walk, r *record.Result) error {
	if b.RegionID == [16]byte{} {
		return m.walkExported(b, r)
	}
	alias, known, err := m.alias(b.RegionID)
	if err != nil {
		return err
	}
	if known != nil && alias == AliasSelf {
		return m.walkExported(b, r)
	}
	if known == nil {
		refuse(r, record.StatusNotFound, "region %x is not known here", b.RegionID)
		return nil
	}
	return m.walkImported(alias, b, r)
}

// walkImported judges again what is shown of some imported records.
func (m *machine) walkImported(alias uint32, b *record.Walk, r *record.Result) error {
	if _, err := m.federated(); err != nil {
		return err
	}
	in := &inbound{alias: alias, region: b.RegionID, channel: b.Channel, shown: m.scratch.shown}
	var err error
	if in.state, in.known, err = readFeedState(m.kv, alias, b.Channel); err != nil {
		return err
	}
	s := &in.state
	in.incarnation = s.Position.Incarnation
	if !in.known || !s.Walking || s.Step != b.Step || !bytes.Equal(s.Next, b.From) {
		refuse(r, record.StatusStale, "the walk does not stand there")
		return nil
	}
	if m.withdrawn(in) {
		return m.walkWithdrawn(in, b)
	}
	if in.take, err = ImportSelector(m.kv, alias); err != nil {
		return err
	}
	rows, next, err := m.walkedRows(in, b)
	if err != nil {
		return err
	}
	for i := range rows {
		if err := m.showAgain(in, rows[i].key, &rows[i].row); err != nil {
			return err
		}
	}
	s.Next, s.Walking = next, next != nil
	if err := m.setFeedState(alias, b.Channel, s); err != nil {
		return err
	}
	return m.commitShown(in, record.Writer{Time: m.entry.Time}, record.Trace{}, s.Revision)
}

type importedRow struct {
	key []byte
	row record.Imported
}

// walkedRows reads the imported records of the next step, and where the one after begins; nil at the end.
func (m *machine) walkedRows(in *inbound, b *record.Walk) (rows []importedRow, next []byte, err error) {
	from := record.AppendImportedKey(nil, in.alias, in.channel, b.From)
	to := record.PrefixSuccessor(record.AppendImportedKey(nil, in.alias, in.channel, nil))
	it, err := m.kv.Scan(from, to, false)
	if err != nil {
		return nil, nil, err
	}
	limit, size := min(max(int(b.Limit), 1), record.MaxWalk), 0
	for it.Next() {
		key := bytes.Clone(record.ImportedFeedKey(it.Key()))
		if len(rows) >= limit || size >= maxWalkBytes {
			next = key
			break
		}
		row, err := record.DecodeImported(bytes.Clone(it.Value()))
		if err != nil {
			_ = it.Close() // the first error says more
			return nil, nil, err
		}
		rows, size = append(rows, importedRow{key, row}), size+len(row.Entry)
	}
	return rows, next, it.Close()
}

// showAgain judges one imported record again.
func (m *machine) showAgain(in *inbound, key []byte, old *record.Imported) error {
	next := record.Imported{Sequence: old.Sequence, Element: old.Element, Entry: old.Entry}
	local, entry, err := m.show(in, key, &next)
	if err != nil {
		return err
	}
	if next.Shown == old.Shown && next.Tenant == old.Tenant && next.Namespace == old.Namespace && next.Quarantine == old.Quarantine {
		return nil
	}
	if old.Quarantine != record.QuarantineNone {
		in.state.Quarantined--
	}
	if err := m.hideMoved(in, key, old, &next, local); err != nil {
		return err
	}
	if next.Shown {
		in.shown = append(in.shown, shownChange{key: local, entry: entry, sequence: old.Sequence})
	}
	return m.setImported(in, key, &next)
}
