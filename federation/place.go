package federation

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Tenant names a tenant of this region by its number and its id between regions.
type Tenant struct {
	ID   uint32
	UID  [16]byte
	Name string
}

// Place gives the placed records of a namespace with a prefix to a home; with the empty prefix it declares the namespace
// federated.
func (f *Federation) Place(ctx context.Context, t Tenant, namespaceID uint32, p *pb.Placement, removed bool, w record.Writer) (*pb.Placement, error) {
	home := f.cfg.Identity.RegionID
	if !removed {
		var err error
		if home, err = f.book.named(p.GetHome()); err != nil {
			return nil, err
		}
	}
	value, err := marshal(&pb.Placement{
		Tenant: t.Name, Namespace: p.GetNamespace(), Prefix: p.GetPrefix(), Home: hex.EncodeToString(home[:]),
	})
	if err != nil {
		return nil, err
	}
	w.Time = f.cfg.Now().UnixNano()
	_, err = f.propose(ctx, record.Op{Type: record.OpPlace, Place: &record.Place{
		Tenant: t.ID, Namespace: namespaceID, UID: t.UID, Name: p.GetNamespace(), Prefix: p.GetPrefix(), Home: home,
		Removed: removed, Value: value, Writer: w,
	}})
	if err != nil || removed {
		return nil, err
	}
	for _, now := range f.placementsOf(t.ID, namespaceID, t.Name) {
		if now.GetPrefix() == p.GetPrefix() {
			return now, nil
		}
	}
	return p, nil
}

func (f *Federation) placementsOf(tenant, namespace uint32, name string) (all []*pb.Placement) {
	_ = f.pinned(func(r state.Reader) error {
		s, _, err := state.ReadFederated(r, tenant, namespace)
		if err != nil || s == nil {
			return err
		}
		all, err = f.placements(r, name, s)
		return err
	})
	return all
}

func (f *Federation) placements(r state.Reader, tenant string, s *record.FederatedNamespace) (all []*pb.Placement, err error) {
	regions, err := state.Regions(r)
	if err != nil {
		return nil, err
	}
	for _, p := range s.Placements {
		home := "unknown"
		if n := int(p.Home); n >= 1 && n <= len(regions) {
			home = f.book.name(regions[n-1].ID)
		}
		all = append(all, &pb.Placement{Tenant: tenant, Namespace: s.Namespace, Prefix: p.Prefix, Home: home, Epoch: p.Epoch})
	}
	return all, nil
}

// Placements lists what is placed; tenantOf names a tenant by its number.
func (f *Federation) Placements(tenantOf func(uint32) string) (all []*pb.Placement, err error) {
	err = f.pinned(func(r state.Reader) error {
		return state.EachFederated(r, func(tenant, _ uint32, s *record.FederatedNamespace) error {
			some, err := f.placements(r, tenantOf(tenant), s)
			all = append(all, some...)
			return err
		})
	})
	return all, err
}

// LinkTenant shows a tenant of another region under one of this region; a zero tenant ends it.
func (f *Federation) LinkTenant(ctx context.Context, region, remote [16]byte, tenant uint32, w record.Writer) error {
	_, err := f.propose(ctx, record.Op{Type: record.OpLink, Link: &record.Link{RegionID: region, Remote: remote, Tenant: tenant, Writer: w}})
	return err
}

// Linked gives the tenant of a region that is shown under one of this region; false: none is.
func (f *Federation) Linked(region [16]byte, tenant uint32) (remote [16]byte, found bool, err error) {
	err = f.pinned(func(r state.Reader) error {
		alias, _, known, err := state.FindRegion(r, region)
		if err != nil || !known {
			return err
		}
		links, err := state.Links(r, alias)
		for _, l := range links {
			if l.Tenant == tenant {
				remote, found = l.Remote, true
			}
		}
		return err
	})
	return remote, found, err
}

// Import says what of a peer's records is shown here.
func (f *Federation) Import(ctx context.Context, region string, terms []*pb.Term, w record.Writer) error {
	id, err := f.peerNamed(region)
	if err != nil {
		return err
	}
	selector, err := selectorOf(terms)
	if err != nil {
		return err
	}
	_, err = f.propose(ctx, record.Op{Type: record.OpTake, Take: &record.Take{RegionID: id, Selector: selector, Writer: w}})
	return err
}

func (f *Federation) peerNamed(name string) ([16]byte, error) {
	id, err := f.book.named(name)
	if err == nil && id == f.cfg.Identity.RegionID {
		return id, errNoPeer
	}
	return id, err
}

// SetChannel makes a channel of this region, or changes one.
func (f *Federation) SetChannel(ctx context.Context, c *pb.Channel, w record.Writer) (*pb.Channel, error) {
	doc := record.Channel{ID: c.GetId(), Name: c.GetName(), Projection: record.ProjectionFull}
	for n, name := range classNames {
		if name != "" && name == c.GetClass() {
			doc.Class = record.Class(n)
		}
	}
	if doc.Class == 0 {
		return nil, fault.Field("channel.class", "%q is no class; there are %s", c.GetClass(), strings.Join(classNames[1:], ", "))
	}
	if doc.Class == record.ClassSummaries {
		doc.Projection = record.ProjectionSummary
	}
	if p := c.GetProjection(); p != "" && p != projectionName(doc.Projection) {
		return nil, fault.Field("channel.projection", "is %q; a channel of %s is %s", p, c.GetClass(), projectionName(doc.Projection)).
			WithHint("summaries have a class of their own: give a region a channel of summaries, and take it out of the audience of endpoints")
	}
	var err error
	if doc.Selector, err = selectorOf(c.GetSelector()); err != nil {
		return nil, err
	}
	for _, a := range c.GetAudience() {
		id, err := f.book.named(a)
		if err != nil {
			return nil, err
		}
		doc.Audience = append(doc.Audience, id)
	}
	r, err := f.propose(ctx, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{Channel: doc, Writer: w}})
	if err != nil {
		return nil, err
	}
	var out *pb.Channel
	err = f.pinned(func(rows state.Reader) error {
		docs, err := state.Channels(rows)
		for i := range docs {
			if docs[i].ID == r.ID {
				out = f.channelDoc(&docs[i])
			}
		}
		return err
	})
	return out, err
}

func projectionName(p record.Projection) string {
	if p == record.ProjectionSummary {
		return "summary"
	}
	return "full"
}

var kindNames = map[record.Kind]string{
	record.KindService: "service", record.KindInstance: "instance", record.KindCheck: "check", record.KindCheckStatus: "check-status",
	record.KindRoute: "route", record.KindConfig: "config", record.KindSummary: "summary", record.KindRegion: "region",
	record.KindPlacement: "placement",
}

func kindName(k record.Kind) string {
	if k == 0 {
		return ""
	}
	if name, ok := kindNames[k]; ok {
		return name
	}
	return strconv.Itoa(int(k))
}

func kindNamed(name string) (record.Kind, error) {
	if name == "" {
		return 0, nil
	}
	for k, n := range kindNames {
		if n == name {
			return k, nil
		}
	}
	n, err := strconv.ParseUint(name, 10, 16)
	if err != nil || n == 0 {
		return 0, fault.Field("kind", "%q is no kind of record", name).
			WithHint("kinds are service, instance, check, check-status, route, config, summary, or a number")
	}
	return record.Kind(n), nil
}

func selectorOf(terms []*pb.Term) (record.Selector, error) {
	var s record.Selector
	for _, t := range terms {
		k, err := kindNamed(t.GetKind())
		if err != nil {
			return nil, err
		}
		s = append(s, record.Term{Namespace: t.GetNamespace(), Kind: k, Name: t.GetName(), Exact: t.GetExact()})
	}
	return s, nil
}

// disagreements compares what other regions say of homes with what this one says.
func (f *Federation) disagreements(r state.Reader) (all []*pb.Disagreement, err error) {
	known, _ := f.book.list()
	for _, p := range known {
		rng := record.Range{Shard: record.ShardSystem, Kind: record.KindPlacement, Scope: p.alias, Limit: 10_000}
		theirs, err := state.ReadRange(r, rng, 0)
		if err != nil {
			return nil, err
		}
		links, err := state.Links(r, p.alias)
		if err != nil {
			return nil, err
		}
		for i := range theirs.Records {
			if d := f.disagreement(r, p, links, &theirs.Records[i]); d != nil {
				all = append(all, d)
			}
		}
	}
	return all, nil
}

// disagreement judges one placement of a peer: whether this region names another home for the same names.
func (f *Federation) disagreement(r state.Reader, p *peer, links []state.TenantLink, rec *record.Record) *pb.Disagreement {
	said := &pb.Placement{}
	uid, _, _ := strings.Cut(rec.Key.Name, "/")
	remote, err := hex.DecodeString(uid)
	if err != nil || len(remote) != 16 || proto.Unmarshal(rec.Value, said) != nil {
		return nil
	}
	for _, l := range links {
		if l.Remote != [16]byte(remote) {
			continue
		}
		var mine string
		_ = state.EachFederated(r, func(tenant, _ uint32, s *record.FederatedNamespace) error {
			if tenant != l.Tenant || s.Namespace != said.GetNamespace() {
				return nil
			}
			regions, err := state.Regions(r)
			if n := int(s.Home(said.GetPrefix()).Home); err == nil && n >= 1 && n <= len(regions) {
				mine = hex.EncodeToString(regions[n-1].ID[:])
			}
			return err
		})
		if mine != "" && mine != said.GetHome() {
			return &pb.Disagreement{
				Region:  f.book.name(p.id),
				About:   fmt.Sprintf("namespace %s, prefix %q", said.GetNamespace(), said.GetPrefix()),
				Problem: fmt.Sprintf("it names region %s as the home, this region %s", said.GetHome(), mine),
			}
		}
	}
	return nil
}
