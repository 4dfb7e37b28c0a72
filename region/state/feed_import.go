package state

import (
	"bytes"
	"encoding/hex"

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
}

// shownChange is a change to the records of this region that an imported record leads to.
type shownChange struct {
	key      record.Key
	entry    *record.FeedEntry // nil: it goes
	sequence uint64
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
	in := &inbound{alias: alias, region: region, channel: channel}
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
	if !m.limits.without.Cursor && in.state.Position != b.From {
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
	case !m.limits.without.Cursor && digest != next.Digest:
		refuse(r, record.StatusInvalid, "the records do not lead to the digest of their signed head")
		return nil
	case growth && m.full():
		refuseGrowth(r)
		return nil
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
		if !m.limits.without.Cursor && rec.Sequence != at.Sequence+1 || !distinctChanges(&rec) {
			refuse(r, record.StatusInvalid, "record %d of the batch has sequence %d after %d, or changes a key twice", i,
				rec.Sequence, at.Sequence)
			return head, nil, false
		}
		at.Sequence, at.Chain = rec.Sequence, record.ChainNext(at.Chain, encoded)
		recs[i] = rec
	}
	if !m.limits.without.Cursor && head.Position != at {
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
	digest = in.state.Digest
	now := map[string]*record.Digest{} // of keys met before in the batch; nil is none
	for i := range recs {
		for j := range recs[i].Changes {
			c := &recs[i].Changes[j]
			old, met := now[string(c.Key)]
			if !met {
				row, found, err := m.imported(in, c.Key)
				if err != nil {
					return digest, false, err
				}
				if found {
					old = &row.Element
				}
			}
			if old != nil {
				digest.Remove(*old)
			}
			now[string(c.Key)] = nil
			if c.Op == record.FeedPut {
				e := record.Element(c.Key, c.Entry)
				digest.Add(e)
				now[string(c.Key)], growth = &e, true
			}
		}
	}
	return digest, growth, nil
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

// importRecord takes one record over, in one revision of this region.
func (m *machine) importRecord(in *inbound, rec *record.FeedRecord, encoded []byte) error {
	in.shown = in.shown[:0]
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
	old, found, err := m.imported(in, key)
	if err != nil {
		return err
	}
	old.Entry = nil
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
	old, found, err := m.imported(in, key)
	if err != nil || !found {
		return err
	}
	in.forget(&old)
	if err := m.kv.Delete(record.AppendImportedKey(nil, in.alias, in.channel, key)); err != nil {
		return err
	}
	old.Entry = nil
	return m.hideMoved(in, key, &old, &record.Imported{}, record.Key{})
}

// hideMoved hides what was shown of a record, unless it is shown in the same place now.
func (m *machine) hideMoved(in *inbound, key []byte, old, next *record.Imported, local record.Key) error {
	if !old.Shown {
		return nil
	}
	k, err := record.DecodeFeedKey(key)
	if err != nil {
		return nil // it cannot have been shown
	}
	was := localKey(in, &k, old)
	if next.Shown && was == local {
		return nil
	}
	in.shown = append(in.shown, shownChange{key: was})
	return nil
}

// localKey gives the key of the record of this region that shows an imported one.
func localKey(in *inbound, k *record.FeedKey, row *record.Imported) record.Key {
	shard, _ := k.Kind.Shard()
	local := record.Key{Shard: shard, Tenant: row.Tenant, Namespace: row.Namespace, Kind: k.Kind, Name: k.Name}
	if k.Regional {
		local.Scope = in.alias
	}
	return local
}

// show decides whether an imported record is shown, where, and if not why. It fills Shown, Quarantine and the numbers.
func (m *machine) show(in *inbound, key []byte, row *record.Imported) (record.Key, *record.FeedEntry, error) {
	k, err := record.DecodeFeedKey(key)
	entry, err2 := record.DecodeFeedEntry(row.Entry)
	if err != nil || err2 != nil || !rightPlace(&k) {
		row.Quarantine = record.QuarantineMalformed
		return record.Key{}, nil, nil
	}
	if known, _, err := m.regionOf(in.alias); err != nil || known.Removed {
		return record.Key{}, nil, err
	}
	if k.Kind < firstData {
		m.showSystem(in, &k, &entry, row)
		return localKey(in, &k, row), &entry, nil
	}
	if ok, err := m.linked(in, &k, row); err != nil || !ok {
		return record.Key{}, nil, err
	}
	local := localKey(in, &k, row)
	if !k.Regional {
		if row.Quarantine, err = m.rival(in, local); err != nil || row.Quarantine != record.QuarantineNone {
			return local, nil, err
		}
	}
	row.Shown = true
	return local, &entry, nil
}

// firstData is the first kind of the data shard.
const firstData = record.KindService

// rightPlace reports whether a record of a kind that this version knows stands in the place of its kind: what is
// regional can never be claimed as placed, nor the other way round.
func rightPlace(k *record.FeedKey) bool {
	switch k.Kind {
	case record.KindInstance, record.KindCheck, record.KindCheckStatus, record.KindSummary, record.KindRegion, record.KindPlacement:
		return k.Regional
	case record.KindService, record.KindRoute, record.KindConfig:
		return !k.Regional
	default:
		return k.Kind != 0
	}
}

// showSystem shows what a region says of itself. System records of other kinds are passed on, and not shown.
func (m *machine) showSystem(in *inbound, k *record.FeedKey, e *record.FeedEntry, row *record.Imported) {
	switch {
	case k.Tenant != [16]byte{} || k.Namespace != "":
		row.Quarantine = record.QuarantineMalformed
	case k.Kind == record.KindRegion && k.Name != hex.EncodeToString(in.region[:]):
		row.Quarantine = record.QuarantineNotHome
	case k.Kind == record.KindRegion:
		e.Attributes.Flags = uint64(in.alias)
		row.Shown = true
	case k.Kind == record.KindPlacement:
		row.Shown = true
	}
}

// linked finds tenant and namespace of an imported record; false if it is not shown since either is not there, the
// namespace is not federated here, or the record is not wanted.
func (m *machine) linked(in *inbound, k *record.FeedKey, row *record.Imported) (bool, error) {
	if !in.take.Picks(k) {
		return false, nil
	}
	tenant, found, err := readLink(m.kv, in.alias, k.Tenant)
	if err != nil || !found {
		return false, err
	}
	if t, err := m.tally(tenant, 0); err != nil || !t.exists {
		return false, err
	}
	namespace, err := m.namespaceID(tenant, k.Namespace)
	if err != nil || namespace == 0 {
		return false, err
	}
	space, err := m.space(tenant, namespace)
	if err != nil || space == nil {
		return false, err
	}
	row.Tenant, row.Namespace = tenant, namespace
	if !k.Regional && space.Home(k.Name).Home != in.alias {
		row.Quarantine = record.QuarantineNotHome
		return false, nil
	}
	return true, nil
}

// rival looks for a record of this region with the name of an imported placed one.
func (m *machine) rival(in *inbound, k record.Key) (record.Quarantine, error) {
	for i := range in.shown {
		if in.shown[i].key == k && in.shown[i].entry == nil {
			return record.QuarantineNone, nil
		}
	}
	v, row, err := m.newest(k)
	if err != nil || !v.live() {
		return record.QuarantineNone, err
	}
	var rec record.Record
	if _, err := record.DecodeVersion(row, &rec); err != nil {
		return record.QuarantineNone, err
	}
	if rec.Origin == (record.Origin{}) {
		return record.QuarantineCollision, nil
	}
	return record.QuarantineNone, nil
}

// commitShown writes what in.shown changes, in one revision of its shard.
func (m *machine) commitShown(in *inbound, w record.Writer, t record.Trace, revision uint64) error {
	for _, shard := range [2]uint32{record.ShardSystem, record.ShardData} {
		m.beginPlan(shard, w, t, "")
		m.plan.home, m.plan.homeAt = in.region, record.Position{Shard: shard, Revision: revision}
		for i := range in.shown {
			if c := &in.shown[i]; c.key.Shard == shard {
				if err := m.planShown(in, c); err != nil {
					return err
				}
			}
		}
		if err := m.commit(); err != nil {
			return err
		}
	}
	in.shown = in.shown[:0]
	return nil
}

func (m *machine) planShown(in *inbound, s *shownChange) error {
	if _, twice := m.planned(s.key); twice {
		return nil // two records of a hostile peer that are shown in one place: the first stays
	}
	before, row, err := m.newest(s.key)
	if err != nil {
		return err
	}
	mine := false // what stands there came from this region's channels
	if before.live() {
		var rec record.Record
		if _, err := record.DecodeVersion(row, &rec); err != nil {
			return err
		}
		mine = rec.Origin.Home == in.region
	}
	if s.entry == nil {
		if mine {
			m.addDelete(s.key, before)
		}
		return nil
	}
	c := change{before: before, record: record.Record{
		Key: s.key, Value: bytes.Clone(s.entry.Value), Attributes: s.entry.Attributes,
		CreateRevision: m.plan.revision, ModifyRevision: m.plan.revision, Version: s.entry.Version,
		Origin: record.Origin{
			Home: in.region, OwnerEpoch: s.entry.OwnerEpoch, HomeRevision: s.entry.Revision, FeedSequence: s.sequence,
		},
	}}
	if before.live() {
		c.record.CreateRevision = before.head.CreateRevision
	}
	if s.key.Kind == record.KindConfig {
		c.ordinal = before.head.Ordinal + 1
	} else {
		c.record.Attributes.Writer = record.Writer{}
	}
	m.addChange(c)
	return nil
}

// importHead ends an import: the head that closed it is kept, for relays and for the next pull.
func (m *machine) importHead(in *inbound, head record.FeedHead, b *record.Import) error {
	s := &in.state
	if last, err := record.DecodeFeedHead(s.Head); err == nil && len(b.Records) == 0 && last.Time >= head.Time {
		return nil // an idle head that came late says nothing new
	}
	s.Position, s.Revision, s.Head = head.Position, head.Revision, b.Head
	if len(b.Document) > 0 {
		s.Document = b.Document
	}
	if len(b.Records) > 0 {
		if err := m.markLogHead(in, b.Head); err != nil {
			return err
		}
	}
	return m.setFeedState(in.alias, in.channel, s)
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
