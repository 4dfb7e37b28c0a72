package registry

import (
	"encoding/binary"

	"supercluster/region/record"
)

// step builds the next view. It copies what it writes, once, and shares the rest with the view before; a service
// that many commits touch is copied once for all of them.
type step struct {
	next    *View
	spaces  map[uint64]*spaceStep
	order   []*spaceStep // as they were touched
	changes Changes

	// renamed are the aliases of regions whose name differs from the view before.
	renamed []uint32
	// What the step has a copy of; most steps need neither.
	ownsSystem, ownsUndecodable bool
}

// begin starts a step from a view. Copying a map takes constant time: its nodes are copied when written.
func begin(v *View) *step {
	next := *v
	next.spaces = v.spaces.Copy()
	return &step{next: &next, spaces: map[uint64]*spaceStep{}}
}

// ownSystem copies the maps of tenants, namespaces and nodes before the first write to one of them.
func (s *step) ownSystem() {
	if s.ownsSystem {
		return
	}
	s.ownsSystem = true
	v := s.next
	v.tenants, v.tenantNames, v.namespaces, v.nodes = v.tenants.Copy(), v.tenantNames.Copy(), v.namespaces.Copy(), v.nodes.Copy()
}

// mark notes whether a record is kept out of the view.
func (s *step) mark(k record.Key, bad bool) {
	if !bad && s.next.undecodable.Len() == 0 {
		return
	}
	if !s.ownsUndecodable {
		s.next.undecodable, s.ownsUndecodable = s.next.undecodable.Copy(), true
	}
	if bad {
		s.next.undecodable.Set(packed(k), struct{}{})
	} else {
		s.next.undecodable.Delete(packed(k))
	}
}

// finish ends the step; it must not be used afterwards.
func (s *step) finish() (*View, Changes) {
	s.relabel()
	for _, p := range s.order {
		p.finish()
		if p.isEmpty() {
			s.next.spaces.Delete(p.id.packed())
		}
	}
	return s.next, s.changes
}

func (s *step) commit(c *record.Commit) {
	if c.Position.Revision <= s.next.at.Of(c.Position.Shard) {
		return
	}
	for i := range c.Events {
		if e := &c.Events[i]; e.Type == record.EventPut {
			s.put(&e.Record)
		} else {
			s.remove(e.Record.Key, c.Position.Revision)
		}
	}
	s.next.at = s.next.at.With(c.Position.Shard, c.Position.Revision)
}

// put takes a record in. One that cannot be decoded counts as absent, also if there was a good one before it.
func (s *step) put(r *record.Record) {
	if !concerns(r.Key) {
		return
	}
	ok := s.set(r)
	if !ok {
		s.remove(r.Key, r.ModifyRevision)
	}
	s.mark(r.Key, !ok)
}

// packed gives a key as a map key.
func packed(k record.Key) string {
	b := make([]byte, 0, 18+len(k.Name))
	b = binary.BigEndian.AppendUint32(b, k.Shard)
	b = binary.BigEndian.AppendUint32(b, k.Tenant)
	b = binary.BigEndian.AppendUint32(b, k.Namespace)
	b = binary.BigEndian.AppendUint16(b, uint16(k.Kind))
	b = binary.BigEndian.AppendUint32(b, k.Scope)
	return string(append(b, k.Name...))
}

// set takes a record in; false: it cannot be decoded, and nothing changed.
func (s *step) set(r *record.Record) bool {
	if r.Key.Shard == record.ShardSystem {
		s.ownSystem()
	}
	switch r.Key.Kind {
	case record.KindTenant:
		return s.setTenant(r)
	case record.KindNamespace:
		return s.setNamespace(r)
	case record.KindNode:
		n, ok := decodeNode(r)
		if ok {
			s.next.nodes.Set(n.GetName(), n)
			s.changes.Nodes = true
		}
		return ok
	case record.KindRegion:
		return s.setRegion(r)
	}
	p := s.space(spaceID{r.Key.Tenant, r.Key.Namespace})
	switch r.Key.Kind {
	case record.KindService:
		return s.setDefinition(p, r)
	case record.KindInstance:
		return s.setInstance(p, r)
	case record.KindCheck:
		return s.setCheck(p, r)
	case record.KindCheckStatus:
		return s.setStatus(p, r)
	case record.KindSummary:
		return s.setSummary(p, r)
	default:
		return s.setRoute(p, r)
	}
}

// remove takes a record out, decodable or not.
func (s *step) remove(k record.Key, revision uint64) {
	if !concerns(k) {
		return
	}
	s.mark(k, false)
	if k.Shard == record.ShardSystem {
		s.ownSystem()
	}
	switch k.Kind {
	case record.KindTenant:
		s.removeTenant(k.Name)
	case record.KindNamespace:
		s.removeNamespace(k.Tenant, k.Name)
	case record.KindNode:
		if _, was := s.next.nodes.Delete(k.Name); was {
			s.changes.Nodes = true
		}
	case record.KindRegion:
		s.removeRegion(k.Name)
	default:
		s.removeIn(s.space(spaceID{k.Tenant, k.Namespace}), k, revision)
	}
}

func (s *step) removeIn(p *spaceStep, k record.Key, revision uint64) {
	switch k.Kind {
	case record.KindService:
		if sv, ok := p.peek(k.Name); ok && sv.Definition != nil {
			t := p.service(k.Name, revision)
			t.view.Definition, t.view.DefinitionMeta, t.view.DefinitionOrigin = nil, Meta{}, nil
			s.touched(p, k.Name)
		}
	case record.KindInstance:
		if service, id, ok := SplitInstanceName(k.Name); ok {
			s.removeInstance(p, slot{k.Scope, service, id}, revision)
		}
	case record.KindCheck:
		if service, id, check, ok := SplitCheckName(k.Name); ok {
			s.changePart(p, slot{k.Scope, service, id}, check, revision, func(x *part) { x.check, x.meta, x.checkAt = nil, Meta{}, written{} })
		}
	case record.KindCheckStatus:
		if service, id, check, ok := SplitCheckName(k.Name); ok {
			s.changePart(p, slot{k.Scope, service, id}, check, revision, func(x *part) { x.status, x.statusAt = nil, written{} })
		}
	case record.KindSummary:
		p.removeSummary(k.Name, k.Scope)
	case record.KindRoute:
		p.ownRoutes()
		if _, was := p.routes.Delete(k.Name); was {
			s.changes.routes(p.key)
		}
	}
}

func (s *step) setDefinition(p *spaceStep, r *record.Record) bool {
	d, ok := decodeService(r, p.key)
	if !ok {
		return false
	}
	t := p.service(r.Key.Name, r.ModifyRevision)
	t.view.Definition, t.view.DefinitionMeta, t.view.DefinitionOrigin = d, metaOf(r), originOf(r)
	s.touched(p, r.Key.Name)
	return true
}

func (s *step) setRoute(p *spaceStep, r *record.Record) bool {
	rv, ok := decodeRoute(r, p.key)
	if !ok {
		return false
	}
	p.ownRoutes()
	p.routes.Set(r.Key.Name, rv)
	s.changes.routes(p.key)
	return true
}

func (s *step) setInstance(p *spaceStep, r *record.Record) bool {
	i, ok := decodeInstance(r, p.key)
	if !ok {
		return false
	}
	i.Instance.Region = s.label(i.Key.Scope, i.Origin)
	at := slotOf(i.Key)
	if was, ok := p.slot(at); ok {
		i.parts = was.parts
	}
	i.settle()
	s.setSlot(p, at, r.ModifyRevision, i)
	return true
}

// removeInstance takes an instance out; checks that are still there wait for their own removal, or for it to
// come back.
func (s *step) removeInstance(p *spaceStep, at slot, revision uint64) {
	was, ok := p.slot(at)
	if !ok || was.Instance == nil {
		return
	}
	s.setSlot(p, at, revision, &InstanceView{Key: was.Key, space: was.space, parts: was.parts})
}

func (s *step) setCheck(p *spaceStep, r *record.Record) bool {
	service, id, check, ok := splitCheck(r)
	if !ok {
		return false
	}
	c, ok := decodeCheck(r, check)
	if !ok {
		return false
	}
	s.changePart(p, slot{r.Key.Scope, service, id}, check, r.ModifyRevision, func(x *part) {
		x.check, x.meta, x.checkAt = c, metaOf(r), writtenAt(r)
	})
	return true
}

func (s *step) setStatus(p *spaceStep, r *record.Record) bool {
	service, id, check, ok := splitCheck(r)
	if !ok {
		return false
	}
	status, ok := decodeStatus(r, check)
	if !ok {
		return false
	}
	s.changePart(p, slot{r.Key.Scope, service, id}, check, r.ModifyRevision, func(x *part) {
		x.status, x.statusAt = status, writtenAt(r)
	})
	return true
}

// changePart changes what there is of one check. The instance need not be there (yet).
func (s *step) changePart(p *spaceStep, at slot, check string, revision uint64, change func(*part)) {
	was, ok := p.slot(at)
	if !ok {
		was = &InstanceView{Key: p.key.Service(at.service).InstanceIn(at.scope, at.id), space: p.id}
	}
	s.setSlot(p, at, revision, was.withPart(check, change))
}

// setSlot puts what there is of an instance where it belongs: into its service, among the orphans, or nowhere.
func (s *step) setSlot(p *spaceStep, at slot, revision uint64, now *InstanceView) {
	was, _ := p.slot(at)
	if now.Instance == nil && len(now.parts) > 0 {
		p.ownOrphans()
		p.orphans.Set(at.packed(), now)
	} else if p.orphans.Len() > 0 {
		p.ownOrphans()
		p.orphans.Delete(at.packed())
	}
	was, now = present(was), present(now)
	if was == nil && now == nil {
		return
	}
	p.service(at.service, revision).replace(was, now)
	p.index.replace(was, now)
	s.touched(p, at.service)
	switch {
	case was == nil:
		s.next.instances++
	case now == nil:
		s.next.instances--
	}
}

// present gives an instance whose record is there, else nil.
func present(i *InstanceView) *InstanceView {
	if i == nil || i.Instance == nil {
		return nil
	}
	return i
}

// touched notes a service as changed; what nobody can name yet is no change.
func (s *step) touched(p *spaceStep, service string) {
	if p.key != (NamespaceKey{}) {
		s.changes.service(p.key.Service(service))
	}
}
