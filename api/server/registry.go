package server

import (
	"context"
	"encoding/binary"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// registryService holds services, their instances and the routes to them.
type registryService struct {
	pb.UnimplementedRegistryServiceServer
	s *Server
}

func (r registryService) RegisterInstance(ctx context.Context, req *pb.RegisterInstanceRequest) (*pb.RegisterInstanceResponse, error) {
	c, in := callFrom(ctx), req.GetInstance()
	if err := decide(c, on(access.VerbPut, access.KindInstance, in.GetTenant(), in.GetNamespace(), in.GetService()+"/"+in.GetId())); err != nil {
		return nil, err
	}
	var answer *pb.Instance
	res, err := r.s.rewrite(ctx, func(v *registry.View) (op record.Op, err error) {
		op, answer, err = registry.RegisterOp(v, in, r.s.writeOf(ctx, c, req.GetOptions()))
		return op, err
	})
	if err != nil {
		return nil, err
	}
	key := registry.ServiceOf(answer.GetTenant(), answer.GetNamespace(), answer.GetService()).Instance(answer.GetId())
	v := r.s.written()
	if stored, ok := v.Instance(key); ok {
		answer = instanceAnswer(v, stored)
	}
	return &pb.RegisterInstanceResponse{Header: writeHeader(res), Instance: answer}, nil
}

// maxDrain bounds how long an instance may drain.
const maxDrain = time.Hour

func (r registryService) DeregisterInstance(ctx context.Context, req *pb.DeregisterInstanceRequest) (*pb.DeregisterInstanceResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbDelete, access.KindInstance, req.GetTenant(), req.GetNamespace(), req.GetService()+"/"+req.GetId())); err != nil {
		return nil, err
	}
	drain := req.GetDrain().AsDuration()
	if drain < 0 || drain > maxDrain {
		return nil, fault.Field("drain", "%s is not between 0 and %s", drain, maxDrain)
	}
	key := registry.ServiceOf(req.GetTenant(), req.GetNamespace(), req.GetService()).Instance(req.GetId())
	w := r.s.writeOf(ctx, c, req.GetOptions())
	until := time.Now().Add(drain)
	res, err := r.s.rewrite(ctx, func(v *registry.View) (record.Op, error) {
		if drain == 0 {
			return registry.DeregisterOp(v, key, w)
		}
		return registry.DrainOp(v, key, until, w)
	})
	if fault.Is(err, fault.NotFound) {
		if e := r.s.cfg.Views.View().NotHere(key); e != nil {
			err = e
		}
	}
	if err != nil {
		return nil, err
	}
	if drain > 0 {
		r.s.drains.own(key, until)
	}
	return &pb.DeregisterInstanceResponse{Header: writeHeader(res)}, nil
}

func (r registryService) Heartbeat(ctx context.Context, req *pb.HeartbeatRequest) (*pb.HeartbeatResponse, error) {
	c := callFrom(ctx)
	for _, t := range req.GetTargets() {
		if err := decide(c, on(access.VerbHeartbeat, access.KindInstance, t.GetTenant(), t.GetNamespace(), t.GetService()+"/"+t.GetInstance())); err != nil {
			return nil, err
		}
	}
	if r.s.cfg.Heartbeats == nil {
		return nil, fault.New(fault.Unsupported, "this node takes no heartbeats")
	}
	unknown, err := r.s.cfg.Heartbeats.Heartbeat(ctx, req.GetTargets())
	if err != nil {
		return nil, err
	}
	return &pb.HeartbeatResponse{Unknown: unknown}, nil
}

func (r registryService) PutService(ctx context.Context, req *pb.PutServiceRequest) (*pb.PutServiceResponse, error) {
	c, in := callFrom(ctx), req.GetService()
	if err := decide(c, on(access.VerbPut, access.KindService, in.GetTenant(), in.GetNamespace(), in.GetName())); err != nil {
		return nil, err
	}
	var answer *pb.Service
	res, err := r.s.write(ctx, func(v *registry.View) (op record.Op, err error) {
		op, answer, err = registry.PutServiceOp(v, in, req.GetExpectRevision(), r.s.writeOf(ctx, c, req.GetOptions()))
		return op, err
	})
	if err != nil {
		return nil, err
	}
	key := registry.ServiceOf(answer.GetTenant(), answer.GetNamespace(), answer.GetName())
	v := r.s.written()
	if stored, ok := v.Service(key); ok && stored.Definition != nil {
		answer = serviceAnswer(v, stored)
	}
	return &pb.PutServiceResponse{Header: writeHeader(res), Service: answer}, nil
}

func (r registryService) GetService(ctx context.Context, req *pb.GetServiceRequest) (*pb.GetServiceResponse, error) {
	if err := decide(callFrom(ctx), on(access.VerbGet, access.KindService, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	v, header, err := r.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	sv, err := findKnown(v.View, req.GetTenant(), req.GetNamespace(), req.GetName())
	if err != nil {
		return nil, err
	}
	if err := v.bounded(req.GetRead(), func(t touched) { t.known(v.View, sv) }); err != nil {
		return nil, err
	}
	resp := &pb.GetServiceResponse{
		Header: header, Service: serviceAnswer(v, sv), Defined: sv.Definition != nil, Summaries: summariesOf(v, sv),
	}
	left := maxAnswer - proto.Size(resp)
	for _, in := range sv.Instances {
		answer := instanceAnswer(v, in)
		if left -= proto.Size(answer); left < 0 {
			return nil, fault.New(fault.TooLarge, "the %d instances of %q have more than %d bytes together", len(sv.Instances), req.GetName(), maxAnswer).
				WithHint("list them in pages: GET /api/v1/services/%s/instances", req.GetName())
		}
		resp.Instances = append(resp.Instances, answer)
	}
	return resp, nil
}

func (r registryService) ListServices(ctx context.Context, req *pb.ListServicesRequest) (*pb.ListServicesResponse, error) {
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if err := decide(callFrom(ctx), on(access.VerbList, access.KindService, ns.Tenant, ns.Namespace, "")); err != nil {
		return nil, err
	}
	p, err := pageOf(req.GetPageSize(), req.GetPageToken(), "services", ns.Tenant, ns.Namespace, req.GetTag())
	if err != nil {
		return nil, err
	}
	v, header, err := r.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	if _, err := v.Resolve("", ns.Tenant, ns.Namespace); err != nil {
		return nil, err
	}
	services := v.KnownServices(ns.Tenant, ns.Namespace)
	if req.GetTag() != "" {
		services = v.ServicesTagged(ns.Tenant, ns.Namespace, req.GetTag())
	}
	if err := v.bounded(req.GetRead(), func(t touched) {
		for sv := range services {
			t.known(v.View, sv)
		}
	}); err != nil {
		return nil, err
	}
	rows, next := collect(p, header.GetRevision(), services,
		func(sv *registry.ServiceView) string { return sv.Key.Name },
		func(sv *registry.ServiceView) *pb.ServiceSummary { return serviceRow(v, sv) })
	return &pb.ListServicesResponse{Header: header, Services: rows, NextPageToken: next}, nil
}

func (r registryService) DeleteService(ctx context.Context, req *pb.DeleteServiceRequest) (*pb.DeleteServiceResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbDelete, access.KindService, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	key := registry.ServiceOf(req.GetTenant(), req.GetNamespace(), req.GetName())
	res, err := r.s.write(ctx, func(v *registry.View) (record.Op, error) {
		return registry.DeleteServiceOp(v, key, req.GetExpectRevision(), r.s.writeOf(ctx, c, req.GetOptions()))
	})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteServiceResponse{Header: writeHeader(res)}, nil
}

func (r registryService) ListInstances(ctx context.Context, req *pb.ListInstancesRequest) (*pb.ListInstancesResponse, error) {
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if err := decide(callFrom(ctx), on(access.VerbList, access.KindInstance, ns.Tenant, ns.Namespace, req.GetService())); err != nil {
		return nil, err
	}
	p, err := pageOf(req.GetPageSize(), req.GetPageToken(), "instances", ns.Tenant, ns.Namespace, req.GetService(),
		req.GetTag(), req.GetZone(), req.GetHealth().String(), req.GetRegion())
	if err != nil {
		return nil, err
	}
	v, header, err := r.s.view(ctx, req.GetRead())
	if err != nil {
		return nil, err
	}
	if _, err := findService(v.View, ns.Tenant, ns.Namespace, "service", req.GetService()); err != nil {
		return nil, err
	}
	scope, err := scopeOf(v.View, req.GetRegion())
	if err != nil {
		return nil, err
	}
	selected := v.Instances(ns.Tenant, ns.Namespace, registry.Filter{
		Service: req.GetService(), Tag: req.GetTag(), Zone: req.GetZone(), Health: req.GetHealth(), Scope: scope,
	})
	if err := v.bounded(req.GetRead(), func(t touched) {
		t.scope(v.View, scope)
		for in := range selected {
			t.scope(v.View, in.Key.Scope)
		}
	}); err != nil {
		return nil, err
	}
	instances, next := collect(p, header.GetRevision(), selected,
		instancePlace,
		func(in *registry.InstanceView) *pb.Instance { return instanceAnswer(v, in) })
	return &pb.ListInstancesResponse{Header: header, Instances: instances, NextPageToken: next}, nil
}

// instancePlace orders the instances of a service as its view does: those of this region by id, then the others. No id
// has the byte FF.
func instancePlace(in *registry.InstanceView) string {
	if in.Key.IsLocal() {
		return in.Key.ID
	}
	return string(binary.BigEndian.AppendUint32([]byte{0xff}, in.Key.Scope)) + in.Key.ID
}

// findService finds a service or says how one comes to be. field is the request field that names it.
func findService(v *registry.View, tenant, namespace, field, name string) (*registry.ServiceView, error) {
	if _, err := v.Resolve("", tenant, namespace); err != nil {
		return nil, err
	}
	sv, ok := v.Service(registry.ServiceOf(tenant, namespace, name))
	if !ok {
		e := fault.New(fault.NotFound, "there is no service %q", name).
			WithHint("a service exists once it has an instance or a definition: supercluster service register %s --address ADDRESS --port PORT", name)
		e.Field = field
		return nil, e
	}
	return sv, nil
}

// findKnown finds a service that exists here, or that another region sends a summary of.
func findKnown(v *registry.View, tenant, namespace, name string) (*registry.ServiceView, error) {
	if sv, ok := v.KnownService(registry.ServiceOf(tenant, namespace, name)); ok {
		return sv, nil
	}
	return findService(v, tenant, namespace, "name", name)
}

// serviceAnswer gives the definition as the API shows it: the defaults where a service has none.
func serviceAnswer(v *reading, sv *registry.ServiceView) *pb.Service {
	if sv.Definition == nil {
		protocol, _ := sv.Protocol("")
		return &pb.Service{Tenant: sv.Key.Tenant, Namespace: sv.Key.Namespace, Name: sv.Key.Name, Protocol: protocol}
	}
	answer := proto.CloneOf(sv.Definition)
	answer.Tenant, answer.Namespace, answer.Name = sv.Key.Tenant, sv.Key.Namespace, sv.Key.Name
	answer.Meta = sv.DefinitionMeta.Answer(v.HomeOf(sv.DefinitionOrigin))
	answer.Source = v.placed(sv.DefinitionOrigin, sv.DefinitionMeta.ModifyRevision)
	return answer
}

func instanceAnswer(v *reading, in *registry.InstanceView) *pb.Instance {
	answer := in.Answer()
	answer.Source = v.source(in.Key.Scope, answer.GetRegion(), in.SourceRevision, in.SourceIncarnation)
	if !in.DrainUntil.IsZero() {
		answer.DrainUntil = timestamppb.New(in.DrainUntil)
	}
	return answer
}
