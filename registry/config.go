package registry

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Condition is what must hold for a put of a config entry.
type Condition struct {
	// ExpectRevision: the entry is at this revision; 0 does not check.
	ExpectRevision uint64
	// CreateOnly: the entry does not exist.
	CreateOnly bool
}

// PutConfigOp writes a config entry. The entry it answers has digest and format, and no value.
func PutConfigOp(v *View, in *pb.Config, c Condition, w Write) (record.Op, *pb.Config, error) {
	if err := w.check(); err != nil {
		return record.Op{}, nil, err
	}
	if in == nil {
		return record.Op{}, nil, fault.Field("config", "is missing")
	}
	if c.CreateOnly && c.ExpectRevision != 0 {
		return record.Op{}, nil, fault.Field("expect_revision", "contradicts create_only")
	}
	k, space, err := v.resolve("config", in.GetTenant(), in.GetNamespace())
	if err != nil {
		return record.Op{}, nil, err
	}
	if err := configName("config.name", in.GetName()); err != nil {
		return record.Op{}, nil, err
	}
	op, digest, err := putConfig("config", space.key(record.KindConfig, in.GetName()), in.GetFormat(), in.GetValue())
	if err != nil {
		return record.Op{}, nil, err
	}
	compare, otherwise := expecting(op.Key, c.ExpectRevision)
	if c.CreateOnly {
		compare, otherwise = []record.Compare{absent(op.Key)}, []record.TxnOp{peek(op.Key)}
	}
	out := &pb.Config{
		Tenant: k.Tenant, Namespace: k.Namespace, Name: in.GetName(), Format: orText(in.GetFormat()), Digest: digest,
	}
	return w.txn(space.tenant, record.ShardData, compare, []record.TxnOp{op}, otherwise), out, nil
}

// putConfig checks a value against its format and makes its put.
func putConfig(field string, k record.Key, format pb.Format, value []byte) (record.TxnOp, string, error) {
	if len(value) > MaxConfigValue {
		err := fault.New(fault.TooLarge, "is %d bytes long, the limit is %d", len(value), MaxConfigValue)
		err.Field = dotted(field, "value")
		return record.TxnOp{}, "", err
	}
	digest, err := digestOf(field, format, value)
	if err != nil {
		return record.TxnOp{}, "", err
	}
	op := put(k, value)
	op.Attributes.Format = uint8(orText(format))
	return op, digest, nil
}

func orText(f pb.Format) pb.Format {
	if f == pb.Format_FORMAT_UNSPECIFIED {
		return pb.Format_FORMAT_TEXT
	}
	return f
}

// DeleteConfigOp removes a config entry. Outcome tells if there was none.
func DeleteConfigOp(v *View, k ConfigKey, expect uint64, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	key, err := ConfigRecordKey(v, k)
	if err != nil {
		return record.Op{}, err
	}
	compare, otherwise := expecting(key, expect)
	return w.txn(key.Tenant, record.ShardData, compare, []record.TxnOp{remove(key)}, otherwise), nil
}

// RollbackConfigOp writes the content of an older version again, as a new revision. old is that version, as the
// store's history has it.
func RollbackConfigOp(v *View, k ConfigKey, old record.Record, expect uint64, w Write) (record.Op, *pb.Config, error) {
	if old.Deleted {
		return record.Op{}, nil, fault.Field("to_revision", "revision %d is a deletion", old.ModifyRevision).
			WithHint("delete the entry instead")
	}
	in := &pb.Config{
		Tenant: k.Tenant, Namespace: k.Namespace, Name: k.Name, Format: pb.Format(old.Attributes.Format), Value: old.Value,
	}
	return PutConfigOp(v, in, Condition{ExpectRevision: expect}, w)
}

// ConfigRecordKey is the store's key of a config entry; unknown tenants and namespaces, and bad names, are errors.
func ConfigRecordKey(v *View, k ConfigKey) (record.Key, error) {
	_, space, err := v.resolve("", k.Tenant, k.Namespace)
	if err != nil {
		return record.Key{}, err
	}
	if err := configName("name", k.Name); err != nil {
		return record.Key{}, err
	}
	return space.key(record.KindConfig, k.Name), nil
}

// ConfigRange is the store's range of the config entries of a namespace with a prefix.
func ConfigRange(v *View, tenant, namespace, prefix string) (record.Range, error) {
	_, space, err := v.resolve("", tenant, namespace)
	if err != nil {
		return record.Range{}, err
	}
	if err := text("prefix", prefix, MaxConfigName); err != nil {
		return record.Range{}, err
	}
	return space.rangeOf(record.KindConfig, prefix, record.PrefixEnd(prefix)), nil
}

// ConfigAnswer gives a config entry as the API shows it. A record read without its value has no digest, and so
// has one whose content is not of its format: another API may have written it.
func ConfigAnswer(k ConfigKey, region string, r record.Record) *pb.Config {
	out := &pb.Config{
		Tenant: k.Tenant, Namespace: k.Namespace, Name: k.Name, Value: r.Value,
		Format: orText(pb.Format(r.Attributes.Format)),
		Author: r.Attributes.Writer.Actor, Message: r.Attributes.Writer.Message,
		Meta: metaOf(&r).Answer(region),
	}
	if t := r.Attributes.Writer.Time; t != 0 {
		out.Time = timestamppb.New(time.Unix(0, t))
	}
	if r.Value != nil {
		if digest, err := Digest(out.GetFormat(), r.Value); err == nil {
			out.Digest = digest
		}
	}
	return out
}

// ConfigTxnOp makes the transaction of a request: all its entries are of one namespace.
func ConfigTxnOp(v *View, req *pb.TxnRequest, w Write) (record.Op, error) {
	if err := w.check(); err != nil {
		return record.Op{}, err
	}
	_, space, err := v.resolve("", req.GetTenant(), req.GetNamespace())
	if err != nil {
		return record.Op{}, err
	}
	compare := make([]record.Compare, 0, len(req.GetCompare()))
	for i, c := range req.GetCompare() {
		rc, err := configCompare(indexed("compare", i), space, c)
		if err != nil {
			return record.Op{}, err
		}
		compare = append(compare, rc)
	}
	then, err := configOps("then", space, req.GetThen())
	if err != nil {
		return record.Op{}, err
	}
	otherwise, err := configOps("else", space, req.GetElse())
	if err != nil {
		return record.Op{}, err
	}
	return w.txn(space.tenant, record.ShardData, compare, then, otherwise), nil
}

// maxTxnOps bounds each list of a transaction.
const maxTxnOps = 128

var compareTargets = [...]record.CompareTarget{
	pb.Compare_TARGET_MODIFY_REVISION: record.CompareModifyRevision,
	pb.Compare_TARGET_CREATE_REVISION: record.CompareCreateRevision,
	pb.Compare_TARGET_VERSION:         record.CompareVersion,
	pb.Compare_TARGET_VALUE:           record.CompareValue,
}

var compareOperators = [...]record.CompareOperator{
	pb.Compare_OPERATOR_UNSPECIFIED: record.CompareEqual,
	pb.Compare_OPERATOR_EQUAL:       record.CompareEqual,
	pb.Compare_OPERATOR_NOT_EQUAL:   record.CompareNotEqual,
	pb.Compare_OPERATOR_GREATER:     record.CompareGreater,
	pb.Compare_OPERATOR_LESS:        record.CompareLess,
}

func configCompare(field string, space spaceID, c *pb.Compare) (record.Compare, error) {
	if err := configName(field+".name", c.GetName()); err != nil {
		return record.Compare{}, err
	}
	target, operator := int(c.GetTarget()), int(c.GetOperator())
	if target <= 0 || target >= len(compareTargets) {
		return record.Compare{}, fault.Field(field+".target", "%d is no part of an entry", target).
			WithHint("use modify_revision, create_revision, version or value")
	}
	if operator < 0 || operator >= len(compareOperators) {
		return record.Compare{}, fault.Field(field+".operator", "%d is not an operator", operator)
	}
	return record.Compare{
		Key: space.key(record.KindConfig, c.GetName()), Target: compareTargets[target],
		Operator: compareOperators[operator], Number: c.GetNumber(), Value: c.GetValue(),
	}, nil
}

func configOps(field string, space spaceID, in []*pb.TxnOp) ([]record.TxnOp, error) {
	if len(in) > maxTxnOps {
		return nil, fault.Field(field, "has %d operations, the limit is %d", len(in), maxTxnOps)
	}
	out := make([]record.TxnOp, 0, len(in))
	changed := make(map[string]int, len(in))
	for i, op := range in {
		ro, err := configOp(indexed(field, i), space, op)
		if err != nil {
			return nil, err
		}
		if ro.Type != record.TxnGet {
			if first, twice := changed[ro.Key.Name]; twice {
				return nil, fault.Field(indexed(field, i), "changes %s, as %s does", shown(ro.Key.Name), indexed(field, first)).
					WithHint("an entry changes at most once in a transaction")
			}
			changed[ro.Key.Name] = i
		}
		out = append(out, ro)
	}
	return out, nil
}

func configOp(field string, space spaceID, op *pb.TxnOp) (record.TxnOp, error) {
	switch o := op.GetOp().(type) {
	case *pb.TxnOp_Put_:
		if err := configName(field+".put.name", o.Put.GetName()); err != nil {
			return record.TxnOp{}, err
		}
		ro, _, err := putConfig(field+".put", space.key(record.KindConfig, o.Put.GetName()), o.Put.GetFormat(), o.Put.GetValue())
		return ro, err
	case *pb.TxnOp_Get_:
		if err := configName(field+".get.name", o.Get.GetName()); err != nil {
			return record.TxnOp{}, err
		}
		return get(space.key(record.KindConfig, o.Get.GetName())), nil
	case *pb.TxnOp_Delete_:
		if err := configName(field+".delete.name", o.Delete.GetName()); err != nil {
			return record.TxnOp{}, err
		}
		return remove(space.key(record.KindConfig, o.Delete.GetName())), nil
	default:
		return record.TxnOp{}, fault.Field(field, "has no operation").WithHint("use put, get or delete")
	}
}

// ConfigTxnAnswer reads the result of a transaction that ConfigTxnOp made. Of a retry that was recognised only
// Succeeded is known.
func ConfigTxnAnswer(region string, req *pb.TxnRequest, res record.Result) *pb.TxnResponse {
	out := &pb.TxnResponse{Header: &pb.WriteHeader{Revision: res.Revision, Duplicate: res.Duplicate}}
	if res.Txn == nil {
		return out
	}
	out.Succeeded = res.Txn.Succeeded
	ops := req.GetThen()
	if !out.GetSucceeded() {
		ops = req.GetElse()
	}
	in := NamespaceOf(req.GetTenant(), req.GetNamespace())
	for i, r := range res.Txn.Ops {
		if i < len(ops) {
			out.Results = append(out.Results, configResult(in, region, ops[i], r, res.Revision))
		}
	}
	return out
}

func configResult(in NamespaceKey, region string, op *pb.TxnOp, r record.TxnOpResult, revision uint64) *pb.TxnResult {
	switch o := op.GetOp().(type) {
	case *pb.TxnOp_Put_:
		return &pb.TxnResult{Config: &pb.Config{
			Tenant: in.Tenant, Namespace: in.Namespace, Name: o.Put.GetName(), Format: orText(o.Put.GetFormat()),
			Meta: &pb.Meta{ModifyRevision: revision, Region: region},
		}}
	case *pb.TxnOp_Get_:
		if len(r.Records) == 0 {
			return &pb.TxnResult{}
		}
		return &pb.TxnResult{Config: ConfigAnswer(in.Config(o.Get.GetName()), region, r.Records[0])}
	default:
		return &pb.TxnResult{Deleted: r.Count}
	}
}

// FormatName is the short name of a format.
func FormatName(f pb.Format) string {
	return strings.ToLower(strings.TrimPrefix(orText(f).String(), "FORMAT_"))
}
