package registry

import (
	"encoding/binary"
	"slices"

	"github.com/tidwall/btree"
	"google.golang.org/protobuf/proto"
)

// spaceStep is the copy of a namespace that a step writes to.
type spaceStep struct {
	*space
	steps map[string]*serviceStep
	order []*serviceStep // as they were touched

	// What the step has a copy of; services and index it always has.
	ownsOrphans, ownsRoutes, ownsSummaries bool
}

func (p *spaceStep) ownOrphans() {
	if !p.ownsOrphans {
		p.orphans, p.ownsOrphans = p.orphans.Copy(), true
	}
}

func (p *spaceStep) ownRoutes() {
	if !p.ownsRoutes {
		p.routes, p.ownsRoutes = p.routes.Copy(), true
	}
}

func (p *spaceStep) ownSummaries() {
	if !p.ownsSummaries {
		p.summaries, p.ownsSummaries = p.summaries.Copy(), true
	}
}

// space gives the step's copy of a namespace, made at its first use.
func (s *step) space(id spaceID) *spaceStep {
	if p, ok := s.spaces[id.packed()]; ok {
		return p
	}
	c := &space{id: id}
	if old, ok := s.next.spaces.Get(id.packed()); ok {
		*c = *old
		c.services = old.services.Copy()
		c.index = index{old.index.keys.Copy()}
	} else {
		c.services = &btree.Map[string, *ServiceView]{}
		c.orphans = &btree.Map[string, *InstanceView]{}
		c.routes = &btree.Map[string, *RouteView]{}
		c.summaries = &btree.Map[string, []*SummaryView]{}
		c.index = index{&btree.Map[string, struct{}]{}}
	}
	s.next.spaces.Set(id.packed(), c)
	p := &spaceStep{space: c, steps: map[string]*serviceStep{}}
	s.spaces[id.packed()] = p
	s.order = append(s.order, p)
	return p
}

// finish publishes the services that were touched. One without instances and definition does not exist.
func (p *spaceStep) finish() {
	for _, t := range p.order {
		if len(t.view.Instances) == 0 && t.view.Definition == nil {
			p.services.Delete(t.view.Key.Name)
		} else {
			p.services.Set(t.view.Key.Name, t.view)
		}
	}
}

// peek shows a service as it is in this step.
func (p *spaceStep) peek(name string) (*ServiceView, bool) {
	if t, ok := p.steps[name]; ok {
		return t.view, true
	}
	return p.services.Get(name)
}

// slot names an instance within a namespace.
type slot struct {
	scope       uint32
	service, id string
}

func slotOf(k InstanceKey) slot { return slot{k.Scope, k.Service.Name, k.ID} }

// packed gives a slot as a map key.
func (at slot) packed() string {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 5+len(at.service)+len(at.id)), at.scope)
	return string(append(append(append(b, at.service...), '/'), at.id...))
}

// slot finds what there is of an instance: itself, or checks and statuses that wait for it.
func (p *spaceStep) slot(at slot) (*InstanceView, bool) {
	if sv, ok := p.peek(at.service); ok {
		if i, ok := sv.InstanceIn(at.scope, at.id); ok {
			return i, true
		}
	}
	if p.orphans.Len() == 0 {
		return nil, false
	}
	return p.orphans.Get(at.packed())
}

// serviceStep is the copy of a service that a step writes to.
type serviceStep struct {
	view *ServiceView
	// owned: the list of instances is a copy too.
	owned bool
}

// service gives the step's copy of a service, made at its first use, changed at a revision.
func (p *spaceStep) service(name string, revision uint64) *serviceStep {
	t, ok := p.steps[name]
	if !ok {
		t = &serviceStep{view: &ServiceView{Key: p.key.Service(name)}}
		if old, ok := p.services.Get(name); ok {
			*t.view = *old
		}
		p.steps[name] = t
		p.order = append(p.order, t)
	}
	t.view.Revision = max(t.view.Revision, revision)
	return t
}

func (t *serviceStep) own() {
	if !t.owned {
		t.view.Instances, t.owned = slices.Clone(t.view.Instances), true
	}
}

// replace puts an instance in the place of another of the same key; either may be nil.
func (t *serviceStep) replace(was, now *InstanceView) {
	t.own()
	v := t.view
	switch {
	case was == nil:
		at, _ := v.find(now.Key.Scope, now.Key.ID)
		v.Instances = slices.Insert(v.Instances, at, now)
	case now == nil:
		at, _ := v.find(was.Key.Scope, was.Key.ID)
		v.Instances = slices.Delete(v.Instances, at, at+1)
	default:
		at, _ := v.find(now.Key.Scope, now.Key.ID)
		v.Instances[at] = now
	}
	v.add(was, -1)
	v.add(now, 1)
	if was == nil || now == nil || was.Instance != now.Instance {
		t.count(was, -1)
		t.count(now, 1)
	}
}

// count adds the labels of an instance n times.
func (t *serviceStep) count(i *InstanceView, n int) {
	if i == nil {
		return
	}
	for _, tag := range i.Instance.GetTags() {
		t.view.tags = t.view.tags.add(tag, n)
	}
	if zone := i.Instance.GetZone(); zone != "" {
		t.view.zones = t.view.zones.add(zone, n)
	}
	for _, port := range sortedKeys(i.Instance.GetPorts()) {
		t.view.ports = t.view.ports.add(port, n)
	}
}

// rekey gives everything in a namespace its names anew, after the namespace or its tenant came, went or was made
// again. The store creates them before what they hold, so this is rare.
func (p *spaceStep) rekey(key NamespaceKey) {
	p.key = key
	names := p.services.Keys()
	for _, t := range p.order {
		names = append(names, t.view.Key.Name)
	}
	for _, name := range names {
		p.rekeyService(name)
	}
	p.ownOrphans()
	for _, name := range p.orphans.Keys() {
		i, _ := p.orphans.Get(name)
		c := *i
		c.Key.Service.Tenant, c.Key.Service.Namespace = key.Tenant, key.Namespace
		p.orphans.Set(name, &c)
	}
	p.ownRoutes()
	for _, name := range p.routes.Keys() {
		old, _ := p.routes.Get(name)
		c := *old
		c.Key, c.Route = key.Route(name), proto.CloneOf(old.Route)
		c.Route.Tenant, c.Route.Namespace = key.Tenant, key.Namespace
		p.routes.Set(name, &c)
	}
}

func (p *spaceStep) rekeyService(name string) {
	t := p.service(name, 0)
	t.own()
	t.view.Key = p.key.Service(name)
	if d := t.view.Definition; d != nil {
		d = proto.CloneOf(d)
		d.Tenant, d.Namespace = p.key.Tenant, p.key.Namespace
		t.view.Definition = d
	}
	for at, i := range t.view.Instances {
		c := *i
		c.Key.Service, c.Instance = t.view.Key, proto.CloneOf(i.Instance)
		c.Instance.Tenant, c.Instance.Namespace = p.key.Tenant, p.key.Namespace
		t.view.Instances[at] = &c
	}
}
