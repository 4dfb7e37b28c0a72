package registry

import (
	"google.golang.org/protobuf/proto"

	"supercluster/region/record"
)

func (s *step) setRegion(r *record.Record) bool {
	v, ok := decodeRegion(r, s.next.region)
	if ok {
		s.setRegions(s.next.regions.with(v))
	}
	return ok
}

func (s *step) removeRegion(name string) {
	id, ok := regionID(name)
	if !ok {
		return
	}
	if next, had := s.next.regions.without(id); had {
		s.setRegions(next)
	}
}

// setRegions takes a new table. What stands under a name that changed gets it when the step ends, once for all.
func (s *step) setRegions(next *regions) {
	s.renamed = append(s.renamed, s.next.regions.moved(next)...)
	s.next.regions = next
	s.changes.Regions = true
}

// relabel gives the instances of regions that were renamed the name that their region has now. It visits every
// service; names change rarely.
func (s *step) relabel() {
	if len(s.renamed) == 0 {
		return
	}
	for _, id := range s.next.spaces.Keys() {
		x, _ := s.next.spaces.Get(id)
		p := s.spaces[id] // nil: the step has not touched it
		names := x.services.Keys()
		if p != nil {
			for _, t := range p.order {
				names = append(names, t.view.Key.Name)
			}
		}
		for _, name := range names {
			sv, ok := x.services.Get(name)
			if p != nil {
				sv, ok = p.peek(name)
			}
			if !ok || len(sv.Local()) == len(sv.Instances) {
				continue
			}
			if p == nil {
				p = s.space(x.id)
			}
			s.relabelService(p, name)
		}
	}
}

func (s *step) relabelService(p *spaceStep, name string) {
	sv, _ := p.peek(name)
	for at := len(sv.Local()); at < len(sv.Instances); at++ {
		i := sv.Instances[at]
		label := s.label(i.Key.Scope, i.Origin)
		if i.Instance.GetRegion() == label {
			continue
		}
		t := p.service(name, 0)
		t.own()
		c := *i
		c.Instance = proto.CloneOf(i.Instance)
		c.Instance.Region = label
		t.view.Instances[at] = &c
		s.touched(p, name)
	}
}

// label is what answers call the region of an instance.
func (s *step) label(scope uint32, origin *record.Origin) string {
	if scope == record.ScopeRegion {
		return s.next.region
	}
	var home [16]byte
	if origin != nil {
		home = origin.Home
	}
	return s.next.regions.label(scope, home)
}
