package server

import (
	"context"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

func (r registryService) PutRoute(ctx context.Context, req *pb.PutRouteRequest) (*pb.PutRouteResponse, error) {
	c, in := callFrom(ctx), req.GetRoute()
	if err := decide(c, on(access.VerbPut, access.KindRoute, in.GetTenant(), in.GetNamespace(), in.GetName())); err != nil {
		return nil, err
	}
	var answer *pb.Route
	res, err := r.s.write(ctx, func(v *registry.View) (op record.Op, err error) {
		op, answer, err = registry.PutRouteOp(v, in, req.GetExpectRevision(), r.s.writeOf(ctx, c, req.GetOptions()))
		return op, err
	})
	if err != nil {
		return nil, err
	}
	ns := registry.NamespaceOf(answer.GetTenant(), answer.GetNamespace())
	v := r.s.written()
	if stored, ok := v.Route(ns.Tenant, ns.Namespace, answer.GetName()); ok {
		answer = routeAnswer(v, stored)
	}
	return &pb.PutRouteResponse{Header: writeHeader(res), Route: answer}, nil
}

func (r registryService) GetRoute(ctx context.Context, req *pb.GetRouteRequest) (*pb.GetRouteResponse, error) {
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if err := decide(callFrom(ctx), on(access.VerbGet, access.KindRoute, ns.Tenant, ns.Namespace, req.GetName())); err != nil {
		return nil, err
	}
	v, header, err := r.s.view(ctx, req.GetRead(), record.ClassConfig)
	if err != nil {
		return nil, err
	}
	if _, err := v.Resolve("", ns.Tenant, ns.Namespace); err != nil {
		return nil, err
	}
	stored, ok := v.Route(ns.Tenant, ns.Namespace, req.GetName())
	if err := v.bounded(req.GetRead(), func(t touched) {
		r.s.homesTouched(t, ns.Tenant, ns.Namespace, req.GetName(), false)
		if ok {
			t.add(stored.Origin)
		}
	}); err != nil {
		return nil, err
	}
	if !ok {
		e := fault.New(fault.NotFound, "there is no route %q", req.GetName()).
			WithHint("list the routes: supercluster route ls")
		e.Field = "name"
		return nil, e
	}
	return &pb.GetRouteResponse{Header: header, Route: routeAnswer(v, stored)}, nil
}

func (r registryService) ListRoutes(ctx context.Context, req *pb.ListRoutesRequest) (*pb.ListRoutesResponse, error) {
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if err := decide(callFrom(ctx), on(access.VerbList, access.KindRoute, ns.Tenant, ns.Namespace, "")); err != nil {
		return nil, err
	}
	p, err := pageOf(req.GetPageSize(), req.GetPageToken(), "routes", ns.Tenant, ns.Namespace)
	if err != nil {
		return nil, err
	}
	v, header, err := r.s.view(ctx, req.GetRead(), record.ClassConfig)
	if err != nil {
		return nil, err
	}
	if _, err := v.Resolve("", ns.Tenant, ns.Namespace); err != nil {
		return nil, err
	}
	if err := v.bounded(req.GetRead(), func(t touched) {
		r.s.homesTouched(t, ns.Tenant, ns.Namespace, "", true)
		for rv := range v.Routes(ns.Tenant, ns.Namespace) {
			t.add(rv.Origin)
		}
	}); err != nil {
		return nil, err
	}
	routes, next := collect(p, header.GetRevision(), v.Routes(ns.Tenant, ns.Namespace),
		func(rv *registry.RouteView) string { return rv.Key.Name },
		func(rv *registry.RouteView) *pb.Route { return routeAnswer(v, rv) })
	return &pb.ListRoutesResponse{Header: header, Routes: routes, NextPageToken: next}, nil
}

func (r registryService) DeleteRoute(ctx context.Context, req *pb.DeleteRouteRequest) (*pb.DeleteRouteResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbDelete, access.KindRoute, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	key := registry.NamespaceOf(req.GetTenant(), req.GetNamespace()).Route(req.GetName())
	res, err := r.s.write(ctx, func(v *registry.View) (record.Op, error) {
		return registry.DeleteRouteOp(v, key, req.GetExpectRevision(), r.s.writeOf(ctx, c, req.GetOptions()))
	})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteRouteResponse{Header: writeHeader(res)}, nil
}

func routeAnswer(v *reading, rv *registry.RouteView) *pb.Route {
	answer := proto.CloneOf(rv.Route)
	answer.Tenant, answer.Namespace, answer.Name = rv.Key.Tenant, rv.Key.Namespace, rv.Key.Name
	answer.Meta = rv.Meta.Answer(v.HomeOf(rv.Origin))
	answer.Source = v.placed(rv.Origin, rv.ModifyRevision)
	return answer
}
