package server

import (
	"context"

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
	v, header, err := r.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	if _, err := findService(v, req.GetTenant(), req.GetNamespace(), "service", req.GetService()); err != nil {
		return nil, err
	}
	p, ok := plan.For(v, plan.Client{Region: r.s.cfg.RegionName, Zone: req.GetZone()}, plan.Query{
		Service: registry.ServiceOf(req.GetTenant(), req.GetNamespace(), req.GetService()),
		Port:    req.GetPort(), Tag: req.GetTag(),
	})
	if !ok {
		e := fault.New(fault.NotFound, "service %q has no port %q", req.GetService(), req.GetPort()).
			WithHint("ports are named by the service's definition or by its instances")
		e.Field = "port"
		return nil, e
	}
	return planAnswer(p, header), nil
}

func planAnswer(p plan.Plan, header *pb.ReadHeader) *pb.LookupResponse {
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

func endpointAnswer(e *plan.Endpoint, priority uint32) *pb.Endpoint {
	return &pb.Endpoint{
		Instance: e.Instance, Address: e.Addr.Addr().String(), Port: uint32(e.Addr.Port()), Weight: e.Weight,
		Health: e.Health, Draining: e.Draining, Region: e.Region, Zone: e.Zone, Priority: priority,
	}
}
