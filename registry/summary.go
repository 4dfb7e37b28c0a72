package registry

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

// SummaryView is what another region says that it has of a service, in numbers. Nothing of it ever changes.
//
// Summaries stand beside the services and not in them: nobody can be sent to a number, so plans, xDS and DNS see the same
// whether there are summaries or not, and no change of one wakes them.
type SummaryView struct {
	// Alias is the number that stands for the region in the keys of this store.
	Alias    uint32
	Capacity *pb.CapacitySummary
	// Origin is where it came from.
	Origin record.Origin
	Meta
}

// Summaries lists what other regions say that they have of a service, by alias.
func (v *View) Summaries(k ServiceKey) []*SummaryView {
	s, ok := v.space(k.Tenant, k.Namespace)
	if !ok {
		return nil
	}
	all, _ := s.summaries.Get(k.Name)
	return all
}

// KnownService finds a service that exists here or that a summary names; one of which there is nothing else has no definition
// and no instances.
func (v *View) KnownService(k ServiceKey) (*ServiceView, bool) {
	if sv, ok := v.Service(k); ok {
		return sv, true
	}
	return &ServiceView{Key: k}, len(v.Summaries(k)) > 0
}

// KnownServices lists the services of a namespace that KnownService finds, by name.
func (v *View) KnownServices(tenant, namespace string) iter.Seq[*ServiceView] {
	return func(yield func(*ServiceView) bool) {
		s, ok := v.space(tenant, namespace)
		if !ok {
			return
		}
		alone, more := s.onlySummarized(), true
		s.services.Scan(func(name string, sv *ServiceView) bool {
			for more && len(alone) > 0 && alone[0].Key.Name < name {
				more, alone = yield(alone[0]), alone[1:]
			}
			more = more && yield(sv)
			return more
		})
		for ; more && len(alone) > 0; alone = alone[1:] {
			more = yield(alone[0])
		}
	}
}

// onlySummarized lists the services of which there is nothing but a summary, by name.
func (s *space) onlySummarized() (all []*ServiceView) {
	s.summaries.Scan(func(name string, _ []*SummaryView) bool {
		if _, exists := s.services.Get(name); !exists {
			all = append(all, &ServiceView{Key: s.key.Service(name)})
		}
		return true
	})
	return all
}

func (s *step) setSummary(p *spaceStep, r *record.Record) bool {
	sum, ok := decodeSummary(r)
	if !ok {
		return false
	}
	all, at, found := p.findSummary(r.Key.Name, r.Key.Scope)
	if all = slices.Clone(all); found {
		all[at] = sum
	} else {
		all = slices.Insert(all, at, sum)
	}
	p.ownSummaries()
	p.summaries.Set(r.Key.Name, all)
	return true
}

func (p *spaceStep) removeSummary(service string, alias uint32) {
	all, at, found := p.findSummary(service, alias)
	if !found {
		return
	}
	p.ownSummaries()
	if len(all) == 1 {
		p.summaries.Delete(service)
		return
	}
	p.summaries.Set(service, slices.Delete(slices.Clone(all), at, at+1))
}

func (p *spaceStep) findSummary(service string, alias uint32) (all []*SummaryView, at int, found bool) {
	all, _ = p.summaries.Get(service)
	at, found = slices.BinarySearchFunc(all, alias, func(s *SummaryView, alias uint32) int { return cmp.Compare(s.Alias, alias) })
	return all, at, found
}

func decodeSummary(r *record.Record) (*SummaryView, bool) {
	c := new(pb.CapacitySummary)
	if !storable(r.Key.Name) || strings.Contains(r.Key.Name, "/") || proto.Unmarshal(r.Value, c) != nil {
		return nil, false
	}
	c.Service = r.Key.Name
	return &SummaryView{Alias: r.Key.Scope, Capacity: c, Origin: r.Origin, Meta: metaOf(r)}, true
}
