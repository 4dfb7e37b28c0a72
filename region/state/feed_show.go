package state

import (
	"bytes"
	"encoding/hex"
	"slices"

	"supercluster/region/record"
)

// shownChange is a change to the records of this region that an imported record leads to.
type shownChange struct {
	key      record.Key
	entry    *record.FeedEntry // nil: it goes
	sequence uint64
	feed     record.FeedKey // of what goes
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
	in.shown = append(in.shown, shownChange{key: was, feed: k})
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
	at, err := m.placeOf(in, k)
	if err != nil || at.namespace == 0 {
		return false, err
	}
	space, err := m.space(at.tenant, at.namespace)
	if err != nil || space == nil {
		return false, err
	}
	row.Tenant, row.Namespace = at.tenant, at.namespace
	if !k.Regional && space.Home(k.Name).Home != in.alias {
		row.Quarantine = record.QuarantineNotHome
		return false, nil
	}
	return true, nil
}

// rival looks for a record of this region with the name of an imported placed one.
func (m *machine) rival(in *inbound, k record.Key) (record.Quarantine, error) {
	v, row, err := m.newest(k)
	if err != nil {
		return record.QuarantineNone, err
	}
	in.looked = lookedAt{found: true, key: k, version: v, row: append(in.looked.row[:0], row...)}
	if !v.live() {
		return record.QuarantineNone, nil
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

// lookedAt is what newest gave for a record.
type lookedAt struct {
	found   bool // anything was looked at
	key     record.Key
	version version
	row     []byte
}

// newestShown is newest for a record that is about to be shown: who looked for its rival a moment ago has found it already.
func (m *machine) newestShown(in *inbound, k record.Key) (v version, row []byte, err error) {
	if in.looked.found && in.looked.key == k {
		return in.looked.version, in.looked.row, nil
	}
	return m.newest(k)
}

// commitShown writes what in.shown changes, in one revision of its shard.
func (m *machine) commitShown(in *inbound, w record.Writer, t record.Trace, revision uint64) error {
	for _, shard := range [2]uint32{record.ShardSystem, record.ShardData} {
		m.beginPlan(shard, w, t, "")
		m.plan.changes = slices.Grow(m.plan.changes, len(in.shown))
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
	clear(in.shown)
	in.shown, in.looked.found = in.shown[:0], false // what was looked at may have been written
	m.scratch.shown = in.shown
	return nil
}

func (m *machine) planShown(in *inbound, s *shownChange) error {
	if _, twice := m.planned(s.key); twice {
		return nil // two records of a hostile peer that are shown in one place: the first stays
	}
	before, row, err := m.newestShown(in, s.key)
	if err != nil {
		return err
	}
	mine := false // what stands there came from this region's channels
	var rec record.Record
	if before.live() {
		if _, err := record.DecodeVersion(row, &rec); err != nil {
			return err
		}
		mine = rec.Origin.Home == in.region
	}
	entry, sequence, incarnation := s.entry, s.sequence, in.incarnation
	if entry == nil {
		if !mine {
			return nil
		}
		if entry, sequence, incarnation, err = m.shownElsewhere(in, s); err != nil {
			return err
		}
		switch {
		case entry == nil:
			m.addDelete(s.key, before)
			m.plan.changes[len(m.plan.changes)-1].gone = goneAt(m.plan.home, m.plan.homeAt.Revision, in.incarnation, &rec.Origin)
			return nil
		case before.head.Version == entry.Version && rec.Origin.HomeRevision == entry.Revision && bytes.Equal(rec.Value, entry.Value):
			return nil
		}
	}
	c := change{before: before, record: record.Record{
		Key: s.key, Value: bytes.Clone(entry.Value), Attributes: entry.Attributes,
		CreateRevision: m.plan.revision, ModifyRevision: m.plan.revision, Version: entry.Version,
		Origin: record.Origin{
			Home: in.region, OwnerEpoch: entry.OwnerEpoch, HomeRevision: entry.Revision, FeedSequence: sequence,
		},
	}}
	if m.entry.Level >= record.LevelIncarnation {
		c.record.Origin.Incarnation = incarnation
	}
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

// shownElsewhere finds what another row of a region shows in place of a record that goes: that of a second channel which
// carries it, or of the tenant that was linked in place of the one before. nil: nothing.
func (m *machine) shownElsewhere(in *inbound, s *shownChange) (entry *record.FeedEntry, sequence, incarnation uint64, err error) {
	if !in.siblingsRead {
		in.siblingsRead = true
		if in.links, err = Links(m.kv, in.alias); err != nil {
			return nil, 0, 0, err
		}
		if in.siblings, err = feedChannels(m.kv, in.alias); err != nil {
			return nil, 0, 0, err
		}
	}
	k := s.feed
	for _, l := range in.links {
		if s.key.Tenant != 0 && l.Tenant == s.key.Tenant {
			k.Tenant = l.Remote
		}
	}
	wire := record.AppendFeedKey(nil, &k)
	for _, channel := range in.siblings {
		row, found, err := m.imported(&inbound{alias: in.alias, channel: channel}, wire)
		if err != nil {
			return nil, 0, 0, err
		}
		if !found || !row.Shown || row.Tenant != s.key.Tenant || row.Namespace != s.key.Namespace {
			continue
		}
		e, err := record.DecodeFeedEntry(bytes.Clone(row.Entry))
		if err != nil {
			continue // it cannot be shown
		}
		if k.Kind == record.KindRegion {
			e.Attributes.Flags = uint64(in.alias)
		}
		st, _, err := readFeedState(m.kv, in.alias, channel)
		return &e, row.Sequence, st.Position.Incarnation, err
	}
	return nil, 0, 0, nil
}
