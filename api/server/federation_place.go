package server

import (
	"context"
	"encoding/hex"
	"strings"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/registry/access"
)

func (f federationService) LinkTenant(ctx context.Context, req *pb.LinkTenantRequest) (*pb.LinkTenantResponse, error) {
	c, fed, err := f.begin(ctx, access.Request{Verb: access.VerbAdmin, Kind: access.KindTenant, Tenant: req.GetTenant(), Name: req.GetTenant()})
	if err != nil {
		return nil, err
	}
	region, err := f.regionNamed(ctx, "region", req.GetRegion())
	if err != nil {
		return nil, err
	}
	tenant, _, err := f.placeOf(ctx, "", req.GetTenant(), "")
	if err != nil {
		return nil, err
	}
	remote, isUID := uidOf(req.GetRemote())
	switch {
	case req.GetRemote() == "" && !req.GetRemove():
		return nil, fault.Field("remote", "is missing: name the tenant of region %q", req.GetRegion())
	case req.GetRemote() == "":
		if remote, err = linked(fed, region, req.GetRegion(), tenant); err != nil {
			return nil, err
		}
	case !isUID:
		// The name is known to the peer alone, and the link to it is on the node that leads.
		resp := &pb.LinkTenantResponse{}
		if asked, err := f.s.askLeader(ctx, c, req, resp); asked || err != nil {
			return resp, err
		}
		if remote, err = remoteTenant(ctx, fed, region, req); err != nil {
			return nil, err
		}
	}
	if req.GetRemove() {
		tenant.ID = 0
	}
	if err := fed.LinkTenant(ctx, region, remote, tenant.ID, f.s.writeOf(ctx, c, nil).Writer); err != nil {
		return nil, err
	}
	return &pb.LinkTenantResponse{}, nil
}

// linked finds the tenant of a region that is shown under one of this region.
func linked(fed Federation, region [16]byte, name string, t federation.Tenant) ([16]byte, error) {
	remote, found, err := fed.Linked(region, t.ID)
	if err == nil && !found {
		err = fault.New(fault.NotFound, "no tenant of region %q is linked to tenant %q", name, t.Name)
	}
	return remote, err
}

// remoteTenant asks a region for the uid of its tenant.
func remoteTenant(ctx context.Context, fed Federation, region [16]byte, req *pb.LinkTenantRequest) ([16]byte, error) {
	list, err := fed.Tenants(ctx, region)
	if err != nil {
		return [16]byte{}, err
	}
	var names []string
	for _, t := range list.GetTenants() {
		if uid, ok := uidOf(t.GetUid()); ok && t.GetName() == req.GetRemote() {
			return uid, nil
		}
		names = append(names, t.GetName())
	}
	e := fault.New(fault.NotFound, "region %q has no tenant %q", req.GetRegion(), req.GetRemote()).WithHint("it has %s", strings.Join(names, ", "))
	e.Field = "remote"
	return [16]byte{}, e
}

func (f federationService) PutPlacement(ctx context.Context, req *pb.PutPlacementRequest) (*pb.PutPlacementResponse, error) {
	in := req.GetPlacement()
	c, fed, err := f.begin(ctx, on(access.VerbPut, access.KindPlacement, in.GetTenant(), in.GetNamespace(), in.GetPrefix()))
	if err != nil {
		return nil, err
	}
	if in.GetHome() == "" {
		return nil, fault.Field("placement.home", "is missing: name the region that is to be the home")
	}
	if _, err := f.regionNamed(ctx, "placement.home", in.GetHome()); err != nil {
		return nil, err
	}
	tenant, namespace, err := f.placeOf(ctx, "placement", in.GetTenant(), in.GetNamespace())
	if err != nil {
		return nil, err
	}
	want := &pb.Placement{Tenant: tenant.Name, Namespace: namespace.name, Prefix: in.GetPrefix(), Home: in.GetHome()}
	p, err := fed.Place(ctx, tenant, namespace.id, want, false, f.s.writeOf(ctx, c, nil).Writer)
	if err != nil {
		return nil, notFederated(err, want)
	}
	return &pb.PutPlacementResponse{Placement: p}, nil
}

func (f federationService) DeletePlacement(ctx context.Context, req *pb.DeletePlacementRequest) (*pb.DeletePlacementResponse, error) {
	c, fed, err := f.begin(ctx, on(access.VerbDelete, access.KindPlacement, req.GetTenant(), req.GetNamespace(), req.GetPrefix()))
	if err != nil {
		return nil, err
	}
	tenant, namespace, err := f.placeOf(ctx, "", req.GetTenant(), req.GetNamespace())
	if err != nil {
		return nil, err
	}
	p := &pb.Placement{Tenant: tenant.Name, Namespace: namespace.name, Prefix: req.GetPrefix()}
	if _, err := fed.Place(ctx, tenant, namespace.id, p, true, f.s.writeOf(ctx, c, nil).Writer); err != nil {
		return nil, notFederated(err, p)
	}
	return &pb.DeletePlacementResponse{}, nil
}

// notFederated says how a namespace becomes federated, where that is what lacks.
func notFederated(err error, p *pb.Placement) error {
	e, ok := fault.As(err)
	if !ok || e.Kind != fault.NotFound || e.Hint != "" {
		return err
	}
	return e.WithHint("`supercluster placement ls` lists what is placed; `supercluster namespace federate %s --home REGION` declares the namespace federated", p.GetNamespace())
}

func (f federationService) ListPlacements(ctx context.Context, req *pb.ListPlacementsRequest) (*pb.ListPlacementsResponse, error) {
	_, fed, err := f.begin(ctx, access.Request{Verb: access.VerbList, Kind: access.KindPlacement, Tenant: req.GetTenant()})
	if err != nil {
		return nil, err
	}
	v := f.s.cfg.Views.View()
	if req.GetTenant() != "" {
		if _, err := v.Resolve("", req.GetTenant(), ""); err != nil {
			return nil, err
		}
	}
	names := map[uint32]string{}
	for t := range v.Tenants() {
		names[t.GetId()] = t.GetName()
	}
	all, err := fed.Placements(func(id uint32) string { return names[id] })
	if err != nil {
		return nil, err
	}
	resp := &pb.ListPlacementsResponse{}
	for _, p := range all {
		if req.GetTenant() == "" || p.GetTenant() == req.GetTenant() {
			resp.Placements = append(resp.Placements, p)
		}
	}
	return resp, nil
}

// namespaceID is a namespace by its number in this region and its name.
type namespaceID struct {
	id   uint32
	name string
}

// placeOf finds a tenant and a namespace by their names, which may be empty for the default ones. What this node's view
// does not know is looked for once more in one that is up to date.
func (f federationService) placeOf(ctx context.Context, message, tenant, namespace string) (federation.Tenant, namespaceID, error) {
	find := func(v *registry.View) (t federation.Tenant, n namespaceID, err error) {
		k, err := v.Resolve(message, tenant, namespace)
		if err != nil {
			return t, n, err
		}
		stored, _ := v.Tenant(k.Tenant)
		uid, ok := uidOf(stored.GetUid())
		if !ok {
			return t, n, fault.New(fault.Unsupported, "tenant %q has no id that other regions know", k.Tenant)
		}
		_, id, _ := v.NamespaceIDs(k.Tenant, k.Namespace)
		return federation.Tenant{ID: stored.GetId(), UID: uid, Name: k.Tenant}, namespaceID{id, k.Namespace}, nil
	}
	t, n, err := find(f.s.cfg.Views.View())
	if !fault.Is(err, fault.NotFound) {
		return t, n, err
	}
	if err := f.s.catchUp(ctx); err != nil {
		return t, n, err
	}
	return find(f.s.cfg.Views.View())
}

// regionNamed finds a region by its name or id. One that joined a moment ago is waited for.
func (f federationService) regionNamed(ctx context.Context, field, name string) ([16]byte, error) {
	region, err := f.s.cfg.Federation.RegionID(name)
	if fault.Is(err, fault.NotFound) && f.s.catchUp(ctx) == nil {
		if known, ok := f.s.cfg.Views.View().RegionNamed(name); ok && known.Region != nil {
			f.settleRegion(ctx, known.Region.GetId(), true)
			region, err = f.s.cfg.Federation.RegionID(name)
		}
	}
	if e, ok := fault.As(err); ok && e.Field == "" {
		named := *e
		named.Field = field
		err = &named
	}
	return region, err
}

// settleRegion waits, within bounds, until this node knows a region, or does not any more: whoever changed that through
// this node finds it so.
func (f federationService) settleRegion(ctx context.Context, id string, known bool) {
	region, ok := uidOf(id)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	_ = f.s.cfg.Federation.AwaitRegion(ctx, region, known) // it is so all the same: only this node does not show it yet
}

// uidOf reads the 16-byte id of a tenant or region.
func uidOf(text string) (id [16]byte, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return [16]byte(b), true
}

func idText(id [16]byte) string { return hex.EncodeToString(id[:]) }
