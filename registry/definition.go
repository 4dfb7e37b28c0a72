package registry

import (
	"strings"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// PutServiceOp writes the definition of a service. expect 0 does not check the revision.
func PutServiceOp(v *View, in *pb.Service, expect uint64, w Write) (record.Op, *pb.Service, error) {
	if err := w.check(); err != nil {
		return record.Op{}, nil, err
	}
	if in == nil {
		return record.Op{}, nil, fault.Field("service", "is missing")
	}
	k, space, err := v.resolve("service", in.GetTenant(), in.GetNamespace())
	if err != nil {
		return record.Op{}, nil, err
	}
	out := proto.CloneOf(in)
	out.Tenant, out.Namespace, out.Meta, out.Source = k.Tenant, k.Namespace, nil, nil
	if err := normalService(out); err != nil {
		return record.Op{}, nil, err
	}
	op, err := putPlaced(space, record.KindService, out.GetName(), out, expect, w)
	return op, out, err
}

func normalService(out *pb.Service) error {
	if err := unreservedLabel("service.name", out.GetName()); err != nil {
		return err
	}
	if err := protocol("service.protocol", out.GetProtocol()); err != nil {
		return err
	}
	if n := len(out.GetPorts()); n > maxPorts {
		return fault.Field("service.ports", "has %d ports, the limit is %d", n, maxPorts)
	}
	at := make(map[string]int, len(out.GetPorts()))
	for i, p := range out.GetPorts() {
		field := indexed("service.ports", i)
		if err := label(field+".name", p.GetName()); err != nil {
			return err
		}
		if first, twice := at[p.GetName()]; twice {
			return fault.Field(field+".name", "%q is the name of %s too", p.GetName(), indexed("service.ports", first))
		}
		at[p.GetName()] = i
		// 0 leaves the number to each instance.
		if p.GetPort() > 65535 {
			return port(field+".port", p.GetPort())
		}
		if err := protocol(field+".protocol", p.GetProtocol()); err != nil {
			return err
		}
	}
	return metadata("service.metadata", out.GetMetadata())
}

func protocol(field string, p pb.Protocol) error {
	if _, ok := pb.Protocol_name[int32(p)]; !ok {
		return fault.Field(field, "%d is not a protocol", p).WithHint("use http, http2, grpc or tcp")
	}
	return nil
}

// DeleteServiceOp removes the definition of a service; instances stay. Outcome tells if there was none.
func DeleteServiceOp(v *View, k ServiceKey, expect uint64, w Write) (record.Op, error) {
	return v.deletePlaced(record.KindService, k.Tenant, k.Namespace, k.Name, expect, w)
}

// PutRouteOp writes a route. expect 0 does not check the revision.
func PutRouteOp(v *View, in *pb.Route, expect uint64, w Write) (record.Op, *pb.Route, error) {
	if err := w.check(); err != nil {
		return record.Op{}, nil, err
	}
	if in == nil {
		return record.Op{}, nil, fault.Field("route", "is missing")
	}
	k, space, err := v.resolve("route", in.GetTenant(), in.GetNamespace())
	if err != nil {
		return record.Op{}, nil, err
	}
	out := proto.CloneOf(in)
	out.Tenant, out.Namespace, out.Meta, out.Source = k.Tenant, k.Namespace, nil, nil
	if err := normalRoute(out); err != nil {
		return record.Op{}, nil, err
	}
	op, err := putPlaced(space, record.KindRoute, out.GetName(), out, expect, w)
	return op, out, err
}

func normalRoute(out *pb.Route) error {
	if err := label("route.name", out.GetName()); err != nil {
		return err
	}
	if err := normalHosts(out); err != nil {
		return err
	}
	if out.Prefix == "" {
		out.Prefix = "/"
	}
	if err := prefix("route.prefix", out.GetPrefix()); err != nil {
		return err
	}
	if err := unreservedLabel("route.service", out.GetService()); err != nil {
		return err
	}
	if out.GetPort() != "" {
		return label("route.port", out.GetPort())
	}
	return nil
}

// normalHosts checks the hosts of a route and lowers their case.
func normalHosts(out *pb.Route) error {
	switch n := len(out.GetHosts()); {
	case n == 0:
		return fault.Field("route.hosts", "is empty").WithHint("name a host, or `*` for all")
	case n > maxHosts:
		return fault.Field("route.hosts", "has %d hosts, the limit is %d", n, maxHosts)
	}
	at := make(map[string]int, len(out.GetHosts()))
	for i, h := range out.GetHosts() {
		field := indexed("route.hosts", i)
		lower := strings.TrimSuffix(strings.ToLower(h), ".")
		if err := host(field, lower); err != nil {
			return err
		}
		if first, twice := at[lower]; twice {
			return fault.Field(field, "%q is %s too", lower, indexed("route.hosts", first))
		}
		at[lower] = i
		out.Hosts[i] = lower
	}
	return nil
}

// host checks a host of a route: an exact name, `*` for all, or `*.` and a name.
func host(field, s string) error {
	if s == "" {
		return fault.Field(field, "is empty").WithHint("name a host, or `*` for all")
	}
	if err := line(field, s, maxHost); err != nil {
		return err
	}
	if s == "*" || isHost(strings.TrimPrefix(s, "*.")) {
		return nil
	}
	err := fault.Field(field, "%s is not a host name", shown(s))
	if name, _, ok := strings.Cut(s, ":"); ok && isHost(name) {
		return err.WithHint("leave the port out: a route is for every port of the proxy")
	}
	return err.WithHint("use a name, `*` for all, or `*.example.org`")
}

// prefix checks a path prefix as it stands in a request line.
func prefix(field, s string) error {
	if err := line(field, s, maxPath); err != nil {
		return err
	}
	switch {
	case !strings.HasPrefix(s, "/"):
		return fault.Field(field, "%s does not begin with `/`", shown(s))
	case strings.ContainsAny(s, "?# "):
		return fault.Field(field, "%s contains `?`, `#` or a space", shown(s)).WithHint("only the path is compared")
	}
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "." || segment == ".." {
			return fault.Field(field, "%s has the segment %q, which proxies resolve before they compare", shown(s), segment)
		}
	}
	return nil
}

// DeleteRouteOp removes a route. Outcome tells if there was none.
func DeleteRouteOp(v *View, k RouteKey, expect uint64, w Write) (record.Op, error) {
	return v.deletePlaced(record.KindRoute, k.Tenant, k.Namespace, k.Name, expect, w)
}

// putPlaced is the transaction of a put with a guard.
func putPlaced(space spaceID, kind record.Kind, name string, m proto.Message, expect uint64, w Write) (record.Op, error) {
	value, err := encode(m)
	if err != nil {
		return record.Op{}, err
	}
	key := space.key(kind, name)
	compare, otherwise := expecting(key, expect)
	return w.txn(space.tenant, record.ShardData, compare, []record.TxnOp{put(key, value)}, otherwise), nil
}

// deletePlaced is the transaction of a delete with a guard.
func (v *View) deletePlaced(kind record.Kind, tenant, namespace, name string, expect uint64, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	_, space, err := v.resolve("", tenant, namespace)
	if err != nil {
		return record.Op{}, err
	}
	if err := label("name", name); err != nil {
		return record.Op{}, err
	}
	key := space.key(kind, name)
	compare, otherwise := expecting(key, expect)
	return w.txn(space.tenant, record.ShardData, compare, []record.TxnOp{remove(key)}, otherwise), nil
}
