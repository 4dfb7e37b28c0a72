package registry

import (
	"fmt"
	"slices"
	"testing"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

func summary(t failer, alias uint32, service string, at uint64, zones ...*pb.ZoneCapacity) record.Record {
	t.Helper()
	return foreign(t, alias, record.KindSummary, service, at, &pb.CapacitySummary{Zones: zones})
}

// summarized shows the summaries of a service: region, position and numbers.
func summarized(s *store, service string) string {
	text := ""
	for _, x := range s.view.Summaries(ServiceOf("", "", service)) {
		text += fmt.Sprintf("%s@%d", s.view.RegionLabel(x.Alias, x.Origin.Home), x.Origin.HomeRevision)
		for _, z := range x.Capacity.GetZones() {
			text += fmt.Sprintf(" %s=%d/%d", z.GetZone(), z.GetServing(), z.GetInstances())
		}
		text += ";"
	}
	return text
}

func known(s *store) []string {
	var all []string
	for sv := range s.view.KnownServices("default", "default") {
		all = append(all, sv.Key.Name)
	}
	return all
}

// Summaries are found by the service that they name, of each region its own, and follow what the region says.
func TestSummaries_OfEachRegion(t *testing.T) {
	s := newStore(t)
	s.region(t, 2, "dc2")
	s.region(t, 3, "dc3")
	one, two := &pb.ZoneCapacity{Zone: "a", Instances: 3, Serving: 2}, &pb.ZoneCapacity{Zone: "b", Instances: 1, Serving: 1}
	s.imported(t, summary(t, 3, "web", 9, two), summary(t, 2, "web", 500, one, two), summary(t, record.ScopeRegion, "web", 1, one))
	if got, want := summarized(s, "web"), "dc2@500 a=2/3 b=1/1;dc3@9 b=1/1;"; got != want {
		t.Errorf("summaries %s, want %s", got, want)
	}
	before, text := s.view, dump(s.view)
	s.imported(t, summary(t, 2, "web", 501, two))
	s.region(t, 3, "tokyo")
	if got, want := summarized(s, "web"), "dc2@501 b=1/1;tokyo@9 b=1/1;"; got != want {
		t.Errorf("after a change %s, want %s", got, want)
	}
	broken, gone := summary(t, 3, "web", 10), summary(t, 2, "web", 0)
	broken.Value, gone.Deleted = []byte("\xff"), true
	s.imported(t, broken)
	if got, want := summarized(s, "web"), "dc2@501 b=1/1;"; got != want || s.view.Undecodable() != 1 {
		t.Errorf("after one that does not decode %s, want %s", got, want)
	}
	s.imported(t, gone)
	if got := summarized(s, "web"); got != "" {
		t.Errorf("after the last left %s", got)
	}
	if now := dump(before); now != text {
		t.Errorf("the view from before changed: %s", firstDifference(now, text))
	}
}

// Nobody can be sent to a number: what plans, xDS and DNS see of services is the same with and without summaries, and nothing
// wakes them. Only who asks for what is known finds them.
func TestSummaries_MakeNoService(t *testing.T) {
	s := newStore(t)
	s.register(t, web("a"))
	s.imported(t, summary(t, 2, "api", 1), summary(t, 2, "web", 2), summary(t, 2, "zoo", 3), summary(t, 3, "zoo", 4))
	if !s.changes.IsEmpty() {
		t.Errorf("changes %+v", s.changes)
	}
	if _, ok := s.view.Service(ServiceOf("", "", "api")); ok {
		t.Error("api exists")
	}
	name := func(sv *ServiceView) string { return sv.Key.Name }
	if got := keys(t, s.view.Services("default", "default"), name); !slices.Equal(got, []string{"web"}) {
		t.Errorf("services %q", got)
	}
	if got := keys(t, s.view.AllServices(), name); !slices.Equal(got, []string{"web"}) {
		t.Errorf("all services %q", got)
	}
	if got := known(s); !slices.Equal(got, []string{"api", "web", "zoo"}) {
		t.Errorf("known services %q", got)
	}
	for sv := range s.view.KnownServices("default", "default") {
		if sv.Key.Name == "web" {
			break // and is given no more
		}
	}
	alone, ok := s.view.KnownService(ServiceOf("", "", "api"))
	if !ok || alone.Key.Name != "api" || alone.Definition != nil || len(alone.Instances) != 0 {
		t.Errorf("api: %+v, %v", alone, ok)
	}
	if sv, ok := s.view.KnownService(ServiceOf("", "", "web")); !ok || sv.Counts.Instances != 1 {
		t.Errorf("web: %+v, %v", sv, ok)
	}
	if _, ok := s.view.KnownService(ServiceOf("", "", "nobody")); ok {
		t.Error("nobody is known")
	}
}
