package registry

import (
	"strings"

	"supercluster/region/record"
)

// The tenant and the namespace that an empty name stands for. Every region has them from its first entry on.
const (
	DefaultTenant    = "default"
	DefaultNamespace = "default"
)

// NamespaceKey names a namespace.
type NamespaceKey struct{ Tenant, Namespace string }

// NamespaceOf gives the key of a namespace; an empty name stands for `default`.
func NamespaceOf(tenant, namespace string) NamespaceKey {
	if tenant == "" {
		tenant = DefaultTenant
	}
	if namespace == "" {
		namespace = DefaultNamespace
	}
	return NamespaceKey{Tenant: tenant, Namespace: namespace}
}

// Service gives the key of a service of the namespace.
func (k NamespaceKey) Service(name string) ServiceKey {
	return ServiceKey{Tenant: k.Tenant, Namespace: k.Namespace, Name: name}
}

// Route gives the key of a route of the namespace.
func (k NamespaceKey) Route(name string) RouteKey {
	return RouteKey{Tenant: k.Tenant, Namespace: k.Namespace, Name: name}
}

// Config gives the key of a config entry of the namespace.
func (k NamespaceKey) Config(name string) ConfigKey {
	return ConfigKey{Tenant: k.Tenant, Namespace: k.Namespace, Name: name}
}

// ServiceKey names a service.
type ServiceKey struct{ Tenant, Namespace, Name string }

// ServiceOf gives the key of a service; an empty tenant or namespace stands for `default`.
func ServiceOf(tenant, namespace, name string) ServiceKey {
	return NamespaceOf(tenant, namespace).Service(name)
}

// In gives the namespace of the service.
func (k ServiceKey) In() NamespaceKey {
	return NamespaceKey{Tenant: k.Tenant, Namespace: k.Namespace}
}

// Instance gives the key of an instance of the service in this region.
func (k ServiceKey) Instance(id string) InstanceKey { return k.InstanceIn(record.ScopeRegion, id) }

// InstanceIn gives the key of an instance of the service in the region with an alias.
func (k ServiceKey) InstanceIn(alias uint32, id string) InstanceKey {
	return InstanceKey{Service: k, Scope: alias, ID: id}
}

// Compare orders keys by tenant, namespace and name.
func (k ServiceKey) Compare(o ServiceKey) int {
	if c := strings.Compare(k.Tenant, o.Tenant); c != 0 {
		return c
	}
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

// InstanceKey names an instance. Two regions may use the same id.
type InstanceKey struct {
	Service ServiceKey
	// Scope is the alias of its region; record.ScopeRegion is this region.
	Scope uint32
	ID    string
}

// IsLocal reports whether the instance belongs to this region: only then this region may write it.
func (k InstanceKey) IsLocal() bool { return k.Scope == record.ScopeRegion }

// Check gives the key of a check of the instance.
func (k InstanceKey) Check(id string) CheckKey { return CheckKey{Instance: k, ID: id} }

// CheckKey names a check of an instance.
type CheckKey struct {
	Instance InstanceKey
	ID       string
}

// RouteKey names a route.
type RouteKey struct{ Tenant, Namespace, Name string }

// ConfigKey names a config entry.
type ConfigKey struct{ Tenant, Namespace, Name string }

// InstanceName is the record name of an instance.
func InstanceName(service, id string) string { return service + "/" + id }

// CheckName is the record name of a check and of its status.
func CheckName(service, id, check string) string { return service + "/" + id + "/" + check }

// SplitInstanceName undoes InstanceName.
func SplitInstanceName(name string) (service, id string, ok bool) {
	service, id, ok = strings.Cut(name, "/")
	return service, id, ok && service != "" && id != "" && !strings.Contains(id, "/")
}

// SplitCheckName undoes CheckName.
func SplitCheckName(name string) (service, id, check string, ok bool) {
	service, rest, _ := strings.Cut(name, "/")
	id, check, ok = strings.Cut(rest, "/")
	return service, id, check, ok && service != "" && id != "" && check != "" && !strings.Contains(check, "/")
}

// spaceID is the pair of numeric ids that the keys of a namespace's records carry.
type spaceID struct{ tenant, namespace uint32 }

func (s spaceID) packed() uint64 { return uint64(s.tenant)<<32 | uint64(s.namespace) }

// key gives the key of a record of the namespace that this region writes: regional kinds carry its scope.
func (s spaceID) key(kind record.Kind, name string) record.Key {
	return record.Key{
		Shard: record.ShardData, Tenant: s.tenant, Namespace: s.namespace, Kind: kind, Scope: scopeOf(kind), Name: name,
	}
}

// rangeOf gives the range of a kind of the namespace, from <= name < to.
func (s spaceID) rangeOf(kind record.Kind, from, to string) record.Range {
	return record.Range{
		Shard: record.ShardData, Tenant: s.tenant, Namespace: s.namespace, Kind: kind, Scope: scopeOf(kind), From: from, To: to,
	}
}

// scopeOf says whether records of a kind belong to a region (its own) or are placed at a home.
func scopeOf(kind record.Kind) uint32 {
	switch kind {
	case record.KindInstance, record.KindCheck, record.KindCheckStatus, record.KindNode:
		return record.ScopeRegion
	default:
		return record.ScopePlaced
	}
}
