package xds

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"supercluster/federation/plan"
	"supercluster/registry"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// publisher turns views into published resources. It builds only for tenants and kinds of clients that have ever
// connected, and each resource once for all of them.
type publisher struct {
	world  *world
	region string
	log    *slog.Logger
	stats  *stats

	mu      sync.Mutex
	view    *registry.View // nil before the first
	reach   *plan.Reach
	held    holding
	tenants map[string]*tenancy
}

// tenancy is a tenant that has, or had, clients.
type tenancy struct {
	mesh   *ir.Mesh
	spaces [flavours]*published
}

// published is what the publisher knows of a space.
type published struct {
	flavour  flavour
	space    *space
	clusters map[string]bool // those that passed validation
	groups   map[groupKey]*group
	listens  map[string]*listening
}

// groupKey names an audience, listeners aside.
type groupKey struct {
	role      ir.Role
	namespace string
}

// group is the clients of one role and namespace: they share everything but listeners.
type group struct {
	key    groupKey
	scopes [resources.Types]*scope
	refs   int
}

// listening is the clients of a group that listen on one address.
type listening struct {
	scope *scope
	refs  int
}

// audience is what one client hears of. release gives it back.
type audience struct {
	space   *space
	scopes  [resources.Types]*scope
	release func()
}

func newPublisher(w *world, region string, log *slog.Logger, st *stats) *publisher {
	return &publisher{world: w, region: region, log: log, stats: st, held: newHolding(), tenants: map[string]*tenancy{}}
}

// ready reports whether there is anything to publish from.
func (p *publisher) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view != nil
}

// apply publishes what differs between the view before and this one.
func (p *publisher) apply(v *registry.View, c registry.Changes) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.view != nil {
		c = p.keepBack(p.view, v, c)
	}
	p.view = v
	p.step(c)
}

// applyReach publishes what another order of the regions changes. When a region goes that is all of its services: they are
// planned in parts, and what changes meanwhile waits for a part and not for all of them.
func (p *publisher) applyReach(r *plan.Reach) {
	p.moveTo(r)
	p.settle()
}

// moveTo notes an order of the regions, and what it has to be planned again.
func (p *publisher) moveTo(r *plan.Reach) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.reach
	p.reach = r
	if p.view == nil {
		return
	}
	p.step(registry.Changes{})
	if returned(p.view, before, r) {
		p.owe(p.held.take())
	}
}

// owe has the services of some changes planned in parts.
func (p *publisher) owe(keys []registry.ServiceKey) {
	for _, t := range p.tenants {
		t.mesh.Owe(keys)
	}
}

// settle plans and publishes what is owed.
func (p *publisher) settle() {
	for p.settlePart() {
	}
}

// What is owed is planned for partTime at once, the time that a change may wait for it, in units of settleUnit services: the
// lock goes to who waits for it in between.
const (
	partTime   = 5 * time.Millisecond
	settleUnit = 16
)

// settlePart publishes a part of what is owed; false: nothing is owed any more.
func (p *publisher) settlePart() (more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	began := time.Now()
	for _, name := range sortedKeys(p.tenants) {
		t := p.tenants[name]
		var parts [flavours]batch
		for t.mesh.Owes() && time.Since(began) < partTime {
			d := t.mesh.Settle(p.view, settleUnit)
			p.stats.planned.Add(uint64(d.Planned))
			for n, sp := range t.spaces {
				if sp != nil {
					parts[n].add(p.changes(t.mesh, sp, d))
				}
			}
		}
		for n, sp := range t.spaces {
			if sp != nil {
				p.stats.changed.Add(uint64(p.world.publish(sp.space, parts[n])))
			}
		}
		more = more || t.mesh.Owes()
	}
	return more
}

// step takes every tenant to the view and the order of regions.
func (p *publisher) step(c registry.Changes) {
	for _, name := range sortedKeys(p.tenants) {
		t := p.tenants[name]
		d := t.mesh.Step(p.view, p.reach, c)
		p.stats.planned.Add(uint64(d.Planned))
		if d.Empty() {
			continue
		}
		for _, sp := range t.spaces {
			if sp != nil {
				p.stats.changed.Add(uint64(p.world.publish(sp.space, p.changes(t.mesh, sp, d))))
			}
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// changes builds what a diff touches.
func (p *publisher) changes(m *ir.Mesh, sp *published, d ir.Diff) batch {
	var b batch
	for _, name := range d.Clusters {
		if c, ok := m.Cluster(name); ok {
			p.cluster(&b, sp, c)
			continue
		}
		delete(sp.clusters, name)
		b.drops = append(b.drops, drop{resources.Cluster, name})
		if sp.flavour == forGRPC {
			b.drops = append(b.drops, drop{resources.Listener, name}, drop{resources.Route, name})
		}
	}
	all := make([]*ir.Endpoints, 0, len(d.Endpoints))
	for _, name := range d.Endpoints {
		if e := m.Endpoints(name); e != nil {
			all = append(all, e)
		} else {
			b.drops = append(b.drops, drop{resources.Endpoint, name})
		}
	}
	p.endpoints(&b, sp, all)
	for _, g := range sp.sortedGroups() {
		if slices.Contains(d.Namespaces, g.key.namespace) {
			p.group(&b, sp, m, g)
		}
	}
	return b
}

func (sp *published) sortedGroups() []*group {
	groups := make([]*group, 0, len(sp.groups))
	for _, g := range sp.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int {
		if c := strings.Compare(a.key.namespace, b.key.namespace); c != 0 {
			return c
		}
		return strings.Compare(string(a.key.role), string(b.key.role))
	})
	return groups
}

// cluster builds a cluster, and for gRPC clients the listener and routes that lead to it.
func (p *publisher) cluster(b *batch, sp *published, c ir.Cluster) {
	if sp.flavour == forEnvoy {
		if p.put(b, resources.Cluster)(resources.EnvoyCluster(c)) {
			sp.clusters[c.Name] = true
		}
		return
	}
	if p.put(b, resources.Cluster)(resources.GRPCCluster(c)) {
		sp.clusters[c.Name] = true
		p.put(b, resources.Route)(resources.GRPCRoutes(c))
		p.put(b, resources.Listener)(resources.GRPCListener(c))
	}
}

// manyEndpoints is from how many clusters on their endpoints are built on several cores.
const manyEndpoints = 8

// endpoints builds the endpoints of clusters: nothing else is built so often, and each is built by itself.
func (p *publisher) endpoints(b *batch, sp *published, all []*ir.Endpoints) {
	build := resources.EnvoyEndpoints
	if sp.flavour == forGRPC {
		build = resources.GRPCEndpoints
	}
	built, errs := make([]*resources.Resource, len(all)), make([]error, len(all))
	onCores(len(all), manyEndpoints, func(n int) { built[n], errs[n] = build(all[n]) })
	for n := range all {
		p.put(b, resources.Endpoint)(built[n], errs[n])
	}
}

// put adds a built resource to a batch. One that is not valid is left out: its last good bytes stay published.
func (p *publisher) put(b *batch, t resources.Type) func(*resources.Resource, error) bool {
	return func(r *resources.Resource, err error) bool {
		p.stats.built.Add(1)
		if err != nil {
			p.stats.invalid.Add(1)
			p.log.Error("xds: a resource is not valid; its last good form stays", "type", t.String(), "error", err)
			return false
		}
		b.puts = append(b.puts, put{t, r})
		return true
	}
}

// group rebuilds what a whole namespace decides: who hears of what, and an Envoy's routes.
func (p *publisher) group(b *batch, sp *published, m *ir.Mesh, g *group) {
	members := m.Members(g.key.role, g.key.namespace)
	kinds := []resources.Type{resources.Cluster, resources.Endpoint}
	if g.key.role == ir.RoleGRPC {
		kinds = append(kinds, resources.Listener, resources.Route)
	} else {
		has := func(cluster string) bool { return sp.clusters[cluster] }
		table := m.Table(g.key.role, g.key.namespace)
		p.put(b, resources.Route)(resources.EnvoyRoutes(g.key.role, g.key.namespace, table, has))
		name := resources.RouteName(g.key.role, g.key.namespace)
		b.members = append(b.members, membership{resources.Route, g.scopes[resources.Route], []string{name}})
	}
	for _, t := range kinds {
		b.members = append(b.members, membership{t, g.scopes[t], members})
	}
}
