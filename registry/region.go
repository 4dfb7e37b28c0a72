package registry

import (
	"cmp"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

const (
	maxRegionAliases   = 16
	maxRegionAddresses = 32
)

// RegionView is a region that the view knows: this one, or a peer. Nothing of it ever changes.
type RegionView struct {
	// Alias is the number that stands for the region in the keys of this store; record.ScopeRegion is this region.
	Alias uint32
	// ID is zero while this region has no record.
	ID [16]byte
	// Name is what answers say: its name, or its id while another region that is known here has the same name. That of this region is
	// the one the view was made with, whatever its record says.
	Name string
	// Region is nil while this region has no record; never changed.
	Region *pb.Region
	Meta
}

// IsLocal reports whether it is this region.
func (r *RegionView) IsLocal() bool { return r.Alias == record.ScopeRegion }

// regions is what the view knows of regions. It is replaced, never changed in place; few records ever touch it.
type regions struct {
	self    *RegionView   // this region while it has no record
	records []*RegionView // by id
	all     []*RegionView // by alias, each once: of two records with one alias the lower id counts
	named   map[string]*RegionView
	several map[string][]*RegionView // by names that stand for no region, since several have them
	ids     map[[16]byte]*RegionView
}

// onlyRegion is what a view without region records knows.
func onlyRegion(name string) *regions {
	t := &regions{self: &RegionView{Alias: record.ScopeRegion, Name: name}}
	return t.of(nil)
}

// with gives the table with a record put.
func (t *regions) with(r *RegionView) *regions {
	at, found := t.find(r.ID)
	if found {
		all := slices.Clone(t.records)
		all[at] = r
		return t.of(all)
	}
	return t.of(slices.Insert(slices.Clone(t.records), at, r))
}

// without gives the table with a record gone; false: there was none.
func (t *regions) without(id [16]byte) (*regions, bool) {
	at, found := t.find(id)
	if !found {
		return t, false
	}
	return t.of(slices.Delete(slices.Clone(t.records), at, at+1)), true
}

func (t *regions) find(id [16]byte) (int, bool) {
	return slices.BinarySearchFunc(t.records, id, func(r *RegionView, id [16]byte) int {
		return slices.Compare(r.ID[:], id[:])
	})
}

// of makes the table of some records, ordered by id.
func (t *regions) of(records []*RegionView) *regions {
	n := &regions{self: t.self, records: records, ids: make(map[[16]byte]*RegionView, len(records))}
	n.all = append(slices.Clone(records), t.self) // last, so that a record of this region goes before it
	slices.SortStableFunc(n.all, func(a, b *RegionView) int { return cmp.Compare(a.Alias, b.Alias) })
	n.all = slices.CompactFunc(n.all, func(a, b *RegionView) bool { return a.Alias == b.Alias })
	n.named, n.several = namesOf(n.all)
	n.callByID()
	for _, r := range n.all {
		if r.Region != nil {
			n.ids[r.ID] = r
		}
	}
	return n
}

// alias finds the region that a number stands for.
func (t *regions) alias(alias uint32) (*RegionView, bool) {
	at, ok := slices.BinarySearchFunc(t.all, alias, func(r *RegionView, alias uint32) int { return cmp.Compare(r.Alias, alias) })
	if !ok {
		return nil, false
	}
	return t.all[at], true
}

// label is what answers call the region of a record: its name, and until its record is there its id.
func (t *regions) label(alias uint32, home [16]byte) string {
	if r, ok := t.alias(alias); ok {
		return r.Name
	}
	if home != ([16]byte{}) {
		return hex.EncodeToString(home[:])
	}
	return "region-" + strconv.FormatUint(uint64(alias), 10)
}

// moved lists the aliases whose name differs between two tables.
func (t *regions) moved(next *regions) []uint32 {
	var out []uint32
	name := func(t *regions, alias uint32) string {
		r, ok := t.alias(alias)
		if !ok {
			return ""
		}
		return r.Name
	}
	for _, r := range slices.Concat(t.all, next.all) {
		if name(t, r.Alias) != name(next, r.Alias) && !slices.Contains(out, r.Alias) {
			out = append(out, r.Alias)
		}
	}
	return out
}

// Regions lists the regions that the view knows: this one, then the peers by alias.
func (v *View) Regions() iter.Seq[*RegionView] { return slices.Values(v.regions.all) }

// RegionNamed finds a region by its id in hex, its name, or one of its aliases, in this order. A name that several regions have stands
// for none of them, but in a region that has it itself for that one. As long as the records of regions stay as they are, every view
// gives the same pointer.
func (v *View) RegionNamed(name string) (*RegionView, bool) {
	r, ok := v.regions.named[name]
	return r, ok
}

// CheckRegionName tells that several regions are called by a name; nil: it is that of one, or of none.
func (v *View) CheckRegionName(name string) error {
	several := v.regions.several[name]
	if several == nil {
		return nil
	}
	ids := make([]string, len(several))
	for i, r := range several {
		ids[i] = r.idText()
	}
	return SeveralRegions("region", name, ids)
}

// RegionAt finds the region that an alias of this store stands for; false: it has no record yet.
func (v *View) RegionAt(alias uint32) (*RegionView, bool) { return v.regions.alias(alias) }

// RegionLabel is what answers call the region with an alias; home is its id, where the caller knows it.
func (v *View) RegionLabel(alias uint32, home [16]byte) string { return v.regions.label(alias, home) }

// HomeOf is what answers call the region that owns a placed record: this one unless it came from elsewhere.
func (v *View) HomeOf(origin *record.Origin) string {
	if origin == nil || origin.Home == ([16]byte{}) {
		return v.region
	}
	if r, ok := v.regions.ids[origin.Home]; ok {
		return r.Name
	}
	return hex.EncodeToString(origin.Home[:])
}

// RegionOf is what answers call the region that owns a record.
func (v *View) RegionOf(r *record.Record) string {
	switch r.Key.Scope {
	case record.ScopePlaced:
		return v.HomeOf(&r.Origin)
	case record.ScopeRegion:
		return v.region
	default:
		return v.regions.label(r.Key.Scope, r.Origin.Home)
	}
}

// originOf gives where an imported record came from, nil for one of this region.
func originOf(r *record.Record) *record.Origin {
	if r.Origin == (record.Origin{}) {
		return nil
	}
	o := r.Origin
	return &o
}

// written is where a record changed last: a revision of the region that owns it, and the incarnation that it is of; 0 where
// that is not known, as of this region's own records, which are of the incarnation that it is in.
type written struct{ incarnation, revision uint64 }

func writtenAt(r *record.Record) written {
	if r.Key.Scope > record.ScopeRegion {
		return written{r.Origin.Incarnation, r.Origin.HomeRevision}
	}
	return written{revision: r.ModifyRevision}
}

// last gives the later of two.
func (w written) last(o written) written {
	if o.incarnation > w.incarnation || o.incarnation == w.incarnation && o.revision > w.revision {
		return o
	}
	return w
}

// notHome says that an instance belongs to another region.
func notHome(service, id, region string) error {
	return fault.New(fault.NotHome, "instance %q of service %q belongs to region %q", id, service, region).
		WithHint("change it there: this region only holds a copy")
}

// NotHere tells that an instance which this region does not have is one of another region; nil: nobody has it.
func (v *View) NotHere(k InstanceKey) error {
	sv, ok := v.Service(k.Service)
	if !ok {
		return nil
	}
	for _, i := range sv.Instances[len(sv.Local()):] {
		if i.Key.ID == k.ID {
			return notHome(k.Service.Name, k.ID, i.Instance.GetRegion())
		}
	}
	return nil
}

// RegionName checks the name of a region: a label that DNS names use for nothing else.
func RegionName(field, s string) error {
	if err := label(field, s); err != nil {
		return err
	}
	if slices.Contains(reservedRegions[:], s) {
		return fault.Field(field, "%q is a reserved word of DNS names", s).
			WithHint("reserved are addr, global, ns and service")
	}
	return nil
}

// reservedRegions are the words that no region has as its name.
var reservedRegions = [...]string{"addr", "global", "ns", "service"}

// RegionRecordKey is the store's key of a region.
func RegionRecordKey(id [16]byte) record.Key {
	return record.Key{
		Shard: record.ShardSystem, Kind: record.KindRegion, Scope: record.ScopeRegion, Name: hex.EncodeToString(id[:]),
	}
}

// RegionValue checks the document of a region and gives the value of its record.
func RegionValue(in *pb.Region) ([]byte, error) {
	if err := normalRegion(in); err != nil {
		return nil, err
	}
	return encode(in)
}

// PutRegionOp writes a region under its local alias; that of this region is record.ScopeRegion.
func PutRegionOp(in *pb.Region, alias uint32, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	id, ok := regionID(in.GetId())
	if !ok {
		return record.Op{}, fault.Field("region.id", "%s is not 32 lower-case hex digits", shown(in.GetId()))
	}
	if alias < record.ScopeRegion {
		return record.Op{}, fault.Field("region.alias", "%d stands for no region", alias)
	}
	value, err := RegionValue(in)
	if err != nil {
		return record.Op{}, err
	}
	op := put(RegionRecordKey(id), value)
	op.Attributes.Flags = uint64(alias)
	return w.txn(0, record.ShardSystem, nil, []record.TxnOp{op}, nil), nil
}

func normalRegion(in *pb.Region) error {
	if err := RegionName("region.name", in.GetName()); err != nil {
		return err
	}
	if n := len(in.GetAliases()); n > maxRegionAliases {
		return fault.Field("region.aliases", "has %d names, the limit is %d", n, maxRegionAliases)
	}
	for i, s := range in.GetAliases() {
		if err := RegionName(indexed("region.aliases", i), s); err != nil {
			return err
		}
	}
	if n := len(in.GetAddresses()); n > maxRegionAddresses {
		return fault.Field("region.addresses", "has %d addresses, the limit is %d", n, maxRegionAddresses)
	}
	for i, s := range in.GetAddresses() {
		field := indexed("region.addresses", i)
		if err := line(field, s, maxHost); err != nil {
			return err
		}
		if !hasPort(s) {
			return fault.Field(field, "%s is not host:port", shown(s))
		}
	}
	return nil
}

// regionID reads the id of a region.
func regionID(s string) (id [16]byte, ok bool) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != len(id) || hex.EncodeToString(raw) != s {
		return id, false
	}
	return [16]byte(raw), true
}

// decodeRegion reads a region. A name that cannot be one, such as a reserved word, gives way to the id.
func decodeRegion(r *record.Record, local string) (*RegionView, bool) {
	p := new(pb.Region)
	id, good := regionID(r.Key.Name)
	alias, ok := numericID(r)
	if !ok || !good || proto.Unmarshal(r.Value, p) != nil {
		return nil, false
	}
	p.Id = r.Key.Name
	v := &RegionView{Alias: alias, ID: id, Name: p.GetName(), Region: p, Meta: metaOf(r)}
	if alias == record.ScopeRegion {
		v.Name = local
	} else if RegionName("", p.GetName()) != nil {
		v.Name = r.Key.Name
	}
	return v, true
}
