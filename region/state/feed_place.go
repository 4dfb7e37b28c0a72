package state

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"

	"supercluster/region/record"
)

// place declares a namespace federated, gives a prefix of its placed records to a home, or takes a prefix back.
func (m *machine) place(op *record.Op, r *record.Result) error {
	b := op.Place
	if !m.validPlace(b, r) {
		return nil
	}
	f, err := m.federate()
	if err != nil {
		return err
	}
	t, err := m.tally(b.Tenant, b.Namespace)
	if err != nil {
		return err
	}
	if !t.exists {
		refuse(r, record.StatusNotFound, "there is no namespace with id %d in tenant %d", b.Namespace, b.Tenant)
		return nil
	}
	home, known, err := m.alias(b.Home)
	if err != nil {
		return err
	}
	if known == nil && !b.Removed {
		refuse(r, record.StatusNotFound, "there is no region %x; make it a peer first", b.Home)
		return nil
	}
	space, err := m.space(b.Tenant, b.Namespace)
	if err != nil {
		return err
	}
	next, ok := withPlacement(space, b, home, r)
	if !ok {
		return nil
	}
	if next != nil {
		m.row = record.AppendFederated(m.row[:0], next)
		if err := m.kv.Set(record.AppendFederatedKey(nil, b.Tenant, b.Namespace), m.row); err != nil {
			return err
		}
		f.spaces = nil
		m.walkExports()
		if err := m.walkAllImports(); err != nil {
			return err
		}
	}
	return m.describe(op, placementKey(b), b.Value, b.Removed, uint64(home), b.Writer, b.Trace)
}

func (m *machine) validPlace(b *record.Place, r *record.Result) bool {
	switch {
	case b.UID == [16]byte{} || b.Name == "" || b.Tenant == 0 || b.Namespace == 0:
		refuse(r, record.StatusInvalid, "a placement lacks its tenant or namespace")
	case b.Removed && b.Prefix == "":
		refuse(r, record.StatusDenied, "a namespace stays federated; only prefixes of it are taken back")
	default:
		return true
	}
	return false
}

// withPlacement gives the namespace after one placement; nil if nothing changes.
func withPlacement(space *record.FederatedNamespace, b *record.Place, home uint32, r *record.Result) (*record.FederatedNamespace, bool) {
	next := record.FederatedNamespace{Tenant: b.UID, Namespace: b.Name}
	switch {
	case space == nil && b.Prefix == "":
	case space == nil:
		refuse(r, record.StatusNotFound, "namespace %q is not federated; declare that first", b.Name)
		return nil, false
	case space.Tenant != b.UID || space.Namespace != b.Name: // its records are out under that name
		refuse(r, record.StatusInvalid, "the namespace is federated as %q of tenant %x", space.Namespace, space.Tenant)
		return nil, false
	default:
		next.Placements = slices.Clone(space.Placements)
	}
	at, found := slices.BinarySearchFunc(next.Placements, b.Prefix, func(p record.Placement, prefix string) int {
		return cmp.Compare(p.Prefix, prefix)
	})
	switch {
	case b.Removed && !found:
		refuse(r, record.StatusNotFound, "nothing is placed under %q", b.Prefix)
		return nil, false
	case b.Removed:
		next.Placements = slices.Delete(next.Placements, at, at+1)
	case found && next.Placements[at].Home == home:
		return nil, true
	case found:
		next.Placements[at].Home = home
		next.Placements[at].Epoch++
	case len(next.Placements) >= record.MaxPlacements:
		refuse(r, record.StatusTooLarge, "a namespace has %d placements; that is the limit", record.MaxPlacements)
		return nil, false
	default:
		next.Placements = slices.Insert(next.Placements, at, record.Placement{Prefix: b.Prefix, Home: home, Epoch: 1})
	}
	return &next, true
}

func placementKey(b *record.Place) record.Key {
	return record.Key{
		Shard: record.ShardSystem, Kind: record.KindPlacement, Scope: record.ScopeRegion,
		Name: hex.EncodeToString(b.UID[:]) + "/" + b.Name + "/" + b.Prefix,
	}
}

func (m *machine) walkAllImports() error {
	for alias := uint32(AliasSelf + 1); alias < m.fed.row.NextAlias; alias++ {
		if err := m.walkImports(alias); err != nil {
			return err
		}
	}
	return nil
}

// home judges whether this region is the home of what an operation writes. What is not federated is.
func (m *machine) home(op *record.TxnOp, r *record.Result) (bool, error) {
	f, err := m.federated()
	if err != nil || f == nil {
		return err == nil, err
	}
	_, tenant, namespace, _ := target(op)
	scope, name := op.Key.Scope, op.Key.Name
	if op.Type == record.TxnDeleteRange {
		scope, name = op.Range.Scope, op.Range.From
	}
	if scope != record.ScopePlaced || tenant == 0 {
		return true, nil
	}
	space, err := m.space(tenant, namespace)
	if err != nil || space == nil {
		return err == nil, err
	}
	away := foreign(space, op, name)
	if away == 0 {
		return true, nil
	}
	if op.Type == record.TxnDelete {
		own, err := m.ownLeftover(op.Key)
		if own {
			m.cleared = append(m.cleared, away)
		}
		if err != nil || own {
			return own, err
		}
	}
	g, _, err := readRegion(m.kv, away)
	if err != nil {
		return false, err
	}
	refuse(r, record.StatusNotHome, "the home of %q is region %x", name, g.ID)
	return false, nil
}

// foreign gives the home of what an operation writes if it is another region, else 0.
func foreign(space *record.FederatedNamespace, op *record.TxnOp, name string) uint32 {
	if p := space.Home(name); p.Home != AliasSelf {
		return p.Home
	}
	if op.Type != record.TxnDeleteRange {
		return 0
	}
	for _, p := range space.Placements {
		inside := p.Prefix >= op.Range.From && (op.Range.To == "" || p.Prefix < op.Range.To)
		if inside && p.Home != AliasSelf {
			return p.Home
		}
	}
	return 0
}

// ownLeftover reports whether a record was written by this region although its home is another one by now: it stands in
// the way of the home's record, and may be deleted here.
func (m *machine) ownLeftover(k record.Key) (bool, error) {
	v, row, err := m.newest(k)
	if err != nil || !v.live() {
		return false, err
	}
	var rec record.Record
	_, err = record.DecodeVersion(row, &rec)
	return rec.Origin == record.Origin{}, err
}

// setChannel makes or changes a channel of this region.
func (m *machine) setChannel(op *record.Op, r *record.Result) error {
	b := op.SetChannel
	f, err := m.federate()
	if err != nil {
		return err
	}
	doc := b.Channel
	if doc.Generation > 0 && m.entry.Level >= record.LevelDocuments {
		return m.bringBackChannel(f, op, r)
	}
	at := slices.IndexFunc(f.channels, func(c ownChannel) bool { return c.doc.ID == doc.ID })
	switch {
	case doc.ID != 0 && at < 0:
		refuse(r, record.StatusNotFound, "there is no channel %d", doc.ID)
		return nil
	case !validChannel(&doc, f, r):
		return nil
	case at < 0 && slices.ContainsFunc(f.channels, func(c ownChannel) bool { return c.doc.Class == doc.Class && c.doc.Name == doc.Name }):
		refuse(r, record.StatusExists, "there is a channel %q of that class", doc.Name)
		return nil
	case at >= 0:
		doc.Class, doc.Generation = f.channels[at].doc.Class, f.channels[at].doc.Generation+1
		f.channels[at].doc = doc
	default:
		at = len(f.channels)
		doc.ID, doc.Generation = f.row.NextChannel, generation(f.row.Incarnation, 1)
		f.row.NextChannel++
		f.dirty = true
		f.channels = append(f.channels, ownChannel{doc: doc, state: record.FeedState{
			Position: record.FeedPosition{Incarnation: f.row.Incarnation},
		}})
	}
	f.channels[at].beginWalk()
	r.ID = f.channels[at].doc.ID
	if err := m.writeChannels(f); err != nil {
		return err
	}
	return m.noteChannel(op, &f.channels[at].doc)
}

func (m *machine) noteChannel(op *record.Op, doc *record.Channel) error {
	return m.note(op, "channel/"+strconv.FormatUint(uint64(doc.ID), 10), record.AppendChannels(nil, []record.Channel{*doc}), &op.SetChannel.Writer)
}

// generation numbers the documents of a channel so that those of a later incarnation are later, whatever was lost.
func generation(incarnation, count uint64) uint64 { return incarnation<<32 | count }

func validChannel(c *record.Channel, f *federation, r *record.Result) bool {
	switch {
	case c.Class < record.ClassControl || c.Class > record.ClassSummaries:
		refuse(r, record.StatusInvalid, "there is no class %d of channels", c.Class)
	case c.Projection != record.ProjectionFull && c.Projection != record.ProjectionSummary:
		refuse(r, record.StatusInvalid, "there is no projection %d", c.Projection)
	case (c.Projection == record.ProjectionSummary) != (c.Class == record.ClassSummaries):
		refuse(r, record.StatusInvalid, "channels of summaries have the projection summary, and no others")
	case len(c.Selector) > record.MaxTerms || len(c.Audience) > record.MaxTerms:
		refuse(r, record.StatusTooLarge, "a channel has %d terms for %d regions; the limit of each is %d",
			len(c.Selector), len(c.Audience), record.MaxTerms)
	case c.ID == 0 && len(f.channels) >= record.MaxChannels:
		refuse(r, record.StatusTooLarge, "the region has %d channels; that is the limit", record.MaxChannels)
	default:
		return true
	}
	return false
}

func (m *machine) writeChannels(f *federation) error {
	docs := make([]record.Channel, len(f.channels))
	for i := range f.channels {
		docs[i] = f.channels[i].doc
	}
	return m.kv.Set(record.ChannelsKey(), record.AppendChannels(nil, docs))
}

// dropFederated ends what is declared of a namespace that is being deleted.
func (m *machine) dropFederated(tenant, namespace uint32) error {
	f, err := m.federated()
	if err != nil || f == nil {
		return err
	}
	space, err := m.space(tenant, namespace)
	if err != nil || space == nil {
		return err
	}
	for _, p := range space.Placements {
		k := placementKey(&record.Place{UID: space.Tenant, Name: space.Namespace, Prefix: p.Prefix})
		before, _, err := m.newest(k)
		if err != nil {
			return err
		}
		if before.live() {
			m.addDelete(k, before)
		}
	}
	f.spaces = nil
	return m.kv.Delete(record.AppendFederatedKey(nil, tenant, namespace))
}

// showCleared begins to look again at the records of regions that a deleted record of this region had stood in the way of.
func (m *machine) showCleared() error {
	for _, alias := range m.cleared {
		if err := m.walkImports(alias); err != nil {
			return err
		}
	}
	return nil
}
