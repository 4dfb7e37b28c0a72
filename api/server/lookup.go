package server

import (
	"context"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// Lookup shows the plan that xDS and DNS follow too.
func (r registryService) Lookup(ctx context.Context, req *pb.LookupRequest) (*pb.LookupResponse, error) {
	if err := decide(callFrom(ctx), on(access.VerbDiscover, access.KindService, req.GetTenant(), req.GetNamespace(), req.GetService())); err != nil {
		return nil, err
	}
	v, header, err := r.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	if _, err := findService(v, req.GetTenant(), req.GetNamespace(), "service", req.GetService()); err != nil {
		return nil, err
	}
	if err := regionsAsked(v, req); err != nil {
		return nil, err
	}
	p, ok := plan.For(v, plan.Client{Region: r.s.cfg.RegionName, Zone: req.GetZone()}, plan.Query{
		Service: registry.ServiceOf(req.GetTenant(), req.GetNamespace(), req.GetService()),
		Port:    req.GetPort(), Tag: req.GetTag(), Region: req.GetRegion(), AllRegions: req.GetAllRegions(),
	})
	if !ok {
		e := fault.New(fault.NotFound, "service %q has no port %q", req.GetService(), req.GetPort()).
			WithHint("ports are named by the service's definition or by its instances")
		e.Field = "port"
		return nil, e
	}
	resp := r.s.planAnswer(v, p, header)
	return resp, r.s.bounded(req.GetRead(), func(t touched) {
		sv, _ := v.Service(registry.ServiceOf(req.GetTenant(), req.GetNamespace(), req.GetService()))
		t.service(v, sv)
	})
}

// regionsAsked checks which regions a lookup is for.
func regionsAsked(v *registry.View, req *pb.LookupRequest) error {
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

// source says where an instance was written. The age is known of other regions alone, and only where somebody knows it.
func (s *Server) source(v *registry.View, alias uint32, region string, revision uint64) *pb.Source {
	out := &pb.Source{Region: region, Revision: revision}
	if alias == record.ScopeRegion || s.cfg.Sources == nil {
		return out
	}
	if r, ok := v.RegionAt(alias); ok {
		if age, ok := s.cfg.Sources.Age(r.ID); ok {
			out.Age = durationpb.New(age)
		}
	}
	return out
}

func (s *Server) planAnswer(v *registry.View, p plan.Plan, header *pb.ReadHeader) *pb.LookupResponse {
	endpointAnswer := func(e *plan.Endpoint, priority uint32) *pb.Endpoint {
		return &pb.Endpoint{
			Instance: e.Instance, Address: e.Addr.Addr().String(), Port: uint32(e.Addr.Port()), Weight: e.Weight,
			Health: e.Health, Draining: e.Draining, Region: e.Region, Zone: e.Zone, Priority: priority,
			Source: s.source(v, e.Scope, e.Region, e.Revision),
		}
	}
	resp := &pb.LookupResponse{Header: header, Rule: p.Rule, Protocol: p.Protocol}
	for _, tier := range p.Tiers {
		for _, locality := range tier.Localities {
			for i := range locality.Endpoints {
				resp.Endpoints = append(resp.Endpoints, endpointAnswer(&locality.Endpoints[i], tier.Priority))
			}
		}
	}
	for i := range p.Draining {
		resp.Excluded = append(resp.Excluded, &pb.ExcludedEndpoint{
			Endpoint: endpointAnswer(&p.Draining[i], 0), Reason: "draining: it ends what is in flight and gets nothing new",
		})
	}
	for i := range p.Excluded {
		resp.Excluded = append(resp.Excluded, &pb.ExcludedEndpoint{
			Endpoint: endpointAnswer(&p.Excluded[i].Endpoint, 0), Reason: p.Excluded[i].Reason,
		})
	}
	return resp
}
