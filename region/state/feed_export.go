package state

import (
	"bytes"
	"encoding/binary"
	"slices"

	"supercluster/region/record"
)

// export is a change of a record of this region, as its channels carry it.
type export struct {
	class   record.Class
	key     record.FeedKey
	wire    []byte // encoded key
	entry   []byte // nil if the record is gone
	mine    bool   // it may be exported: of a federated namespace, with its home here
	epoch   uint64
	local   record.Key
	deleted bool
}

// exportPlan writes what is planned to the channels that carry it. What came from elsewhere never goes out again.
func (m *machine) exportPlan() error {
	if m.plan.home != [16]byte{} {
		return nil
	}
	f, err := m.exporting()
	if err != nil || f == nil || len(f.channels) == 0 {
		return err
	}
	var exports []export
	for i := range m.plan.changes {
		e, ok, err := m.exportOf(&m.plan.changes[i].record)
		if err != nil {
			return err
		}
		if ok {
			exports = append(exports, e)
		}
	}
	if len(exports) == 0 {
		return nil
	}
	rec := record.FeedRecord{Revision: m.plan.revision, Writer: m.plan.writer, Trace: m.plan.trace}
	for i := range f.channels {
		if err := m.exportTo(&f.channels[i], exports, rec); err != nil {
			return err
		}
	}
	return nil
}

// exportOf gives a record as it is called between regions; false: it is none of this region, or of no class.
func (m *machine) exportOf(r *record.Record) (e export, ok bool, err error) {
	e = export{local: r.Key, deleted: r.Deleted}
	if e.class, ok = record.ClassOf(r.Key.Kind); !ok || r.Key.Scope > record.ScopeRegion {
		return export{}, false, nil
	}
	e.key = record.FeedKey{Kind: r.Key.Kind, Regional: r.Key.Scope == record.ScopeRegion, Name: r.Key.Name}
	if r.Key.Shard == record.ShardSystem {
		e.mine = e.key.Regional && (r.Key.Kind != record.KindRegion || r.Attributes.Flags == uint64(AliasSelf) || r.Deleted)
	} else {
		space, err := m.space(r.Key.Tenant, r.Key.Namespace)
		if err != nil || space == nil {
			return export{}, false, err
		}
		e.key.Tenant, e.key.Namespace = space.Tenant, space.Namespace
		p := space.Home(r.Key.Name)
		e.mine, e.epoch = e.key.Regional || p.Home == AliasSelf, p.Epoch
	}
	e.wire = record.AppendFeedKey(nil, &e.key)
	if !r.Deleted && e.mine {
		e.entry = appendEntryOf(nil, r, e.epoch)
	}
	return e, true, nil
}

// appendEntryOf encodes a record of this region as it travels: a function of its row and the owner epoch alone, so that
// a snapshot of the channel has the bytes that the feed had.
func appendEntryOf(dst []byte, r *record.Record, epoch uint64) []byte {
	return record.AppendFeedEntry(dst, &record.FeedEntry{
		OwnerEpoch: epoch, Revision: r.ModifyRevision, Version: r.Version, Attributes: r.Attributes, Value: r.Value,
		Extension: []byte(laterExtension),
	})
}

// exportTo appends to one channel what of the changes it carries.
func (m *machine) exportTo(c *ownChannel, exports []export, rec record.FeedRecord) error {
	rec.Sequence = c.state.Position.Sequence + 1
	var rows []exportRow
	for i := range exports {
		e := &exports[i]
		if e.class != c.doc.Class {
			continue
		}
		row, op, err := m.judgeExport(c, e)
		if err != nil {
			return err
		}
		if op == 0 {
			continue
		}
		rec.Changes = append(rec.Changes, record.FeedChange{Op: op, Key: e.wire, Entry: row.entry})
		rows = append(rows, row)
	}
	if len(rows) == 0 {
		return nil
	}
	return m.appendFeed(c, &rec, rows)
}

// exportRow is the row of an exported record before and after a change.
type exportRow struct {
	*export
	entry  []byte // nil when the channel no longer carries it
	before record.Exported
	was    bool
}

// judgeExport decides what a channel says of a change; 0 is nothing.
func (m *machine) judgeExport(c *ownChannel, e *export) (exportRow, record.FeedOp, error) {
	row := exportRow{export: e}
	m.key = record.AppendExportedKey(m.key[:0], c.doc.ID, e.wire)
	b, found, err := m.kv.Get(m.key)
	if err != nil {
		return row, 0, err
	}
	if found {
		row.was = true
		if row.before, err = record.DecodeExported(b); err != nil {
			return row, 0, err
		}
	}
	switch {
	case e.entry != nil && c.doc.Selector.Picks(&e.key):
		row.entry = e.entry
		return row, record.FeedPut, nil
	case !found:
		return row, 0, nil
	case e.deleted:
		return row, record.FeedDelete, nil
	default:
		return row, record.FeedUnexport, nil
	}
}

// appendFeed appends one record to a channel: the log, the digest, and what the channel carries now.
func (m *machine) appendFeed(c *ownChannel, rec *record.FeedRecord, rows []exportRow) error {
	s := &c.state
	for i := range rows {
		if err := m.setExported(c, &rows[i], rec.Sequence); err != nil {
			return err
		}
	}
	encoded := record.AppendFeedRecord(nil, rec)
	s.Position.Sequence = rec.Sequence
	s.Position.Chain = record.ChainNext(s.Position.Chain, encoded)
	s.Revision = rec.Revision
	c.dirty = true
	return m.setLogRow(AliasSelf, c.doc.ID, s, &record.FeedLogRow{
		Chain: s.Position.Chain, Digest: s.Digest, Revision: rec.Revision, Record: encoded,
	})
}

// setLogRow writes the newest row of a channel's log.
func (m *machine) setLogRow(alias, channel uint32, s *record.FeedState, row *record.FeedLogRow) error {
	m.key = record.AppendFeedLogKey(m.key[:0], alias, channel, s.Position.Sequence)
	m.row = record.AppendFeedLogRow(m.row[:0], row)
	s.LogBytes += uint64(len(m.key) + len(m.row))
	return m.kv.Set(m.key, m.row)
}

func (m *machine) setExported(c *ownChannel, row *exportRow, sequence uint64) error {
	s := &c.state
	if row.was {
		s.Digest.Remove(row.before.Element)
		s.Records--
	}
	m.key = record.AppendExportedKey(m.key[:0], c.doc.ID, row.wire)
	if row.entry == nil {
		return m.kv.Delete(m.key)
	}
	element := record.Element(row.wire, row.entry)
	s.Digest.Add(element)
	s.Records++
	m.row = record.AppendExported(m.row[:0], &record.Exported{
		Sequence: sequence, Element: element, OwnerEpoch: row.epoch, Tenant: row.local.Tenant, Namespace: row.local.Namespace,
	})
	return m.kv.Set(m.key, m.row)
}

// exportable reports whether a planned change would be exported by any channel.
func (m *machine) exportable() (bool, error) {
	for i := range m.plan.changes {
		e, ok, err := m.exportOf(&m.plan.changes[i].record)
		if err != nil {
			return false, err
		}
		if ok && (e.mine || e.deleted) && slices.ContainsFunc(m.fed.channels, func(c ownChannel) bool { return c.doc.Class == e.class }) {
			return true, nil
		}
	}
	return false, nil
}

// fencedOff refuses a write that would be exported while the region heals.
func (m *machine) fencedOff(op *record.Op, r *record.Result) (bool, error) {
	f, err := m.federated()
	if err != nil || f == nil || f.row.Fence != record.FenceHealing || op.Type == record.OpHeal {
		return false, err
	}
	if _, err := m.exporting(); err != nil {
		return false, err
	}
	off, err := m.exportable()
	if off {
		refuse(r, record.StatusFenced, "the region runs on restored data and heals from its peers (%s); try again in a while",
			f.row.Reason)
	}
	return off, err
}

// maxWalkBytes bounds what one step of a walk puts into one feed record or revision.
const maxWalkBytes = 256 << 10

// walkExported takes one step of a backfill: it looks at records that are there already, in the order of their keys, and
// tells the channel of those that it must begin or cease to carry. Writes that happen meanwhile judge their own records.
func (m *machine) walkExported(b *record.Walk, r *record.Result) error {
	f, err := m.exporting()
	if err != nil {
		return err
	}
	var c *ownChannel
	if f != nil {
		if at := slices.IndexFunc(f.channels, func(c ownChannel) bool { return c.doc.ID == b.Channel }); at >= 0 {
			c = &f.channels[at]
		}
	}
	if c == nil || !c.state.Walking || c.state.Step != b.Step || !bytes.Equal(c.state.Next, b.From) {
		refuse(r, record.StatusStale, "the backfill does not stand there")
		return nil
	}
	records, next, err := m.walkedRecords(c, b)
	if err != nil {
		return err
	}
	rec := record.FeedRecord{Revision: m.head.Positions.Of(shardOfClass(c.doc.Class)), Backfill: true, Sequence: c.state.Position.Sequence + 1}
	rec.Writer.Time = m.entry.Time
	var rows []exportRow
	for i := range records {
		e, ok, err := m.exportOf(&records[i])
		if err != nil {
			return err
		}
		if !ok || e.class != c.doc.Class {
			continue
		}
		row, op, err := m.judgeExport(c, &e)
		if err != nil {
			return err
		}
		if op == 0 || op == record.FeedPut && row.was && row.before.Element == record.Element(e.wire, e.entry) {
			continue
		}
		rec.Changes = append(rec.Changes, record.FeedChange{Op: op, Key: e.wire, Entry: row.entry})
		rows = append(rows, row)
	}
	c.state.Next, c.state.Walking, c.dirty = next, next != nil, true
	if len(rows) == 0 {
		return nil
	}
	return m.appendFeed(c, &rec, rows)
}

// walkedRecords reads the records of the next step, and where the one after begins; nil at the end.
func (m *machine) walkedRecords(c *ownChannel, b *record.Walk) (records []record.Record, next []byte, err error) {
	shard := shardOfClass(c.doc.Class)
	from, to := shardBounds(shard)
	if len(b.From) > 0 {
		from = b.From
	}
	limit, size, seen := min(max(int(b.Limit), 1), record.MaxWalk), 0, 0
	err = walkRows(m.kv, from, to, 0, func(key, row []byte) ([]byte, bool, error) {
		if seen++; len(records) >= limit || size >= maxWalkBytes || seen > 4*record.MaxWalk {
			next = bytes.Clone(key[:record.Split(key)]) // a newer version of the record may come before this row
			return nil, false, nil
		}
		k, revision, err := record.DecodeVersionKey(key)
		if err != nil {
			return nil, false, err
		}
		if class, ok := record.ClassOf(k.Kind); !ok || class != c.doc.Class || k.Scope > record.ScopeRegion {
			return afterKind(k), true, nil
		}
		rec, err := ownedRecord(k, revision, row)
		if err != nil || rec.Origin != (record.Origin{}) {
			return nil, true, err
		}
		records, size = append(records, rec), size+len(rec.Value)
		return nil, true, nil
	})
	return records, next, err
}

// afterKind gives the first row key after the records of a kind in its namespace.
func afterKind(k record.Key) []byte {
	if k.Kind == ^record.Kind(0) {
		_, to := record.NamespaceBounds(k.Shard, k.Tenant, k.Namespace)
		return to
	}
	from, _ := record.RangeBounds(record.Range{Shard: k.Shard, Tenant: k.Tenant, Namespace: k.Namespace, Kind: k.Kind + 1})
	return from
}

// shardOfClass gives the shard that the kinds of a class live in.
func shardOfClass(c record.Class) uint32 {
	if c == record.ClassControl {
		return record.ShardSystem
	}
	return record.ShardData
}

// shardBounds gives the row keys [from, to) of all versions of a shard.
func shardBounds(shard uint32) (from, to []byte) {
	from = binary.BigEndian.AppendUint32([]byte{record.SpaceVersions}, shard)
	return from, binary.BigEndian.AppendUint32([]byte{record.SpaceVersions}, shard+1)
}
