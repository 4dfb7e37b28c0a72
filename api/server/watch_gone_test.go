package server

import (
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

// A deletion says whose record went, where that region was, and how old the copy was, as a put does; of what this region
// deletes itself it says nothing.
func TestWatch_DeletionsNameTheirSource(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	stream := h.startWatch(t, &pb.WatchRequest{FromRevision: h.region.Freshness().Positions.Data + 1})
	h.region.gone(t,
		record.Key{Kind: record.KindInstance, Scope: 2, Name: "web/b"}, record.Key{Kind: record.KindCheck, Scope: 2, Name: "web/b/http"},
		record.Key{Kind: record.KindCheckStatus, Scope: 2, Name: "web/b/http"}, record.Key{Kind: record.KindService, Name: "web"},
		record.Key{Kind: record.KindRoute, Name: "r"}, record.Key{Kind: record.KindConfig, Name: "app"},
	)
	m := receive(t, stream, "DELETE INSTANCE web/b DELETE CHECK web/b/http DELETE CHECK_STATUS web/b/http DELETE SERVICE web DELETE ROUTE r DELETE CONFIG app")[0]
	for _, e := range m.GetEvents() {
		s := e.GetSource()
		if s.GetRegion() != "dc2" || s.GetRevision() != 700 || s.GetIncarnation() != 3 || s.GetAge().AsDuration() != 7*time.Second || e.GetMeta().GetRegion() != "dc2" {
			t.Errorf("%v", e)
		}
	}
	if _, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a"}); err != nil {
		t.Fatal(err)
	}
	e := receive(t, stream, "DELETE INSTANCE web/a")[0].GetEvents()[0]
	if e.GetSource() != nil || e.GetMeta().GetRegion() != "dc1" {
		t.Errorf("of our own: %v", e)
	}
}

// The value before a change is asked for as of the revision before it: it may be older than what is answered by its own.
func TestWatch_PreviousOfBeforeTheFloor(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.put(t, "a", "1")
	floor := h.put(t, "b", "x").GetHeader().GetRevision()
	changed := h.put(t, "a", "2").GetHeader().GetRevision()
	if _, err := h.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.cluster.Compact(ctx, &pb.CompactRequest{Revision: floor}); err != nil {
		t.Fatal(err)
	}
	stream := h.startWatch(t, &pb.WatchRequest{FromRevision: changed, Previous: true})
	all := receive(t, stream, "PUT CONFIG a=2 was 1", "DELETE CONFIG a was 2")
	if s := all[0].GetEvents()[0].GetPreviousConfig().GetSource(); s.GetRegion() != "dc1" || s.GetRevision() != floor-1 {
		t.Errorf("the value before is from %v", s)
	}
}
