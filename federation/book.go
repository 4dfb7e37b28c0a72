package federation

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// peer is another region, as its newest document describes it.
type peer struct {
	id    [16]byte
	alias uint32
	doc   *pb.Region
}

// book knows the regions. It is filled from the store and never asks it.
type book struct {
	self [16]byte
	key  ed25519.PublicKey

	read chan struct{} // closed when the regions were read for the first time

	mu    sync.RWMutex
	peers map[[16]byte]*peer
	own   *pb.Region
	// shared are the names that several regions have now, with the ids of these in order.
	shared  map[string][]string
	changed chan struct{}
	// spaces are the federated namespaces; never changed in place.
	spaces      map[spaceName]*placedSpace
	incarnation uint64
	ended       chan struct{} // closed when the incarnation is over
}

func newBook(id Identity) *book {
	return &book{
		self: id.RegionID, key: id.FeedKey, read: make(chan struct{}),
		peers: map[[16]byte]*peer{}, changed: make(chan struct{}), ended: make(chan struct{}),
		own: &pb.Region{Id: hex.EncodeToString(id.RegionID[:]), Name: id.Name},
	}
}

// verify judges a signature by the feed key of a region.
func (b *book) verify(region [16]byte, message []byte, signature [64]byte) bool {
	key := b.key
	if region != b.self {
		p := b.find(region)
		if p == nil {
			return false
		}
		key = p.doc.GetFeedKey()
	}
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature[:])
}

func (b *book) find(region [16]byte) *peer {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.peers[region]
}

// list gives the peers by name, and a channel that is closed when they change.
func (b *book) list() ([]*peer, <-chan struct{}) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]*peer, 0, len(b.peers))
	for _, p := range b.peers {
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y *peer) int { return int(x.alias) - int(y.alias) })
	return all, b.changed
}

// knows reports whether a region is this one or a peer, and gives a channel that is closed when the peers change.
func (b *book) knows(region [16]byte) (bool, <-chan struct{}) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return region == b.self || b.peers[region] != nil, b.changed
}

// ownDocument describes this region.
func (b *book) ownDocument() *pb.Region {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return proto.CloneOf(b.own)
}

// keepBook reads the regions anew whenever a system record changed, until ctx ends.
func (f *Federation) keepBook(ctx context.Context) error {
	select {
	case <-f.cfg.Store.Ready():
	case <-ctx.Done():
		return nil
	}
	last, incarnation := ^uint64(0), uint64(0)
	for {
		changed := f.cfg.Store.Changed()
		err := f.pinned(func(r state.Reader) error {
			at, err := state.PositionsOf(r)
			if err != nil {
				return err
			}
			row, _, err := state.ReadFederation(r)
			if err != nil {
				return err
			}
			if row.Incarnation != incarnation {
				incarnation = row.Incarnation
				f.book.setIncarnation(incarnation)
			}
			if at.System == last {
				return nil
			}
			if err := f.readBook(r); err != nil {
				return err
			}
			if last == ^uint64(0) {
				close(f.book.read)
			}
			last = at.System
			return nil
		})
		if err != nil && fault.KindOf(err) == fault.Corrupt {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// readBook reads what the store has of each region. What a region says of itself in its feed goes before what was
// exchanged when it joined.
func (f *Federation) readBook(r state.Reader) error {
	regions, err := state.Regions(r)
	if err != nil {
		return err
	}
	peers := map[[16]byte]*peer{}
	own := f.book.ownDocument()
	for i, g := range regions {
		alias := uint32(i + 1)
		doc, err := regionDocument(r, g.ID, alias)
		switch {
		case err != nil:
			return err
		case alias == state.AliasSelf && doc != nil:
			own = doc
		case alias != state.AliasSelf && doc != nil && !g.Removed:
			peers[g.ID] = &peer{id: g.ID, alias: alias, doc: doc}
		}
	}
	spaces, err := readSpaces(r, regions)
	if err != nil {
		return err
	}
	f.trust(peers)
	before, _ := f.book.list()
	for _, p := range before {
		if peers[p.id] == nil {
			f.part(p)
		}
	}
	b := f.book
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers, b.own, b.spaces = peers, own, spaces
	b.shared = sharedNames(own, peers)
	close(b.changed)
	b.changed = make(chan struct{})
	return nil
}

// part ends the exchange with a region that is no peer any more.
func (f *Federation) part(p *peer) {
	f.ages.forget(func(n channelName) bool { return n.region == p.id })
	for _, c := range f.endpoint.Conns() {
		if c.Peer().Region == p.id {
			c.Close(fault.New(fault.Denied, "this region is no longer a peer of %s", f.book.name(f.cfg.Identity.RegionID)))
		}
	}
}

func regionDocument(r state.Reader, id [16]byte, alias uint32) (*pb.Region, error) {
	k := record.Key{Shard: record.ShardSystem, Kind: record.KindRegion, Scope: alias, Name: hex.EncodeToString(id[:])}
	rec, found, err := state.Get(r, k, 0)
	if err != nil {
		return nil, err
	}
	if !found {
		k.Scope = record.ScopeRegion
		if rec, found, err = state.Get(r, k, 0); err != nil || !found {
			return nil, err
		}
	}
	doc := &pb.Region{}
	if proto.Unmarshal(rec.Value, doc) != nil {
		return nil, nil // kept; whoever wrote it has a later version
	}
	return doc, nil
}

// trust makes the servers of exactly the peers trusted.
func (f *Federation) trust(peers map[[16]byte]*peer) {
	set := f.cfg.Identity.SetRoots
	if set == nil {
		return
	}
	before, _ := f.book.list()
	for _, p := range before {
		if peers[p.id] == nil {
			_ = set(p.id, nil) // ending trust does not fail
		}
	}
	for _, p := range peers {
		if err := set(p.id, p.doc.GetCaCertificates()); err != nil {
			f.log.Warn("the certificates of a peer are not usable; its servers are refused", "region", p.doc.GetName(), "error", err)
		}
	}
}

// describeSelf writes the document of this region when it is not what it should be. Peers get it with the control
// channel.
func (f *Federation) describeSelf(ctx context.Context) error {
	if have := f.book.ownDocument(); have.GetFeedKey() != nil && same(have, f.fullDocument()) {
		return nil
	}
	_, err := f.changeSelf(ctx, record.Writer{Actor: "federation"}, func(*pb.Region) error { return nil })
	return err
}

// same reports whether two documents of a region say the same, whenever they were written.
func same(a, b *pb.Region) bool {
	a, b = proto.CloneOf(a), proto.CloneOf(b)
	a.Updated, b.Updated = nil, nil
	return proto.Equal(a, b)
}

// maxChanges is how often a change of the region's document is tried again that others were faster than.
const maxChanges = 16

// changeSelf changes the document of this region. It begins from the one that the store has and is applied to no other, so
// that of several who change parts of it none undoes what another did.
func (f *Federation) changeSelf(ctx context.Context, w record.Writer, change func(doc *pb.Region) error) (*pb.Region, error) {
	for tries := 1; ; tries++ {
		have, at, err := f.storedSelf()
		if err != nil {
			return nil, err
		}
		want := proto.CloneOf(have)
		f.complete(want)
		if err := change(want); err != nil {
			return nil, err
		}
		if at > 0 && same(have, want) {
			return want, nil
		}
		err = f.writeSelf(ctx, want, at, w)
		if err == nil || !stale(err) || tries == maxChanges {
			return want, err
		}
	}
}

// storedSelf gives the document of this region as it is in the store, and its revision; the first one and 0 if there is none.
func (f *Federation) storedSelf() (doc *pb.Region, revision uint64, err error) {
	id := f.cfg.Identity
	doc = &pb.Region{Id: hex.EncodeToString(id.RegionID[:]), Name: id.Name}
	err = f.pinned(func(r state.Reader) error {
		rec, found, err := state.Get(r, registry.RegionRecordKey(id.RegionID), 0)
		if err != nil || !found {
			return err
		}
		revision = rec.ModifyRevision
		if proto.Unmarshal(rec.Value, doc) != nil {
			return fault.New(fault.Internal, "the stored document of this region does not parse")
		}
		return nil
	})
	return doc, revision, err
}

func (f *Federation) writeSelf(ctx context.Context, doc *pb.Region, revision uint64, w record.Writer) error {
	doc.Updated = timestamppb.New(f.cfg.Now())
	value, err := registry.RegionValue(doc)
	if err != nil {
		return err
	}
	if w.Time == 0 {
		w.Time = f.cfg.Now().UnixNano()
	}
	_, err = f.propose(ctx, record.Op{Type: record.OpPeer, Peer: &record.Peer{
		RegionID: f.cfg.Identity.RegionID, Value: value, Writer: w, Compare: true, Revision: revision,
	}})
	return err
}
