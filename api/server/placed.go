package server

import (
	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry/access"
)

// placed is what a request says of the records with one home that it is about.
type placed struct {
	tenant, namespace *string
	kind              string
	verb              access.Verb
	name              string // or the prefix of names
	prefix            bool
	txn               *pb.TxnRequest // names more than one
	// regional: the records are of the region that the request names, not of a home.
	regional bool
	region   string

	write **pb.WriteOptions // nil for reads
	read  *pb.ReadOptions
}

// placedOf finds out whether a request is about records with one home, or of one region.
func placedOf(msg any) (placed, bool) {
	switch m := msg.(type) {
	case *pb.PutConfigRequest:
		if m.Config == nil {
			return placed{}, false
		}
		return placed{
			tenant: &m.Config.Tenant, namespace: &m.Config.Namespace, kind: access.KindConfig, verb: access.VerbPut,
			name: m.Config.GetName(), write: &m.Options,
		}, true
	case *pb.DeleteConfigRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindConfig, verb: access.VerbDelete, name: m.Name, write: &m.Options}, true
	case *pb.RollbackConfigRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindConfig, verb: access.VerbPut, name: m.Name, write: &m.Options}, true
	case *pb.TxnRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindConfig, txn: m, write: &m.Options}, true
	case *pb.PutRouteRequest:
		if m.Route == nil {
			return placed{}, false
		}
		return placed{
			tenant: &m.Route.Tenant, namespace: &m.Route.Namespace, kind: access.KindRoute, verb: access.VerbPut,
			name: m.Route.GetName(), write: &m.Options,
		}, true
	case *pb.DeleteRouteRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindRoute, verb: access.VerbDelete, name: m.Name, write: &m.Options}, true
	case *pb.PutServiceRequest:
		if m.Service == nil {
			return placed{}, false
		}
		return placed{
			tenant: &m.Service.Tenant, namespace: &m.Service.Namespace, kind: access.KindService, verb: access.VerbPut,
			name: m.Service.GetName(), write: &m.Options,
		}, true
	case *pb.DeleteServiceRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindService, verb: access.VerbDelete, name: m.Name, write: &m.Options}, true
	default:
		return placedRead(msg)
	}
}

func placedRead(msg any) (placed, bool) {
	switch m := msg.(type) {
	case *pb.GetConfigRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindConfig, verb: access.VerbGet, name: m.Name, read: m.Read}, true
	case *pb.ListConfigsRequest:
		return placed{
			tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindConfig, verb: access.VerbList, name: m.Prefix, prefix: true, read: m.Read,
		}, true
	case *pb.ListConfigHistoryRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindConfig, verb: access.VerbList, name: m.Name, read: m.Read}, true
	case *pb.GetRouteRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindRoute, verb: access.VerbGet, name: m.Name, read: m.Read}, true
	case *pb.ListRoutesRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindRoute, verb: access.VerbList, prefix: true, read: m.Read}, true
	case *pb.GetServiceRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindService, verb: access.VerbGet, name: m.Name, read: m.Read}, true
	case *pb.ListServicesRequest:
		return placed{tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindService, verb: access.VerbList, prefix: true, read: m.Read}, true
	case *pb.ListInstancesRequest:
		return placed{
			tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindInstance, verb: access.VerbList, name: m.Service, regional: true,
			region: m.Region, read: m.Read,
		}, true
	case *pb.ExplainRequest:
		return placed{
			tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindService, verb: access.VerbGet, name: m.Service, regional: true,
			region: m.Region, read: m.Read,
		}, true
	case *pb.LookupRequest:
		return placed{
			tenant: &m.Tenant, namespace: &m.Namespace, kind: access.KindService, verb: access.VerbDiscover, name: m.Service, regional: true,
			region: m.Region, read: m.Read,
		}, true
	default:
		return placed{}, false
	}
}

// checks lists what the caller must be allowed to do, as the handler asks for it too.
func (p *placed) checks() []access.Request {
	if p.txn != nil {
		return txnRequests(p.txn)
	}
	name := p.name
	if p.prefix && p.kind != access.KindConfig {
		name = ""
	}
	return []access.Request{on(p.verb, p.kind, *p.tenant, *p.namespace, name)}
}

// names lists the names of the records.
func (p *placed) names() []string {
	if p.txn == nil {
		return []string{p.name}
	}
	var all []string
	for _, c := range p.txn.GetCompare() {
		all = append(all, c.GetName())
	}
	for _, list := range [][]*pb.TxnOp{p.txn.GetThen(), p.txn.GetElse()} {
		for _, op := range list {
			switch op := op.GetOp().(type) {
			case *pb.TxnOp_Put_:
				all = append(all, op.Put.GetName())
			case *pb.TxnOp_Get_:
				all = append(all, op.Get.GetName())
			case *pb.TxnOp_Delete_:
				all = append(all, op.Delete.GetName())
			}
		}
	}
	return all
}

// called gives an answer of another region the name that the tenant has here.
func called(resp any, tenant string) {
	config := func(c *pb.Config) {
		if c != nil {
			c.Tenant = tenant
		}
	}
	switch m := resp.(type) {
	case *pb.PutConfigResponse:
		config(m.Config)
	case *pb.RollbackConfigResponse:
		config(m.Config)
	case *pb.GetConfigResponse:
		config(m.Config)
	case *pb.ListConfigsResponse:
		for _, c := range m.Configs {
			config(c)
		}
	case *pb.ListConfigHistoryResponse:
		for _, v := range m.Versions {
			config(v.GetConfig())
		}
	case *pb.TxnResponse:
		for _, r := range m.Results {
			config(r.GetConfig())
		}
	default:
		calledCatalogue(resp, tenant)
	}
}

func calledCatalogue(resp any, tenant string) {
	route := func(r *pb.Route) {
		if r != nil {
			r.Tenant = tenant
		}
	}
	service := func(s *pb.Service) {
		if s != nil {
			s.Tenant = tenant
		}
	}
	instances := func(all []*pb.Instance) {
		for _, i := range all {
			i.Tenant = tenant
		}
	}
	switch m := resp.(type) {
	case *pb.PutRouteResponse:
		route(m.Route)
	case *pb.GetRouteResponse:
		route(m.Route)
	case *pb.ListRoutesResponse:
		for _, r := range m.Routes {
			route(r)
		}
	case *pb.PutServiceResponse:
		service(m.Service)
	case *pb.GetServiceResponse:
		service(m.Service)
		instances(m.Instances)
	case *pb.ListServicesResponse:
		for _, s := range m.Services {
			s.Tenant = tenant
		}
	case *pb.ListInstancesResponse:
		instances(m.Instances)
	}
}
