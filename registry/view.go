package registry

import (
	"encoding/binary"
	"iter"

	"github.com/tidwall/btree"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// View is an immutable picture of the registry at a position. Its maps share what did not change with the view
// before: a step copies the paths that it writes (see step.go).
type View struct {
	region string
	at     record.Positions

	tenants     *btree.Map[string, *pb.Tenant]
	tenantNames *btree.Map[uint32, string]
	// namespaces finds the numeric id of a namespace by its tenant's numeric id and its name.
	namespaces *btree.Map[string, uint32]
	// spaces hold what is in a namespace, by its numeric ids.
	spaces  *btree.Map[uint64, *space]
	nodes   *btree.Map[string, *pb.Node]
	regions *regions
	// undecodable names the live records that the view leaves out.
	undecodable *btree.Map[string, struct{}]
	instances   int
}

// space is what one namespace holds. Its key is zero while the namespace or its tenant has no record.
type space struct {
	id        spaceID
	key       NamespaceKey
	namespace *pb.Namespace

	services *btree.Map[string, *ServiceView]
	// orphans are checks and statuses whose instance is not there (yet), by slot.
	orphans *btree.Map[string, *InstanceView]
	routes  *btree.Map[string, *RouteView]
	// summaries are what other regions say that they have of a service, by its name, then by alias.
	summaries *btree.Map[string, []*SummaryView]
	index     index
}

func (s *space) isEmpty() bool {
	return s.namespace == nil && s.services.Len() == 0 && s.orphans.Len() == 0 && s.routes.Len() == 0 && s.summaries.Len() == 0
}

// Empty is the view of a region that has no records.
func Empty(region string) *View {
	return &View{
		region:      region,
		tenants:     &btree.Map[string, *pb.Tenant]{},
		tenantNames: &btree.Map[uint32, string]{},
		namespaces:  &btree.Map[string, uint32]{},
		spaces:      &btree.Map[uint64, *space]{},
		nodes:       &btree.Map[string, *pb.Node]{},
		regions:     onlyRegion(region),
		undecodable: &btree.Map[string, struct{}]{},
	}
}

// Build makes a view from the live records of the store at a position, in any order.
func Build(region string, at record.Positions, records iter.Seq[record.Record]) *View {
	b := NewBuilder(region)
	for r := range records {
		b.Add(r)
	}
	return b.View(at)
}

// Builder makes a view from records as they come; it keeps nothing of their values. One goroutine uses it.
type Builder struct{ step *step }

// NewBuilder starts with an empty view.
func NewBuilder(region string) *Builder { return &Builder{begin(Empty(region))} }

// Add takes a live record in; one of a kind that the view does not show is left out.
func (b *Builder) Add(r record.Record) {
	if !r.Deleted {
		b.step.put(&r)
	}
}

// View gives the view at a position. The Builder must not be used afterwards.
func (b *Builder) View(at record.Positions) *View {
	v, _ := b.step.finish()
	v.at = at
	return v
}

// Kinds are the kinds of records that views show.
func Kinds() []record.Kind {
	return []record.Kind{
		record.KindTenant, record.KindNamespace, record.KindNode, record.KindRegion, record.KindService,
		record.KindInstance, record.KindCheck, record.KindCheckStatus, record.KindRoute, record.KindSummary,
	}
}

// Next gives the view after some commits, in their order, and what they changed. Commits that the view shows
// already are skipped. v stays as it is.
func (v *View) Next(commits []record.Commit) (*View, Changes) {
	s := begin(v)
	for i := range commits {
		s.commit(&commits[i])
	}
	return s.finish()
}

// Region names the region of the view.
func (v *View) Region() string { return v.region }

// At is the position that the view shows.
func (v *View) At() record.Positions { return v.at }

// InstanceCount is how many instances the view holds, of all regions.
func (v *View) InstanceCount() int { return v.instances }

// Undecodable is how many records are kept out of the view because they cannot be decoded.
func (v *View) Undecodable() int { return v.undecodable.Len() }

// Tenants lists the tenants by name, with Meta.
func (v *View) Tenants() iter.Seq[*pb.Tenant] {
	return func(yield func(*pb.Tenant) bool) {
		v.tenants.Scan(func(_ string, t *pb.Tenant) bool { return yield(t) })
	}
}

// TenantName names a tenant by its numeric id.
func (v *View) TenantName(id uint32) (string, bool) { return v.tenantNames.Get(id) }

// Tenant finds a tenant.
func (v *View) Tenant(name string) (*pb.Tenant, bool) { return v.tenants.Get(name) }

// Namespaces lists the namespaces of a tenant by name, with Meta.
func (v *View) Namespaces(tenant string) iter.Seq[*pb.Namespace] {
	return func(yield func(*pb.Namespace) bool) {
		v.eachSpace(tenant, func(s *space) bool { return yield(s.namespace) })
	}
}

// Namespace finds a namespace.
func (v *View) Namespace(tenant, namespace string) (*pb.Namespace, bool) {
	s, ok := v.space(tenant, namespace)
	if !ok {
		return nil, false
	}
	return s.namespace, true
}

// NamespaceIDs gives the numeric ids that record keys carry.
func (v *View) NamespaceIDs(tenant, namespace string) (tenantID, namespaceID uint32, ok bool) {
	s, ok := v.space(tenant, namespace)
	if !ok {
		return 0, 0, false
	}
	return s.id.tenant, s.id.namespace, true
}

// NamespaceNamed gives the names of numeric ids, as events carry them.
func (v *View) NamespaceNamed(tenantID, namespaceID uint32) (NamespaceKey, bool) {
	s, ok := v.spaces.Get(spaceID{tenantID, namespaceID}.packed())
	if !ok || s.key == (NamespaceKey{}) {
		return NamespaceKey{}, false
	}
	return s.key, true
}

// Resolve finds a namespace, with an error that says what does not exist and how to create it. message is the
// path of the message that names them, empty for the request itself. Empty names stand for `default`.
func (v *View) Resolve(message, tenant, namespace string) (NamespaceKey, error) {
	k := NamespaceOf(tenant, namespace)
	if _, ok := v.space(k.Tenant, k.Namespace); ok {
		return k, nil // what exists has a good name
	}
	if err := label(dotted(message, "tenant"), k.Tenant); err != nil {
		return k, err
	}
	if err := unreservedLabel(dotted(message, "namespace"), k.Namespace); err != nil {
		return k, err
	}
	if _, ok := v.tenants.Get(k.Tenant); !ok {
		return k, v.unknownTenant(dotted(message, "tenant"), k.Tenant)
	}
	err := fault.New(fault.NotFound, "tenant %q has no namespace %q", k.Tenant, k.Namespace).
		WithHint("create it: supercluster namespace create %s --tenant %s", k.Namespace, k.Tenant)
	err.Field = dotted(message, "namespace")
	return k, err
}

func (v *View) unknownTenant(field, name string) error {
	err := fault.New(fault.NotFound, "there is no tenant %q", name).
		WithHint("create it: supercluster tenant create %s", name)
	err.Field = field
	return err
}

// resolve is Resolve with the numeric ids.
func (v *View) resolve(message, tenant, namespace string) (NamespaceKey, spaceID, error) {
	k := NamespaceOf(tenant, namespace)
	if s, ok := v.space(k.Tenant, k.Namespace); ok {
		return k, s.id, nil
	}
	_, err := v.Resolve(message, tenant, namespace)
	return k, spaceID{}, err
}

// Service finds a service: it exists once it has an instance or a definition.
func (v *View) Service(k ServiceKey) (*ServiceView, bool) {
	s, ok := v.space(k.Tenant, k.Namespace)
	if !ok {
		return nil, false
	}
	return s.services.Get(k.Name)
}

// Services lists the services of a namespace by name.
func (v *View) Services(tenant, namespace string) iter.Seq[*ServiceView] {
	return func(yield func(*ServiceView) bool) {
		if s, ok := v.space(tenant, namespace); ok {
			s.services.Scan(func(_ string, sv *ServiceView) bool { return yield(sv) })
		}
	}
}

// AllServices lists the services of every namespace, by tenant, namespace and name.
func (v *View) AllServices() iter.Seq[*ServiceView] {
	return func(yield func(*ServiceView) bool) {
		more := true
		v.tenants.Scan(func(tenant string, _ *pb.Tenant) bool {
			v.eachSpace(tenant, func(s *space) bool {
				s.services.Scan(func(_ string, sv *ServiceView) bool {
					more = yield(sv)
					return more
				})
				return more
			})
			return more
		})
	}
}

// Instance finds an instance.
func (v *View) Instance(k InstanceKey) (*InstanceView, bool) {
	s, ok := v.Service(k.Service)
	if !ok {
		return nil, false
	}
	return s.InstanceIn(k.Scope, k.ID)
}

// Routes lists the routes of a namespace by name.
func (v *View) Routes(tenant, namespace string) iter.Seq[*RouteView] {
	return func(yield func(*RouteView) bool) {
		if s, ok := v.space(tenant, namespace); ok {
			s.routes.Scan(func(_ string, rv *RouteView) bool { return yield(rv) })
		}
	}
}

// Route finds a route.
func (v *View) Route(tenant, namespace, name string) (*RouteView, bool) {
	s, ok := v.space(tenant, namespace)
	if !ok {
		return nil, false
	}
	return s.routes.Get(name)
}

// Nodes lists the servers of the region by name.
func (v *View) Nodes() []*pb.Node { return v.nodes.Values() }

// space finds a namespace by its names.
func (v *View) space(tenant, namespace string) (*space, bool) {
	t, ok := v.tenants.Get(tenant)
	if !ok {
		return nil, false
	}
	id, ok := v.namespaces.Get(namespaceIndex(t.GetId(), namespace))
	if !ok {
		return nil, false
	}
	return v.spaces.Get(spaceID{t.GetId(), id}.packed())
}

// eachSpace visits the namespaces of a tenant by name.
func (v *View) eachSpace(tenant string, visit func(*space) bool) {
	t, ok := v.tenants.Get(tenant)
	if !ok {
		return
	}
	prefix := namespaceIndex(t.GetId(), "")
	v.namespaces.Ascend(prefix, func(k string, id uint32) bool {
		if k[:len(prefix)] != prefix {
			return false
		}
		s, ok := v.spaces.Get(spaceID{t.GetId(), id}.packed())
		return !ok || visit(s)
	})
}

// namespaceIndex orders namespaces by tenant id, then name.
func namespaceIndex(tenant uint32, name string) string {
	return string(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(name)), tenant)) + name
}

// RouteView is a route.
type RouteView struct {
	Key   RouteKey
	Route *pb.Route // with tenant, namespace and name; never changed
	// Origin is where it came from, nil when it was written here.
	Origin *record.Origin
	Meta
}

// Meta is where a record stands in the history of the store.
type Meta struct{ CreateRevision, ModifyRevision, Version uint64 }

func metaOf(r *record.Record) Meta {
	return Meta{CreateRevision: r.CreateRevision, ModifyRevision: r.ModifyRevision, Version: r.Version}
}

// Answer gives the meta of an answer.
func (m Meta) Answer(region string) *pb.Meta {
	return &pb.Meta{
		CreateRevision: m.CreateRevision, ModifyRevision: m.ModifyRevision, Version: m.Version, Region: region,
	}
}
