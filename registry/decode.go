package registry

import (
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

// Decoding is lenient where an older or newer version may have written something else than this one would, and
// strict where the view could not hold it: names that do not parse, addresses and ports that are none.

// concerns reports whether a record is one that the view shows: of a kind and scope that this version knows.
func concerns(k record.Key) bool {
	switch k.Kind {
	case record.KindTenant, record.KindNamespace:
		return k.Shard == record.ShardSystem
	case record.KindNode, record.KindRegion:
		return k.Shard == record.ShardSystem && k.Scope == record.ScopeRegion
	case record.KindInstance, record.KindCheck, record.KindCheckStatus: // of this region or another
		return k.Shard == record.ShardData && k.Scope >= record.ScopeRegion
	case record.KindSummary: // of others: what this region has the view counts itself
		return k.Shard == record.ShardData && k.Scope > record.ScopeRegion
	case record.KindService, record.KindRoute:
		return k.Shard == record.ShardData && k.Scope == record.ScopePlaced
	default:
		return false
	}
}

// storable reports whether a name can stand in the view's keys and in answers.
func storable(name string) bool { return name != "" && line("", name, MaxConfigName) == nil }

// numericID reads the id that Apply gave a tenant or namespace.
func numericID(r *record.Record) (uint32, bool) {
	id := r.Attributes.Flags
	return uint32(id), id > 0 && id <= 1<<32-1
}

func decodeTenant(r *record.Record, region string) (*pb.Tenant, bool) {
	t := new(pb.Tenant)
	id, ok := numericID(r)
	if !ok || !storable(r.Key.Name) || proto.Unmarshal(r.Value, t) != nil {
		return nil, false
	}
	t.Name, t.Id, t.Meta = r.Key.Name, id, metaOf(r).Answer(region)
	return t, true
}

func decodeNamespace(r *record.Record, region string) (*pb.Namespace, bool) {
	n := new(pb.Namespace)
	id, ok := numericID(r)
	if !ok || r.Key.Tenant == 0 || !storable(r.Key.Name) || proto.Unmarshal(r.Value, n) != nil {
		return nil, false
	}
	n.Name, n.Id, n.Meta = r.Key.Name, id, metaOf(r).Answer(region)
	return n, true
}

func decodeNode(r *record.Record) (*pb.Node, bool) {
	n := new(pb.Node)
	if !storable(r.Key.Name) || proto.Unmarshal(r.Value, n) != nil {
		return nil, false
	}
	n.Name = r.Key.Name
	return n, true
}

func decodeService(r *record.Record, in NamespaceKey) (*pb.Service, bool) {
	s := new(pb.Service)
	if !storable(r.Key.Name) || strings.Contains(r.Key.Name, "/") || proto.Unmarshal(r.Value, s) != nil {
		return nil, false
	}
	s.Tenant, s.Namespace, s.Name, s.Meta, s.Source = in.Tenant, in.Namespace, r.Key.Name, nil, nil
	return s, true
}

func decodeRoute(r *record.Record, in NamespaceKey) (*RouteView, bool) {
	p := new(pb.Route)
	if !storable(r.Key.Name) || proto.Unmarshal(r.Value, p) != nil {
		return nil, false
	}
	p.Tenant, p.Namespace, p.Name, p.Meta, p.Source = in.Tenant, in.Namespace, r.Key.Name, nil, nil
	return &RouteView{Key: in.Route(r.Key.Name), Route: p, Origin: originOf(r), Meta: metaOf(r)}, true
}

// decodeInstance reads an instance, without checks and without the name of its region.
func decodeInstance(r *record.Record, in NamespaceKey) (*InstanceView, bool) {
	service, id, ok := SplitInstanceName(r.Key.Name)
	p := new(pb.Instance)
	if !ok || !storable(r.Key.Name) || proto.Unmarshal(r.Value, p) != nil {
		return nil, false
	}
	addr, err := netip.ParseAddr(p.GetAddress())
	if err != nil || !instanceFits(p) {
		return nil, false
	}
	p.Tenant, p.Namespace, p.Service, p.Id = in.Tenant, in.Namespace, service, id
	p.Checks, p.Meta, p.CheckStatus, p.Health, p.DrainUntil = nil, nil, nil, pb.Health_HEALTH_UNSPECIFIED, nil
	p.Source = nil
	if p.Weight == 0 {
		p.Weight = DefaultWeight
	}
	i := &InstanceView{
		Key: in.Service(service).InstanceIn(r.Key.Scope, id), Instance: p, Addr: addr.Unmap(), Meta: metaOf(r),
		space: spaceID{r.Key.Tenant, r.Key.Namespace}, writtenAt: writtenAt(r),
	}
	if !i.Key.IsLocal() {
		i.Origin = originOf(r)
	}
	if p.Draining && r.Attributes.Flags != 0 && r.Attributes.Flags <= maxMilli {
		i.DrainUntil = time.UnixMilli(int64(r.Attributes.Flags))
	}
	return i, true
}

// maxMilli is the year 9999 in Unix milliseconds.
const maxMilli = 253_402_300_799_999

// instanceFits reports whether numbers and labels of an instance fit into the view.
func instanceFits(p *pb.Instance) bool {
	if p.GetPort() == 0 || p.GetPort() > 65535 || p.GetWeight() > maxWeight || strings.ContainsRune(p.GetZone(), 0) {
		return false
	}
	for _, name := range sortedKeys(p.GetPorts()) {
		if n := p.GetPorts()[name]; n == 0 || n > 65535 {
			return false
		}
	}
	seen := make(map[string]struct{}, len(p.GetTags()))
	for _, tag := range p.GetTags() {
		if _, twice := seen[tag]; twice || tag == "" || strings.ContainsRune(tag, 0) {
			return false
		}
		seen[tag] = struct{}{}
	}
	return true
}

// splitCheck reads the name of a check or a status.
func splitCheck(r *record.Record) (service, id, check string, ok bool) {
	service, id, check, ok = SplitCheckName(r.Key.Name)
	return service, id, check, ok && storable(r.Key.Name)
}

func decodeCheck(r *record.Record, id string) (*pb.Check, bool) {
	c := new(pb.Check)
	if proto.Unmarshal(r.Value, c) != nil {
		return nil, false
	}
	c.Id = id
	return c, true
}

func decodeStatus(r *record.Record, id string) (*pb.CheckStatus, bool) {
	s := new(pb.CheckStatus)
	if proto.Unmarshal(r.Value, s) != nil {
		return nil, false
	}
	s.CheckId = id
	return s, true
}
