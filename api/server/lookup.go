package server

import (
	"context"
	"strings"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/internal/fault"
	"supercluster/registry"
	"supercluster/registry/access"
)

// Lookup shows the plan that xDS and DNS follow too.
func (r registryService) Lookup(ctx context.Context, req *pb.LookupRequest) (*pb.LookupResponse, error) {
	if err := decide(callFrom(ctx), on(access.VerbDiscover, access.KindService, req.GetTenant(), req.GetNamespace(), req.GetService())); err != nil {
		return nil, err
	}
	p, err := r.s.plan(ctx, req)
	if err != nil {
		return nil, err
	}
	return planAnswer(p.view, p.plan, p.header), p.bounded()
}

// question is what lookups ask.
type question interface {
	GetRead() *pb.ReadOptions
	GetTenant() string
	GetNamespace() string
	GetService() string
	GetPort() string
	GetTag() string
	GetZone() string
	GetRegion() string
	GetAllRegions() bool
}

// planned is a plan and what it was made of.
type planned struct {
	view    *reading
	header  *pb.ReadHeader
	service *registry.ServiceView
	plan    plan.Plan
	// bounded fails when the plan shows a copy that is older than was asked for.
	bounded func() error
}

// plan makes the plan that answers a question.
func (s *Server) plan(ctx context.Context, q question) (*planned, error) {
	v, header, err := s.view(ctx, q.GetRead())
	if err != nil {
		return nil, err
	}
	sv, err := findService(v.View, q.GetTenant(), q.GetNamespace(), "service", q.GetService())
	if err != nil {
		return nil, err
	}
	if err := regionsAsked(v.View, q); err != nil {
		return nil, err
	}
	p, ok := plan.For(v.View, s.reach(), plan.Client{Region: s.cfg.RegionName, Zone: q.GetZone()}, plan.Query{
		Service: sv.Key, Port: q.GetPort(), Tag: q.GetTag(), Region: q.GetRegion(), AllRegions: q.GetAllRegions(),
	})
	if !ok {
		e := fault.New(fault.NotFound, "service %q has no port %q", q.GetService(), q.GetPort()).
			WithHint("ports are named by the service's definition or by its instances")
		e.Field = "port"
		return nil, e
	}
	bounded := func() error { return v.bounded(q.GetRead(), func(t touched) { t.service(v.View, sv) }) }
	return &planned{view: v, header: header, service: sv, plan: p, bounded: bounded}, nil
}

// regionsAsked checks which regions a lookup is for.
func regionsAsked(v *registry.View, req question) error {
	if req.GetRegion() != "" && req.GetAllRegions() {
		return fault.Field("all_regions", "cannot stand beside `region`").WithHint("send one of the two")
	}
	_, err := scopeOf(v, req.GetRegion())
	return err
}

// scopeOf finds a region by what a request calls it; 0: it names none.
func scopeOf(v *registry.View, name string) (uint32, error) {
	if name == "" {
		return 0, nil
	}
	if r, ok := v.RegionNamed(name); ok {
		return r.Alias, nil
	}
	if err := v.CheckRegionName(name); err != nil {
		return 0, err
	}
	var known []string
	for region := range v.Regions() {
		if known = append(known, region.Name); len(known) == maxNamed {
			break
		}
	}
	err := fault.New(fault.NotFound, "there is no region %q", name).WithHint("known are %s", strings.Join(known, ", "))
	err.Field = "region"
	return 0, err
}

// maxNamed bounds the regions that an error names.
const maxNamed = 16

// reach is how this region reaches the others; nil: nothing is known.
func (s *Server) reach() *plan.Reach {
	if s.cfg.Reach == nil {
		return nil
	}
	return s.cfg.Reach()
}

func endpointAnswer(v *reading, e *plan.Endpoint, priority uint32) *pb.Endpoint {
	return &pb.Endpoint{
		Instance: e.Instance, Address: e.Addr.Addr().String(), Port: uint32(e.Addr.Port()), Weight: e.Weight,
		Health: e.Health, Draining: e.Draining, Region: e.Region, Zone: e.Zone, Priority: priority,
		Source: v.source(e.Scope, e.Region, e.Revision, e.Incarnation),
	}
}

// drainsReason is why a draining instance is left out.
const drainsReason = "draining: it ends what is in flight and gets nothing new"

func planAnswer(v *reading, p plan.Plan, header *pb.ReadHeader) *pb.LookupResponse {
	resp := &pb.LookupResponse{Header: header, Rule: p.Rule, Protocol: p.Protocol, LastKnown: p.LastKnown()}
	for _, tier := range p.Tiers {
		for _, locality := range tier.Localities {
			for i := range locality.Endpoints {
				resp.Endpoints = append(resp.Endpoints, endpointAnswer(v, &locality.Endpoints[i], tier.Priority))
			}
		}
	}
	for i := range p.Draining {
		resp.Excluded = append(resp.Excluded, &pb.ExcludedEndpoint{
			Endpoint: endpointAnswer(v, &p.Draining[i], 0), Reason: drainsReason,
		})
	}
	for i := range p.Excluded {
		resp.Excluded = append(resp.Excluded, &pb.ExcludedEndpoint{
			Endpoint: endpointAnswer(v, &p.Excluded[i].Endpoint, 0), Reason: p.Excluded[i].Reason,
		})
	}
	return resp
}
