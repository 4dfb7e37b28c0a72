package registry

import (
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

func (s *step) setTenant(r *record.Record) bool {
	t, ok := decodeTenant(r, s.next.region)
	if !ok {
		return false
	}
	if old, had := s.next.tenants.Get(t.GetName()); had && old.GetId() != t.GetId() {
		s.removeTenant(t.GetName())
	}
	s.next.tenants.Set(t.GetName(), t)
	s.next.tenantNames.Set(t.GetId(), t.GetName())
	s.changes.Tenancy = true
	s.renameSpaces(t.GetId())
	return true
}

func (s *step) removeTenant(name string) {
	t, had := s.next.tenants.Delete(name)
	if !had {
		return
	}
	s.next.tenantNames.Delete(t.GetId())
	s.changes.Tenancy = true
	s.renameSpaces(t.GetId())
}

func (s *step) setNamespace(r *record.Record) bool {
	n, ok := decodeNamespace(r, s.next.region)
	if !ok {
		return false
	}
	at := namespaceIndex(r.Key.Tenant, n.GetName())
	if old, had := s.next.namespaces.Get(at); had && old != n.GetId() {
		s.removeNamespace(r.Key.Tenant, n.GetName())
	}
	s.next.namespaces.Set(at, n.GetId())
	s.changes.Tenancy = true
	p := s.space(spaceID{r.Key.Tenant, n.GetId()})
	p.namespace = n
	s.rename(p)
	return true
}

func (s *step) removeNamespace(tenant uint32, name string) {
	id, had := s.next.namespaces.Delete(namespaceIndex(tenant, name))
	if !had {
		return
	}
	s.changes.Tenancy = true
	p := s.space(spaceID{tenant, id})
	p.namespace = nil
	s.rename(p)
}

// renameSpaces gives the namespaces of a tenant their names anew.
func (s *step) renameSpaces(tenant uint32) {
	var ids []spaceID
	s.next.spaces.Ascend(spaceID{tenant: tenant}.packed(), func(_ uint64, x *space) bool {
		if x.id.tenant != tenant {
			return false
		}
		ids = append(ids, x.id)
		return true
	})
	for _, id := range ids {
		s.rename(s.space(id))
	}
}

// rename gives a namespace the names that it has now: none while it or its tenant has no record.
func (s *step) rename(p *spaceStep) {
	tenant, _ := s.next.tenantNames.Get(p.id.tenant)
	var key NamespaceKey
	if p.namespace != nil {
		p.namespace = withTenant(p.namespace, tenant)
		if tenant != "" {
			key = NamespaceKey{Tenant: tenant, Namespace: p.namespace.GetName()}
		}
	}
	if key == p.key {
		return
	}
	if p.services.Len() > 0 || len(p.order) > 0 || p.routes.Len() > 0 {
		s.changes.All = true
	}
	p.rekey(key)
}

func withTenant(n *pb.Namespace, tenant string) *pb.Namespace {
	if n.GetTenant() == tenant {
		return n
	}
	c := proto.CloneOf(n)
	c.Tenant = tenant
	return c
}
