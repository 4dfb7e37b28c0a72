package server

import (
	"context"
	"crypto/rand"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// tenantService administers tenants and namespaces.
type tenantService struct {
	pb.UnimplementedTenantServiceServer
	s *Server
}

func (t tenantService) CreateTenant(ctx context.Context, req *pb.CreateTenantRequest) (*pb.CreateTenantResponse, error) {
	c := callFrom(ctx)
	name := req.GetTenant().GetName()
	if err := decide(c, access.Request{Verb: access.VerbCreate, Kind: access.KindTenant, Tenant: name, Name: name}); err != nil {
		return nil, err
	}
	var uid [16]byte
	if _, err := rand.Read(uid[:]); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no random bytes for the tenant's id")
	}
	var answer *pb.Tenant
	res, err := t.s.write(ctx, func(*registry.View) (op record.Op, err error) {
		op, answer, err = registry.CreateTenantOp(req.GetTenant(), uid, t.s.writeOf(ctx, c, req.GetOptions()))
		return op, err
	})
	if err != nil {
		return nil, err
	}
	if stored, ok := t.s.cfg.Views.View().Tenant(name); ok {
		answer = stored
	} else {
		answer.Id = res.ID
	}
	return &pb.CreateTenantResponse{Header: writeHeader(res), Tenant: answer}, nil
}

func (t tenantService) ListTenants(ctx context.Context, req *pb.ListTenantsRequest) (*pb.ListTenantsResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbList, Kind: access.KindTenant}); err != nil {
		return nil, err
	}
	p, err := pageOf(req.GetPageSize(), req.GetPageToken(), "tenants")
	if err != nil {
		return nil, err
	}
	v, header, err := t.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	tenants, next := collect(p, header.GetRevision(), v.Tenants(), (*pb.Tenant).GetName,
		func(t *pb.Tenant) *pb.Tenant { return t })
	return &pb.ListTenantsResponse{Header: header, Tenants: tenants, NextPageToken: next}, nil
}

func (t tenantService) DeleteTenant(ctx context.Context, req *pb.DeleteTenantRequest) (*pb.DeleteTenantResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, access.Request{Verb: access.VerbDelete, Kind: access.KindTenant, Tenant: req.GetName(), Name: req.GetName()}); err != nil {
		return nil, err
	}
	res, err := t.s.write(ctx, func(*registry.View) (record.Op, error) {
		return registry.DeleteTenantOp(req.GetName(), t.s.writeOf(ctx, c, req.GetOptions()))
	})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteTenantResponse{Header: writeHeader(res)}, nil
}

func (t tenantService) CreateNamespace(ctx context.Context, req *pb.CreateNamespaceRequest) (*pb.CreateNamespaceResponse, error) {
	c, in := callFrom(ctx), req.GetNamespace()
	if err := decide(c, on(access.VerbCreate, access.KindNamespace, in.GetTenant(), in.GetName(), in.GetName())); err != nil {
		return nil, err
	}
	var answer *pb.Namespace
	res, err := t.s.write(ctx, func(v *registry.View) (op record.Op, err error) {
		op, answer, err = registry.CreateNamespaceOp(v, in, t.s.writeOf(ctx, c, req.GetOptions()))
		return op, err
	})
	if err != nil {
		return nil, err
	}
	if stored, ok := t.s.cfg.Views.View().Namespace(answer.GetTenant(), answer.GetName()); ok {
		answer = stored
	} else {
		answer.Id = res.ID
	}
	return &pb.CreateNamespaceResponse{Header: writeHeader(res), Namespace: answer}, nil
}

func (t tenantService) ListNamespaces(ctx context.Context, req *pb.ListNamespacesRequest) (*pb.ListNamespacesResponse, error) {
	tenant := registry.NamespaceOf(req.GetTenant(), "").Tenant
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbList, Kind: access.KindNamespace, Tenant: tenant}); err != nil {
		return nil, err
	}
	p, err := pageOf(req.GetPageSize(), req.GetPageToken(), "namespaces", tenant)
	if err != nil {
		return nil, err
	}
	v, header, err := t.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	if _, err := v.Resolve("", tenant, ""); err != nil {
		return nil, err
	}
	namespaces, next := collect(p, header.GetRevision(), v.Namespaces(tenant), (*pb.Namespace).GetName,
		func(n *pb.Namespace) *pb.Namespace { return n })
	return &pb.ListNamespacesResponse{Header: header, Namespaces: namespaces, NextPageToken: next}, nil
}

func (t tenantService) DeleteNamespace(ctx context.Context, req *pb.DeleteNamespaceRequest) (*pb.DeleteNamespaceResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbDelete, access.KindNamespace, req.GetTenant(), req.GetName(), req.GetName())); err != nil {
		return nil, err
	}
	res, err := t.s.write(ctx, func(v *registry.View) (record.Op, error) {
		return registry.DeleteNamespaceOp(v, req.GetTenant(), req.GetName(), t.s.writeOf(ctx, c, req.GetOptions()))
	})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteNamespaceResponse{Header: writeHeader(res)}, nil
}
