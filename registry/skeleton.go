package registry

import (
	"iter"
	"net/netip"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// View is an immutable picture of the registry at a position.
type View struct {
	region string
	at     record.Positions
}

// Meta is where a record stands in the history of the store.
type Meta struct{ CreateRevision, ModifyRevision, Version uint64 }

// Counts are how many instances a service has, by health; draining ones are counted beside that.
type Counts struct{ Instances, Passing, Warning, Critical, Draining int }

// ServiceView is a service: its definition, if it has one, and its instances.
type ServiceView struct {
	Key            ServiceKey
	Definition     *pb.Service // nil when the service has none
	DefinitionMeta Meta
	Instances      []*InstanceView // ordered by id
	Counts         Counts
	Revision       uint64 // of the last change
}

// Instance finds an instance by its id.
func (s *ServiceView) Instance(id string) (*InstanceView, bool) { return nil, false }

// Port resolves a named port ("" = default) of an instance: its number.
func (s *ServiceView) Port(in *InstanceView, name string) (uint16, bool) { return 0, false }

// Protocol tells the protocol of a named port ("" = default), never unspecified; false: the service has no such port.
func (s *ServiceView) Protocol(port string) (pb.Protocol, bool) { return pb.Protocol_PROTOCOL_HTTP, true }

// Tags lists the tags of the instances, sorted.
func (s *ServiceView) Tags() []string { return nil }

// Zones lists the zones of the instances, sorted.
func (s *ServiceView) Zones() []string { return nil }

// InstanceView is an instance with its checks and their state.
type InstanceView struct {
	Key      InstanceKey
	Instance *pb.Instance
	Addr     netip.Addr
	Checks   []*pb.Check
	Status   []*pb.CheckStatus // same order as Checks; nil: not checked yet
	Health   pb.Health
	Meta
	// DrainUntil is when a draining instance is due to be removed, in Unix nanoseconds; 0 when nobody said.
	DrainUntil int64
}

// Answer gives a copy of the instance as the API shows it: checks, their status, health, region and meta filled in.
func (i *InstanceView) Answer(region string) *pb.Instance { return nil }

// RouteView is a route.
type RouteView struct {
	Key   RouteKey
	Route *pb.Route
	Meta
}

// Filter selects instances; empty fields select all.
type Filter struct {
	Service string
	Tag     string
	Zone    string
	Health  pb.Health
}

// Changes says what differs between two views.
type Changes struct {
	All      bool // everything may differ
	Services map[ServiceKey]struct{}
	Routes   map[NamespaceKey]struct{}
	Tenancy  bool
	Nodes    bool
}

// Merge adds the changes of a later step.
func (c *Changes) Merge(o Changes) {}

// Empty reports whether nothing changed.
func (c *Changes) Empty() bool { return false }

// Empty is the view of a region that has no records.
func Empty(region string) *View { return &View{region: region} }

// Build makes a view from the live records of the store at a position, in any order.
func Build(region string, at record.Positions, records iter.Seq[record.Record]) *View {
	return &View{region: region, at: at}
}

// Next gives the view after some commits, in their order, and what they changed.
func (v *View) Next(commits []record.Commit) (*View, Changes) { return v, Changes{} }

// Region names the region of the view.
func (v *View) Region() string { return v.region }

// At is the position that the view shows.
func (v *View) At() record.Positions { return v.at }

// Tenants lists the tenants by name, with Meta.
func (v *View) Tenants() iter.Seq[*pb.Tenant] { return func(func(*pb.Tenant) bool) {} }

// Tenant finds a tenant.
func (v *View) Tenant(name string) (*pb.Tenant, bool) { return nil, false }

// Namespaces lists the namespaces of a tenant by name, with Meta.
func (v *View) Namespaces(tenant string) iter.Seq[*pb.Namespace] {
	return func(func(*pb.Namespace) bool) {}
}

// Namespace finds a namespace.
func (v *View) Namespace(tenant, namespace string) (*pb.Namespace, bool) { return nil, false }

// NamespaceIDs gives the numeric ids that record keys carry.
func (v *View) NamespaceIDs(tenant, namespace string) (tenantID, namespaceID uint32, ok bool) {
	return 0, 0, false
}

// NamespaceNamed gives the names of numeric ids, as events carry them.
func (v *View) NamespaceNamed(tenantID, namespaceID uint32) (NamespaceKey, bool) {
	return NamespaceKey{}, false
}

// Resolve is NamespaceIDs with an error that says what does not exist and how to create it. field is the path
// of the message that names them ("instance", "" for the request itself). Empty names stand for `default`.
func (v *View) Resolve(field, tenant, namespace string) (NamespaceKey, error) {
	return NamespaceKey{}, nil
}

// Service finds a service: it exists once it has an instance or a definition.
func (v *View) Service(k ServiceKey) (*ServiceView, bool) { return nil, false }

// Services lists the services of a namespace by name.
func (v *View) Services(tenant, namespace string) iter.Seq[*ServiceView] {
	return func(func(*ServiceView) bool) {}
}

// AllServices lists the services of every namespace, by tenant, namespace and name.
func (v *View) AllServices() iter.Seq[*ServiceView] { return func(func(*ServiceView) bool) {} }

// ServicesTagged lists the services of a namespace that have an instance with a tag, by name.
func (v *View) ServicesTagged(tenant, namespace, tag string) iter.Seq[*ServiceView] {
	return func(func(*ServiceView) bool) {}
}

// Instance finds an instance.
func (v *View) Instance(k InstanceKey) (*InstanceView, bool) { return nil, false }

// Instances lists the instances of a namespace that a filter selects, by service and id.
func (v *View) Instances(tenant, namespace string, f Filter) iter.Seq[*InstanceView] {
	return func(func(*InstanceView) bool) {}
}

// Routes lists the routes of a namespace by name.
func (v *View) Routes(tenant, namespace string) iter.Seq[*RouteView] {
	return func(func(*RouteView) bool) {}
}

// Route finds a route.
func (v *View) Route(tenant, namespace, name string) (*RouteView, bool) { return nil, false }

// Nodes lists the servers of the region by name.
func (v *View) Nodes() []*pb.Node { return nil }

// InstanceCount is how many instances the view holds.
func (v *View) InstanceCount() int { return 0 }

// Undecodable is how many records are kept out of the view because they cannot be decoded.
func (v *View) Undecodable() int { return 0 }

// CreateTenantOp creates a tenant and its namespace `default`.
func CreateTenantOp(in *pb.Tenant, uid [16]byte, w Write) (record.Op, *pb.Tenant, error) {
	return record.Op{}, nil, nil
}

// DeleteTenantOp deletes a tenant that has only an empty namespace `default`.
func DeleteTenantOp(name string, w Write) (record.Op, error) { return record.Op{}, nil }

// CreateNamespaceOp creates a namespace of a tenant.
func CreateNamespaceOp(v *View, in *pb.Namespace, w Write) (record.Op, *pb.Namespace, error) {
	return record.Op{}, nil, nil
}

// DeleteNamespaceOp deletes an empty namespace.
func DeleteNamespaceOp(v *View, tenant, namespace string, w Write) (record.Op, error) {
	return record.Op{}, nil
}

// PutNodeOp writes the addresses of a server of the region.
func PutNodeOp(in *pb.Node, w Write) (record.Op, error) { return record.Op{}, nil }

// RegisterOp registers an instance and its checks in one transaction. The instance it answers has defaults and
// the server's fields filled in.
func RegisterOp(v *View, in *pb.Instance, w Write) (record.Op, *pb.Instance, error) {
	return record.Op{}, nil, nil
}

// DeregisterOp removes an instance, its checks and their status.
func DeregisterOp(v *View, k InstanceKey, w Write) (record.Op, error) { return record.Op{}, nil }

// DrainOp marks an instance as draining until a time; it holds only while the instance is as the view shows it.
func DrainOp(v *View, k InstanceKey, until time.Time, w Write) (record.Op, error) {
	return record.Op{}, nil
}

// RemoveDrainedOp removes an instance that is still draining as the view shows it: registering it again cancels.
func RemoveDrainedOp(in *InstanceView, w Write) record.Op { return record.Op{} }

// CheckStatusOp writes a transition of a check. It holds only while the check that in shows exists.
func CheckStatusOp(in *InstanceView, status *pb.CheckStatus, w Write) (record.Op, error) {
	return record.Op{}, nil
}

// PutServiceOp writes the definition of a service. expect 0 does not check the revision.
func PutServiceOp(v *View, in *pb.Service, expect uint64, w Write) (record.Op, *pb.Service, error) {
	return record.Op{}, nil, nil
}

// DeleteServiceOp removes the definition of a service; instances stay.
func DeleteServiceOp(v *View, k ServiceKey, expect uint64, w Write) (record.Op, error) {
	return record.Op{}, nil
}

// PutRouteOp writes a route.
func PutRouteOp(v *View, in *pb.Route, expect uint64, w Write) (record.Op, *pb.Route, error) {
	return record.Op{}, nil, nil
}

// DeleteRouteOp removes a route.
func DeleteRouteOp(v *View, k RouteKey, expect uint64, w Write) (record.Op, error) {
	return record.Op{}, nil
}

// Condition is what must hold for a put of a config entry.
type Condition struct {
	ExpectRevision uint64 // the entry is at this revision; 0 does not check
	CreateOnly     bool   // the entry does not exist
}

// PutConfigOp writes a config entry. The entry it answers has no value.
func PutConfigOp(v *View, in *pb.Config, c Condition, w Write) (record.Op, *pb.Config, error) {
	return record.Op{}, nil, nil
}

// DeleteConfigOp removes a config entry.
func DeleteConfigOp(v *View, k ConfigKey, expect uint64, w Write) (record.Op, error) {
	return record.Op{}, nil
}

// RollbackConfigOp writes the content of an older version again, as a new revision.
func RollbackConfigOp(v *View, k ConfigKey, old record.Record, expect uint64, w Write) (record.Op, *pb.Config, error) {
	return record.Op{}, nil, nil
}

// ConfigTxnOp makes the transaction of a request.
func ConfigTxnOp(v *View, req *pb.TxnRequest, w Write) (record.Op, error) { return record.Op{}, nil }

// ConfigTxnAnswer reads the result of a transaction that ConfigTxnOp made.
func ConfigTxnAnswer(v *View, req *pb.TxnRequest, res record.Result) *pb.TxnResponse { return nil }

// ConfigRecordKey is the store's key of a config entry; unknown tenants and namespaces, and bad names, are errors.
func ConfigRecordKey(v *View, k ConfigKey) (record.Key, error) { return record.Key{}, nil }

// ConfigRange is the store's range of the config entries of a namespace with a prefix.
func ConfigRange(v *View, tenant, namespace, prefix string) (record.Range, error) {
	return record.Range{}, nil
}

// ConfigAnswer gives a config entry as the API shows it.
func ConfigAnswer(k ConfigKey, region string, r record.Record) *pb.Config { return nil }

// Digest checks a value against its format and gives the SHA-256 of its canonical form, in hex.
func Digest(format pb.Format, value []byte) (string, error) { return "", nil }

// Outcome says whether a write did what it was for: a compare that did not hold is Exists or Conflict, a delete
// of what does not exist NotFound, a status other than OK its kind. Not for ConfigTxnOp, whose answer tells.
func Outcome(op record.Op, res record.Result) error { return fault.New(fault.Internal, "") }
