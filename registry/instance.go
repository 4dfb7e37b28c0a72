package registry

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// DefaultWeight is the weight of an instance that names none.
const DefaultWeight = 100

const maxWeight = 65535

// RegisterOp registers an instance and its checks in one transaction; checks that it no longer has go with their
// status, the status of a check that stays is kept. The instance it answers has defaults and the server's fields
// filled in. It writes records of this region only.
func RegisterOp(v *View, in *pb.Instance, w Write) (record.Op, *pb.Instance, error) {
	if err := w.check(); err != nil {
		return record.Op{}, nil, err
	}
	if in == nil {
		return record.Op{}, nil, fault.Field("instance", "is missing")
	}
	k, space, err := v.resolve("instance", in.GetTenant(), in.GetNamespace())
	if err != nil {
		return record.Op{}, nil, err
	}
	out, err := normalInstance(in, k)
	if err != nil {
		return record.Op{}, nil, err
	}
	ops, err := registerOps(space, out)
	if err != nil {
		return record.Op{}, nil, err
	}
	out.Region = v.region
	return w.txn(space.tenant, record.ShardData, nil, ops, nil), out, nil
}

// registerOps are the puts of an instance and its checks, and the deletes of all checks and statuses between the
// names that stay. So a check that this node has not seen yet goes too.
func registerOps(space spaceID, in *pb.Instance) ([]record.TxnOp, error) {
	stored := proto.CloneOf(in)
	stored.Checks = nil
	value, err := encode(stored)
	if err != nil {
		return nil, err
	}
	ops := []record.TxnOp{put(space.key(record.KindInstance, InstanceName(in.GetService(), in.GetId())), value)}
	from := InstanceName(in.GetService(), in.GetId()) + "/"
	end := record.PrefixEnd(from)
	gap := func(to string) {
		ops = append(ops,
			removeRange(space.rangeOf(record.KindCheck, from, to)), removeRange(space.rangeOf(record.KindCheckStatus, from, to)))
	}
	for _, c := range in.GetChecks() {
		value, err := encode(c)
		if err != nil {
			return nil, err
		}
		name := CheckName(in.GetService(), in.GetId(), c.GetId())
		gap(name)
		ops = append(ops, put(space.key(record.KindCheck, name), value))
		from = name + "\x00"
	}
	gap(end)
	return ops, nil
}

// normalInstance checks an instance and fills in what it leaves out. Checks come out ordered by id.
func normalInstance(in *pb.Instance, k NamespaceKey) (*pb.Instance, error) {
	out := proto.CloneOf(in)
	out.Tenant, out.Namespace = k.Tenant, k.Namespace
	// What only answers have.
	out.Meta, out.Health, out.CheckStatus, out.Region, out.DrainUntil = nil, pb.Health_HEALTH_UNSPECIFIED, nil, "", nil
	out.Source = nil
	if err := unreservedLabel("instance.service", in.GetService()); err != nil {
		return nil, err
	}
	if err := normalAddress(out); err != nil {
		return nil, err
	}
	if out.Id == "" {
		out.Id = defaultID(out)
	}
	if err := instanceID("instance.id", out.Id); err != nil {
		return nil, err
	}
	if err := normalPlace(out); err != nil {
		return nil, err
	}
	checks, err := normalChecks("instance.checks", out.GetChecks())
	out.Checks = checks
	return out, err
}

// normalAddress checks address and ports.
func normalAddress(out *pb.Instance) error {
	addr, err := address("instance.address", out.GetAddress())
	if err != nil {
		return err
	}
	out.Address = addr.String()
	if err := port("instance.port", out.GetPort()); err != nil {
		return err
	}
	if n := len(out.GetPorts()); n > maxPorts {
		return fault.Field("instance.ports", "has %d ports, the limit is %d", n, maxPorts)
	}
	for _, name := range sortedKeys(out.GetPorts()) {
		if err := label("instance.ports", name); err != nil {
			return err
		}
		if err := port("instance.ports["+name+"]", out.GetPorts()[name]); err != nil {
			return err
		}
	}
	return nil
}

// normalPlace checks zone, weight and labels.
func normalPlace(out *pb.Instance) error {
	if err := zone("instance.zone", out.GetZone()); err != nil {
		return err
	}
	if out.Weight > maxWeight {
		return fault.Field("instance.weight", "%d is above %d", out.GetWeight(), maxWeight)
	}
	if out.Weight == 0 {
		out.Weight = DefaultWeight
	}
	sorted, err := tags("instance.tags", out.GetTags())
	if err != nil {
		return err
	}
	out.Tags = sorted
	return metadata("instance.metadata", out.GetMetadata())
}

// defaultID is `<address>-<port>` without the colons of IPv6, which URLs and file names do not like.
func defaultID(in *pb.Instance) string {
	host := strings.TrimLeft(strings.ReplaceAll(in.GetAddress(), ":", "-"), "-")
	return host + "-" + strconv.FormatUint(uint64(in.GetPort()), 10)
}

// instanceKey finds the record of an instance by the fields of a request. One of another region has none that this
// region may write.
func (v *View) instanceKey(k InstanceKey) (InstanceKey, spaceID, error) {
	if !k.IsLocal() {
		return k, spaceID{}, notHome(k.Service.Name, k.ID, v.RegionLabel(k.Scope, [16]byte{}))
	}
	in, space, err := v.resolve("", k.Service.Tenant, k.Service.Namespace)
	if err != nil {
		return k, spaceID{}, err
	}
	if err := label("service", k.Service.Name); err != nil {
		return k, spaceID{}, err
	}
	if err := instanceID("id", k.ID); err != nil {
		return k, spaceID{}, err
	}
	return in.Service(k.Service.Name).Instance(k.ID), space, nil
}

// DeregisterOp removes an instance, its checks and their status. Outcome tells if there was none.
func DeregisterOp(v *View, k InstanceKey, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	k, space, err := v.instanceKey(k)
	if err != nil {
		return record.Op{}, err
	}
	return w.txn(space.tenant, record.ShardData, nil, deregisterOps(space, k), nil), nil
}

func deregisterOps(space spaceID, k InstanceKey) []record.TxnOp {
	name := InstanceName(k.Service.Name, k.ID)
	from, to := name+"/", record.PrefixEnd(name+"/")
	return []record.TxnOp{
		remove(space.key(record.KindInstance, name)),
		removeRange(space.rangeOf(record.KindCheck, from, to)),
		removeRange(space.rangeOf(record.KindCheckStatus, from, to)),
	}
}

// DrainOp marks an instance as draining until a time, at which RemoveDrainedOp is due; a zero time says that
// somebody else removes it. It holds only while the
// instance is as the view shows it; on Conflict, wait for a newer view and try again.
func DrainOp(v *View, k InstanceKey, until time.Time, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	k, space, err := v.instanceKey(k)
	if err != nil {
		return record.Op{}, err
	}
	i, ok := v.Instance(k)
	if !ok {
		return record.Op{}, noInstance(k.Service.Name, k.ID)
	}
	stored := proto.CloneOf(i.Instance)
	stored.Draining, stored.Region = true, ""
	value, err := encode(stored)
	if err != nil {
		return record.Op{}, err
	}
	key := space.key(record.KindInstance, InstanceName(k.Service.Name, k.ID))
	mark := put(key, value)
	if !until.IsZero() {
		mark.Attributes.Flags = uint64(max(until.UnixMilli(), 1))
	}
	compare, otherwise := expecting(key, i.ModifyRevision)
	return w.txn(space.tenant, record.ShardData, compare, []record.TxnOp{mark}, otherwise), nil
}

// RemoveDrainedOp removes an instance that is still as in shows it, draining: registering it again cancels the
// removal, and Outcome then is Conflict.
func RemoveDrainedOp(in *InstanceView, w Write) (record.Op, error) {
	if !in.Key.IsLocal() {
		return record.Op{}, notHome(in.Key.Service.Name, in.Key.ID, in.Instance.GetRegion())
	}
	key := in.space.key(record.KindInstance, InstanceName(in.Key.Service.Name, in.Key.ID))
	compare, otherwise := expecting(key, in.ModifyRevision)
	return w.txn(in.space.tenant, record.ShardData, compare, deregisterOps(in.space, in.Key), otherwise), nil
}

// CheckStatusOp writes a transition of a check of an instance. It holds only while the very check that in shows
// exists: a late result never brings back a check that was removed, and never speaks for one made again.
func CheckStatusOp(in *InstanceView, status *pb.CheckStatus, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	if !in.Key.IsLocal() {
		return record.Op{}, notHome(in.Key.Service.Name, in.Key.ID, in.Instance.GetRegion())
	}
	meta, ok := in.CheckMeta(status.GetCheckId())
	if !ok {
		return record.Op{}, noCheck(in.Key.Service.Name, in.Key.ID, status.GetCheckId())
	}
	if h := status.GetHealth(); h < pb.Health_HEALTH_PASSING || h > pb.Health_HEALTH_CRITICAL {
		return record.Op{}, fault.Field("health", "%d is not the health of a check", h)
	}
	stored := proto.CloneOf(status)
	stored.Output = clip(status.GetOutput(), MaxOutput)
	value, err := encode(stored)
	if err != nil {
		return record.Op{}, err
	}
	name := CheckName(in.Key.Service.Name, in.Key.ID, status.GetCheckId())
	check := in.space.key(record.KindCheck, name)
	return w.txn(in.space.tenant, record.ShardData,
		[]record.Compare{created(check, meta.CreateRevision)},
		[]record.TxnOp{put(in.space.key(record.KindCheckStatus, name), value)},
		[]record.TxnOp{peek(check)}), nil
}

// clip makes the output of a probe storable: valid UTF-8 without NUL, cut between runes.
func clip(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
