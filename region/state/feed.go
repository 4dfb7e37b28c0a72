package state

import (
	"encoding/hex"

	"supercluster/region/record"
)

// AliasSelf is the alias of this region.
const AliasSelf = record.ScopeRegion

// federation is what an entry needs to know of federation, read once.
type federation struct {
	row      record.Federation
	dirty    bool
	self     [16]byte
	spaces   []spaceRow
	channels []ownChannel // once exporting read them
	read     bool         // channels are
}

// ownChannel is a channel of this region while an entry is applied.
type ownChannel struct {
	doc   record.Channel
	state record.FeedState
	dirty bool
}

// spaceRow is a namespace that was looked up; nil when it is not federated.
type spaceRow struct {
	tenant, namespace uint32
	space             *record.FederatedNamespace
}

// federated gives what is known of federation; nil while the region has neither peer nor channel.
func (m *machine) federated() (*federation, error) {
	if m.fedRead {
		return m.fed, nil
	}
	row, found, err := ReadFederation(m.kv)
	if err != nil || !found {
		m.fedRead = err == nil
		return nil, err
	}
	f := &federation{row: row}
	id, _, err := readIdentity(m.kv)
	if err != nil {
		return nil, err
	}
	f.self = id.RegionID
	m.fed, m.fedRead = f, true
	return f, nil
}

// exporting is federated with the channels of this region: an import, which is most entries of many regions, needs none.
func (m *machine) exporting() (*federation, error) {
	f, err := m.federated()
	if err != nil || f == nil || f.read {
		return f, err
	}
	docs, err := Channels(m.kv)
	if err != nil {
		return nil, err
	}
	channels := make([]ownChannel, len(docs))
	for i := range docs {
		s, _, err := readFeedState(m.kv, AliasSelf, docs[i].ID)
		if err != nil {
			return nil, err
		}
		channels[i] = ownChannel{doc: docs[i], state: s}
	}
	f.channels, f.read = channels, true
	return f, nil
}

// federate is exporting, and begins federation if there is none.
func (m *machine) federate() (*federation, error) {
	f, err := m.exporting()
	if err != nil || f != nil {
		return f, err
	}
	id, _, err := readIdentity(m.kv)
	if err != nil {
		return nil, err
	}
	m.fed = &federation{self: id.RegionID, dirty: true, read: true, row: record.Federation{
		Incarnation: 1, Seen: 1, NextAlias: AliasSelf + 1, NextChannel: 1,
	}}
	return m.fed, m.setRegion(AliasSelf, &record.Region{ID: id.RegionID})
}

// flushFederation writes what the entry changed.
func (m *machine) flushFederation() error {
	f := m.fed
	if f == nil {
		return nil
	}
	if f.dirty {
		m.row = record.AppendFederation(m.row[:0], &f.row)
		if err := m.kv.Set(record.FederationKey(), m.row); err != nil {
			return err
		}
	}
	for i := range f.channels {
		if c := &f.channels[i]; c.dirty {
			if err := m.setFeedState(AliasSelf, c.doc.ID, &c.state); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *machine) setFeedState(alias, channel uint32, s *record.FeedState) error {
	m.key = record.AppendFeedStateKey(m.key[:0], alias, channel)
	m.row = record.AppendFeedState(m.row[:0], s)
	return m.kv.Set(m.key, m.row)
}

// space finds a federated namespace by its numbers; nil if it is not federated.
func (m *machine) space(tenant, namespace uint32) (*record.FederatedNamespace, error) {
	f := m.fed
	for i := range f.spaces {
		if s := &f.spaces[i]; s.tenant == tenant && s.namespace == namespace {
			return s.space, nil
		}
	}
	s, _, err := ReadFederated(m.kv, tenant, namespace)
	if err != nil {
		return nil, err
	}
	f.spaces = append(f.spaces, spaceRow{tenant, namespace, s})
	return s, nil
}

// peer makes a region known under an alias, or forgets it, and writes the record that describes it.
func (m *machine) peer(op *record.Op, r *record.Result) error {
	b := op.Peer
	if b.RegionID == [16]byte{} {
		refuse(r, record.StatusInvalid, "the region's id is all zero")
		return nil
	}
	if b.Compare {
		before, _, err := m.newest(regionKey(b.RegionID))
		if err != nil {
			return err
		}
		if at := before.current(); at != b.Revision {
			refuse(r, record.StatusStale, "the document of region %x is at revision %d, expected was %d", b.RegionID, at, b.Revision)
			return nil
		}
	}
	f, err := m.federate()
	if err != nil {
		return err
	}
	alias, known, err := m.alias(b.RegionID)
	switch {
	case err != nil:
		return err
	case b.Removed && (known == nil || alias == AliasSelf):
		refuse(r, record.StatusNotFound, "there is no peer region %x", b.RegionID)
		return nil
	case known == nil:
		alias = f.row.NextAlias
		f.row.NextAlias++
		f.dirty = true
	}
	r.ID = alias
	if known == nil || known.Removed != b.Removed {
		if err := m.setRegion(alias, &record.Region{ID: b.RegionID, Removed: b.Removed}); err != nil {
			return err
		}
		if err := m.walkImports(alias); err != nil {
			return err
		}
	}
	return m.describe(op, regionKey(b.RegionID), b.Value, b.Removed, uint64(alias), b.Writer, b.Trace)
}

// describe writes, or deletes, the system record that shows to people and peers what an operation set.
func (m *machine) describe(op *record.Op, k record.Key, value []byte, removed bool, number uint64, w record.Writer, t record.Trace) error {
	m.beginPlan(record.ShardSystem, w, t, op.RequestID)
	before, _, err := m.newest(k)
	if err != nil {
		return err
	}
	if removed {
		if before.live() {
			m.addDelete(k, before)
		}
		return m.commit()
	}
	m.addPut(k, before, value, record.Attributes{Flags: number})
	return m.commit()
}

// addPut plans a put of a system record.
func (m *machine) addPut(k record.Key, before version, value []byte, a record.Attributes) {
	c := change{before: before, record: record.Record{
		Key: k, Value: value, CreateRevision: m.plan.revision, ModifyRevision: m.plan.revision, Version: 1, Attributes: a,
	}}
	if before.live() {
		c.record.CreateRevision, c.record.Version = before.head.CreateRevision, before.head.Version+1
	}
	m.addChange(c)
}

func regionKey(id [16]byte) record.Key {
	return record.Key{
		Shard: record.ShardSystem, Kind: record.KindRegion, Scope: record.ScopeRegion, Name: hex.EncodeToString(id[:]),
	}
}

func (m *machine) setRegion(alias uint32, g *record.Region) error {
	if err := m.kv.Set(record.AppendRegionIDKey(nil, g.ID), record.AppendAlias(nil, alias)); err != nil {
		return err
	}
	return m.kv.Set(record.AppendRegionKey(nil, alias), record.AppendRegion(nil, g))
}

// alias finds the alias of a region, and what is known of it; nil if nothing is.
func (m *machine) alias(id [16]byte) (uint32, *record.Region, error) {
	alias, g, found, err := FindRegion(m.kv, id)
	if err != nil || !found {
		return 0, nil, err
	}
	return alias, &g, nil
}

// link shows a tenant of another region under one of this region, or ends that.
func (m *machine) link(op *record.Op, r *record.Result) error {
	b := op.Link
	alias, known, err := m.alias(b.RegionID)
	if err != nil {
		return err
	}
	if known == nil || alias == AliasSelf {
		refuse(r, record.StatusNotFound, "there is no peer region %x", b.RegionID)
		return nil
	}
	key := record.AppendLinkKey(nil, alias, b.Remote)
	if b.Tenant == 0 {
		if err := m.kv.Delete(key); err != nil {
			return err
		}
		if err := m.walkImports(alias); err != nil {
			return err
		}
		return m.note(op, linkName(b), nil, &b.Writer)
	}
	t, err := m.tally(b.Tenant, 0)
	if err != nil {
		return err
	}
	if !t.exists {
		refuse(r, record.StatusNotFound, "there is no tenant with id %d", b.Tenant)
		return nil
	}
	taken, err := m.linkedTo(alias, b)
	if err != nil {
		return err
	}
	if taken {
		refuse(r, record.StatusExists, "another tenant of that region is linked to the tenant; unlink it first")
		return nil
	}
	if err := m.kv.Set(key, record.AppendAlias(nil, b.Tenant)); err != nil {
		return err
	}
	if err := m.walkImports(alias); err != nil {
		return err
	}
	return m.note(op, linkName(b), record.AppendAlias(nil, b.Tenant), &b.Writer)
}

func linkName(b *record.Link) string {
	return "link/" + hex.EncodeToString(b.RegionID[:]) + "/" + hex.EncodeToString(b.Remote[:])
}

// note records who set something of the exchange with other regions, and to what; nil: that ended. Without a writer, as from
// the region's own duties and from versions before, there is nothing to record.
func (m *machine) note(op *record.Op, name string, value []byte, w *record.Writer) error {
	if *w == (record.Writer{}) {
		return nil
	}
	k := record.Key{Shard: record.ShardSystem, Kind: record.KindSetting, Scope: record.ScopeRegion, Name: name}
	return m.describe(op, k, value, value == nil, 0, *w, record.Trace{})
}

// linkedTo reports whether another tenant of the region is linked to the same tenant: their records would mix.
func (m *machine) linkedTo(alias uint32, b *record.Link) (bool, error) {
	links, err := Links(m.kv, alias)
	for _, l := range links {
		if l.Tenant == b.Tenant && l.Remote != b.Remote {
			return true, err
		}
	}
	return false, err
}

// take says what of another region's records is shown here.
func (m *machine) take(op *record.Op, r *record.Result) error {
	b := op.Take
	alias, known, err := m.alias(b.RegionID)
	if err != nil {
		return err
	}
	switch {
	case known == nil || alias == AliasSelf:
		refuse(r, record.StatusNotFound, "there is no peer region %x", b.RegionID)
		return nil
	case len(b.Selector) > record.MaxTerms:
		refuse(r, record.StatusTooLarge, "a selector has %d terms; the limit is %d", len(b.Selector), record.MaxTerms)
		return nil
	}
	key, row := record.AppendImportSelectorKey(nil, alias), []byte(nil)
	if len(b.Selector) == 0 {
		err = m.kv.Delete(key)
	} else {
		row = record.AppendSelectorRow(nil, b.Selector)
		err = m.kv.Set(key, row)
	}
	if err != nil {
		return err
	}
	if err := m.walkImports(alias); err != nil {
		return err
	}
	return m.note(op, "import/"+hex.EncodeToString(b.RegionID[:]), row, &b.Writer)
}

// walkImports begins a walk over all imported records of a region, since what is shown of them may have changed.
func (m *machine) walkImports(alias uint32) error {
	return eachFeedState(m.kv, alias, func(channel uint32, s *record.FeedState) error {
		if alias == AliasSelf {
			return nil
		}
		s.Step++
		s.Walking, s.Next = true, nil
		return m.setFeedState(alias, channel, s)
	})
}

// walkExports begins a walk over all records of this region for each of its channels.
func (m *machine) walkExports() {
	for i := range m.fed.channels {
		m.fed.channels[i].beginWalk()
	}
}

func (c *ownChannel) beginWalk() {
	c.state.Step++
	c.state.Walking, c.state.Next, c.dirty = true, nil, true
}

// dispatchFeed runs an operation of federation; false: it is none.
func (m *machine) dispatchFeed(op *record.Op, r *record.Result) (bool, error) {
	if op.Type >= record.OpPeer && op.Type <= record.OpWithdraw && op.Type != record.OpHeal && m.head.NextTenant == 1 {
		refuse(r, record.StatusDenied, "the region has no identity yet; it comes with the first entry")
		return true, nil
	}
	switch {
	case op.Type == record.OpPeer && op.Peer != nil:
		return true, m.peer(op, r)
	case op.Type == record.OpLink && op.Link != nil:
		return true, m.link(op, r)
	case op.Type == record.OpPlace && op.Place != nil:
		return true, m.place(op, r)
	case op.Type == record.OpSetChannel && op.SetChannel != nil:
		return true, m.setChannel(op, r)
	case op.Type == record.OpTake && op.Take != nil:
		return true, m.take(op, r)
	case op.Type == record.OpWalk && op.Walk != nil:
		return true, m.walk(op.Walk, r)
	case op.Type == record.OpImport && op.Import != nil:
		return true, m.importRecords(op.Import, r)
	case op.Type == record.OpReplace && op.Replace != nil:
		return true, m.replace(op.Replace, r)
	case op.Type == record.OpFence && op.SetFence != nil:
		return true, m.fence(op.SetFence, r)
	case op.Type == record.OpMint && op.Mint != nil:
		return true, m.mint(op, r)
	case op.Type == record.OpTrimFeed && op.TrimFeed != nil:
		return true, m.trimFeed(op.TrimFeed, r)
	case op.Type == record.OpWithdraw && op.Withdraw != nil:
		return true, m.withdraw(op.Withdraw, r)
	}
	return false, nil
}
