package state

import (
	"encoding/binary"
	"encoding/hex"

	"supercluster/region/record"
)

// DefaultName is the tenant that every region has, and the namespace that every tenant has.
const DefaultName = "default"

func tenantKey(name string) record.Key {
	return record.Key{Shard: record.ShardSystem, Kind: record.KindTenant, Name: name}
}

func namespaceKey(tenant uint32, name string) record.Key {
	return record.Key{Shard: record.ShardSystem, Tenant: tenant, Kind: record.KindNamespace, Name: name}
}

func (m *machine) tenantID(name string) (uint32, error) { return m.numericID(tenantKey(name)) }

func (m *machine) namespaceID(tenant uint32, name string) (uint32, error) {
	return m.numericID(namespaceKey(tenant, name))
}

// numericID gives the number of a tenant or namespace, 0 if there is none.
func (m *machine) numericID(k record.Key) (uint32, error) {
	v, row, err := m.newest(k)
	if err != nil || !v.live() {
		return 0, err
	}
	var rec record.Record
	_, err = record.DecodeVersion(row, &rec)
	return uint32(rec.Attributes.Flags), err
}

func (m *machine) tenancy(op *record.Op, r *record.Result) error {
	t := op.Tenancy
	ofTenant := op.Type == record.OpCreateTenant || op.Type == record.OpDeleteTenant
	if t.Tenant == "" || ofTenant != (t.Namespace == "") {
		refuse(r, record.StatusInvalid, "an operation on tenant %q and namespace %q lacks a name or has one too many",
			t.Tenant, t.Namespace)
		return nil
	}
	if m.head.NextTenant == 1 {
		refuse(r, record.StatusDenied, "the region has no identity yet; it comes with the first entry")
		return nil
	}
	creates := op.Type == record.OpCreateTenant || op.Type == record.OpCreateNamespace
	if creates && m.full() {
		refuseGrowth(r)
		return nil
	}
	if op.Type == record.OpCreateTenant {
		return m.createTenant(op, t, r)
	}
	tenant, err := m.tenantID(t.Tenant)
	if err != nil {
		return err
	}
	if tenant == 0 {
		refuse(r, record.StatusNotFound, "there is no tenant %q", t.Tenant)
		return nil
	}
	switch op.Type {
	case record.OpDeleteTenant:
		return m.deleteTenant(op, tenant, r)
	case record.OpCreateNamespace:
		return m.createNamespace(op, tenant, r)
	default:
		return m.deleteNamespace(op, tenant, r)
	}
}

// createTenant creates a tenant and its namespace `default` in one revision.
func (m *machine) createTenant(op *record.Op, t *record.Tenancy, r *record.Result) error {
	known, err := m.tenantID(t.Tenant)
	if err != nil {
		return err
	}
	if known != 0 {
		refuse(r, record.StatusExists, "tenant %q exists", t.Tenant)
		r.ID = known
		return nil
	}
	tenant, namespace := m.head.NextTenant, m.head.NextNamespace
	m.head.NextTenant++
	m.head.NextNamespace++
	m.beginPlan(record.ShardSystem, t.Writer, t.Trace, op.RequestID)
	value := t.Value
	if len(value) == 0 {
		value = tenantValue(t.Tenant, t.UID)
	}
	if err := m.planSystem(tenantKey(t.Tenant), value, tenant); err != nil {
		return err
	}
	if err := m.planSystem(namespaceKey(tenant, DefaultName), namespaceValue(t.Tenant, DefaultName), namespace); err != nil {
		return err
	}
	if err := m.open(tenant, 0); err != nil {
		return err
	}
	if err := m.open(tenant, namespace); err != nil {
		return err
	}
	r.ID = tenant
	return m.commit()
}

func (m *machine) createNamespace(op *record.Op, tenant uint32, r *record.Result) error {
	t := op.Tenancy
	known, err := m.namespaceID(tenant, t.Namespace)
	if err != nil {
		return err
	}
	if known != 0 {
		refuse(r, record.StatusExists, "namespace %q exists in tenant %q", t.Namespace, t.Tenant)
		r.ID = known
		return nil
	}
	id := m.head.NextNamespace
	m.head.NextNamespace++
	m.beginPlan(record.ShardSystem, t.Writer, t.Trace, op.RequestID)
	value := t.Value
	if len(value) == 0 {
		value = namespaceValue(t.Tenant, t.Namespace)
	}
	if err := m.planSystem(namespaceKey(tenant, t.Namespace), value, id); err != nil {
		return err
	}
	if err := m.open(tenant, id); err != nil {
		return err
	}
	r.ID = id
	return m.commit()
}

// deleteNamespace deletes an empty namespace. `default` lives as long as its tenant.
func (m *machine) deleteNamespace(op *record.Op, tenant uint32, r *record.Result) error {
	t := op.Tenancy
	if t.Namespace == DefaultName {
		refuse(r, record.StatusDenied, "namespace %q lives as long as its tenant", DefaultName)
		return nil
	}
	id, err := m.namespaceID(tenant, t.Namespace)
	if err != nil {
		return err
	}
	if id == 0 {
		refuse(r, record.StatusNotFound, "there is no namespace %q in tenant %q", t.Namespace, t.Tenant)
		return nil
	}
	if empty, err := m.empty(tenant, id, t.Namespace, r); err != nil || !empty {
		return err
	}
	m.beginPlan(record.ShardSystem, t.Writer, t.Trace, op.RequestID)
	if err := m.planSystemDelete(namespaceKey(tenant, t.Namespace)); err != nil {
		return err
	}
	if err := m.dropFederated(tenant, id); err != nil {
		return err
	}
	if err := m.drop(tenant, id); err != nil {
		return err
	}
	return m.commit()
}

func (m *machine) empty(tenant, namespace uint32, name string, r *record.Result) (bool, error) {
	n, err := m.tally(tenant, namespace)
	if err != nil {
		return false, err
	}
	if n.n.Keys > 0 {
		refuse(r, record.StatusNotEmpty, "namespace %q has %d records; delete them first", name, n.n.Keys)
	}
	return n.n.Keys == 0, nil
}

// deleteTenant deletes a tenant that has nothing but its empty namespace `default`, which goes with it.
func (m *machine) deleteTenant(op *record.Op, tenant uint32, r *record.Result) error {
	t := op.Tenancy
	if t.Tenant == DefaultName {
		refuse(r, record.StatusDenied, "tenant %q cannot be deleted", DefaultName)
		return nil
	}
	namespaces := record.Range{Shard: record.ShardSystem, Tenant: tenant, Kind: record.KindNamespace}
	other := ""
	err := walk(m.kv, namespaces, 0, func(key, _ []byte) (bool, error) {
		k, _, err := record.DecodeVersionKey(key)
		if k.Name != DefaultName {
			other = k.Name
		}
		return err == nil && other == "", err
	})
	if err != nil {
		return err
	}
	if other != "" {
		refuse(r, record.StatusNotEmpty, "tenant %q has the namespace %q; delete it first", t.Tenant, other)
		return nil
	}
	id, err := m.namespaceID(tenant, DefaultName)
	if err != nil {
		return err
	}
	if empty, err := m.empty(tenant, id, DefaultName, r); err != nil || !empty {
		return err
	}
	m.beginPlan(record.ShardSystem, t.Writer, t.Trace, op.RequestID)
	for _, k := range [2]record.Key{namespaceKey(tenant, DefaultName), tenantKey(t.Tenant)} {
		if err := m.planSystemDelete(k); err != nil {
			return err
		}
	}
	if err := m.dropFederated(tenant, id); err != nil {
		return err
	}
	for _, namespace := range [2]uint32{id, 0} {
		if err := m.drop(tenant, namespace); err != nil {
			return err
		}
	}
	return m.commit()
}

// planSystem plans the creation of a tenant or namespace record; its number stands in the flags.
func (m *machine) planSystem(k record.Key, value []byte, id uint32) error {
	before, _, err := m.newest(k)
	if err != nil {
		return err
	}
	m.addChange(change{before: before, record: record.Record{
		Key: k, Value: value, CreateRevision: m.plan.revision, ModifyRevision: m.plan.revision, Version: 1,
		Attributes: record.Attributes{Flags: uint64(id)},
	}})
	return nil
}

func (m *machine) planSystemDelete(k record.Key) error {
	before, _, err := m.newest(k)
	if err != nil {
		return err
	}
	m.addDelete(k, before)
	return nil
}

// tenantValue is the stored supercluster.v1.Tenant {name = 1, uid = 3} of a tenant that came without a value. It is
// encoded by hand: what Apply stores must be the same bytes in every version.
func tenantValue(name string, uid [16]byte) []byte {
	return appendField(appendField(nil, 1, name), 3, hex.EncodeToString(uid[:]))
}

// namespaceValue is the stored supercluster.v1.Namespace {tenant = 1, name = 2}.
func namespaceValue(tenant, name string) []byte {
	return appendField(appendField(nil, 1, tenant), 2, name)
}

// appendField appends a string field of a protobuf message.
func appendField(dst []byte, number byte, s string) []byte {
	dst = binary.AppendUvarint(append(dst, number<<3|2), uint64(len(s)))
	return append(dst, s...)
}
