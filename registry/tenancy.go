package registry

import (
	"encoding/hex"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// CreateTenantOp creates a tenant and its namespace `default`. uid is 16 random bytes: the tenant's name for
// other regions.
func CreateTenantOp(in *pb.Tenant, uid [16]byte, w Write) (record.Op, *pb.Tenant, error) {
	if err := w.check(); err != nil {
		return record.Op{}, nil, err
	}
	if in == nil {
		return record.Op{}, nil, fault.Field("tenant", "is missing")
	}
	if err := label("tenant.name", in.GetName()); err != nil {
		return record.Op{}, nil, err
	}
	if err := text("tenant.description", in.GetDescription(), MaxDescription); err != nil {
		return record.Op{}, nil, err
	}
	out := &pb.Tenant{Name: in.GetName(), Description: in.GetDescription(), Uid: hex.EncodeToString(uid[:])}
	value, err := encode(out)
	if err != nil {
		return record.Op{}, nil, err
	}
	return w.tenancy(record.OpCreateTenant, 0, record.Tenancy{Tenant: out.GetName(), UID: uid, Value: value}), out, nil
}

// DeleteTenantOp deletes a tenant. The store refuses while it has a namespace other than an empty `default`.
func DeleteTenantOp(name string, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	if err := label("name", name); err != nil {
		return record.Op{}, err
	}
	if name == DefaultTenant {
		return record.Op{}, fault.Field("name", "the tenant %q belongs to the region and stays", name)
	}
	return w.tenancy(record.OpDeleteTenant, 0, record.Tenancy{Tenant: name}), nil
}

// CreateNamespaceOp creates a namespace of a tenant.
func CreateNamespaceOp(v *View, in *pb.Namespace, w Write) (record.Op, *pb.Namespace, error) {
	if err := w.check(); err != nil {
		return record.Op{}, nil, err
	}
	if in == nil {
		return record.Op{}, nil, fault.Field("namespace", "is missing")
	}
	t, err := v.tenantOf("namespace.tenant", in.GetTenant())
	if err != nil {
		return record.Op{}, nil, err
	}
	if err := unreservedLabel("namespace.name", in.GetName()); err != nil {
		return record.Op{}, nil, err
	}
	if err := text("namespace.description", in.GetDescription(), MaxDescription); err != nil {
		return record.Op{}, nil, err
	}
	out := &pb.Namespace{Tenant: t.GetName(), Name: in.GetName(), Description: in.GetDescription()}
	value, err := encode(out)
	if err != nil {
		return record.Op{}, nil, err
	}
	op := w.tenancy(record.OpCreateNamespace, t.GetId(),
		record.Tenancy{Tenant: t.GetName(), Namespace: out.GetName(), Value: value})
	return op, out, nil
}

// DeleteNamespaceOp deletes a namespace. The store refuses while it holds a record.
func DeleteNamespaceOp(v *View, tenant, namespace string, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	t, err := v.tenantOf("tenant", tenant)
	if err != nil {
		return record.Op{}, err
	}
	if err := label("name", namespace); err != nil {
		return record.Op{}, err
	}
	if namespace == DefaultNamespace {
		return record.Op{}, fault.Field("name", "the namespace %q belongs to its tenant and goes with it", namespace)
	}
	return w.tenancy(record.OpDeleteNamespace, t.GetId(),
		record.Tenancy{Tenant: t.GetName(), Namespace: namespace}), nil
}

// tenantOf finds a tenant; an empty name stands for `default`.
func (v *View) tenantOf(field, name string) (*pb.Tenant, error) {
	if name == "" {
		name = DefaultTenant
	}
	if err := label(field, name); err != nil {
		return nil, err
	}
	t, ok := v.tenants.Get(name)
	if !ok {
		return nil, v.unknownTenant(field, name)
	}
	return t, nil
}

// PutNodeOp writes the addresses of a server of the region.
func PutNodeOp(in *pb.Node, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	if err := instanceID("node.name", in.GetName()); err != nil {
		return record.Op{}, err
	}
	for _, a := range [...]struct{ field, value string }{
		{"node.grpc_address", in.GetGrpcAddress()},
		{"node.http_address", in.GetHttpAddress()},
		{"node.raft_address", in.GetRaftAddress()},
	} {
		if a.value == "" {
			continue
		}
		if err := line(a.field, a.value, maxHost); err != nil {
			return record.Op{}, err
		}
		if !hasPort(a.value) {
			return record.Op{}, fault.Field(a.field, "%s is not host:port", shown(a.value))
		}
	}
	value, err := encode(proto.CloneOf(in))
	if err != nil {
		return record.Op{}, err
	}
	return w.txn(0, record.ShardSystem, nil, []record.TxnOp{put(NodeRecordKey(in.GetName()), value)}, nil), nil
}

// hasPort reports whether an address ends in a port number, as `host:port` and `[v6]:port` do.
func hasPort(s string) bool {
	at := strings.LastIndexByte(s, ':')
	if at < 0 || strings.Contains(s[:at], ":") != (strings.HasPrefix(s, "[") && s[at-1] == ']') {
		return false
	}
	n, err := strconv.ParseUint(s[at+1:], 10, 16)
	return err == nil && n > 0
}

// NodeRecordKey is the store's key of a server of the region.
func NodeRecordKey(name string) record.Key {
	return record.Key{Shard: record.ShardSystem, Kind: record.KindNode, Scope: record.ScopeRegion, Name: name}
}
