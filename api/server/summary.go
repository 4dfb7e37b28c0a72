package server

import (
	"slices"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
)

// summariesOf gives what other regions say that they have of a service.
func summariesOf(v *reading, sv *registry.ServiceView) (all []*pb.RegionSummary) {
	for _, s := range v.Summaries(sv.Key) {
		one := &pb.RegionSummary{Source: v.summarySource(s)}
		for _, z := range s.Capacity.GetZones() {
			one.Zones = append(one.Zones, proto.CloneOf(z))
		}
		all = append(all, one)
	}
	return all
}

func (r *reading) summarySource(s *registry.SummaryView) *pb.Source {
	return r.source(s.Alias, r.RegionLabel(s.Alias, s.Origin.Home), s.Origin.HomeRevision, s.Origin.Incarnation)
}

// known adds the regions of a service, and those that send a summary of it.
func (t touched) known(v *registry.View, sv *registry.ServiceView) {
	t.service(v, sv)
	for _, s := range v.Summaries(sv.Key) {
		t.scope(v, s.Alias)
	}
}

// serviceRow gives the row of a service in a list.
func serviceRow(v *reading, sv *registry.ServiceView) *pb.ServiceSummary {
	protocol, _ := sv.Protocol("")
	n := sv.Counts
	row := &pb.ServiceSummary{
		Tenant: sv.Key.Tenant, Namespace: sv.Key.Namespace, Name: sv.Key.Name,
		Protocol: protocol, Defined: sv.Definition != nil,
		Instances: uint32(n.Instances), Passing: uint32(n.Passing), Warning: uint32(n.Warning),
		Critical: uint32(n.Critical), Draining: uint32(n.Draining),
		Tags: sv.Tags(), Zones: sv.Zones(), Regions: sv.Regions(), Sources: sourcesOf(v, sv),
	}
	for _, s := range v.Summaries(sv.Key) {
		from := v.summarySource(s)
		row.SummaryRegions = append(row.SummaryRegions, from.GetRegion())
		row.Sources = withSource(row.Sources, from)
	}
	return row
}

// sourcesOf says of each region of a service how new what is shown of it is: of its instances, which follow each other, and
// of the definition.
func sourcesOf(v *reading, sv *registry.ServiceView) (all []*pb.Source) {
	for rest := sv.Instances; len(rest) > 0; {
		newest, n := rest[0], 0
		for ; n < len(rest) && rest[n].Key.Scope == newest.Key.Scope; n++ {
			if later(rest[n].SourceIncarnation, rest[n].SourceRevision, newest.SourceIncarnation, newest.SourceRevision) {
				newest = rest[n]
			}
		}
		all = append(all, v.source(newest.Key.Scope, newest.Instance.GetRegion(), newest.SourceRevision, newest.SourceIncarnation))
		rest = rest[n:]
	}
	if sv.Definition == nil {
		return all
	}
	return withSource(all, v.placed(sv.DefinitionOrigin, sv.DefinitionMeta.ModifyRevision))
}

// withSource adds a source to those of other regions, or puts it in the place of an earlier one of its own.
func withSource(all []*pb.Source, from *pb.Source) []*pb.Source {
	at := slices.IndexFunc(all, func(s *pb.Source) bool { return s.GetRegion() == from.GetRegion() })
	switch {
	case at < 0:
		return append(all, from)
	case later(from.GetIncarnation(), from.GetRevision(), all[at].GetIncarnation(), all[at].GetRevision()):
		all[at] = from
	}
	return all
}

// later reports whether a position of a region is after another.
func later(incarnation, revision, thanIncarnation, thanRevision uint64) bool {
	return incarnation > thanIncarnation || incarnation == thanIncarnation && revision > thanRevision
}
