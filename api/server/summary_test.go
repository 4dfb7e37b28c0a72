package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

var someZones = []*pb.ZoneCapacity{{Zone: "a", Instances: 3, Serving: 2, Weight: 200}, {Zone: "b", Instances: 1, Serving: 1, Weight: 100}}

// A service shows what other regions say of it in summaries, with source and age; one that only a summary names is found.
func TestGetService_Summaries(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	h.region.summarized(t, "web", someZones...)
	h.region.summarized(t, "api", someZones[1])
	get := func(name string) *pb.GetServiceResponse {
		t.Helper()
		got, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.GetSummaries()) != 1 {
			t.Fatalf("%s: %v", name, got.GetSummaries())
		}
		requireSource(t, got.GetSummaries()[0].GetSource(), "dc2", got.GetHeader())
		return got
	}
	web := get("web")
	if zones := web.GetSummaries()[0].GetZones(); len(zones) != 2 || zones[0].GetZone() != "a" || zones[0].GetInstances() != 3 || zones[0].GetServing() != 2 {
		t.Errorf("zones %v", zones)
	}
	if len(web.GetInstances()) != 5 {
		t.Errorf("web has %d instances", len(web.GetInstances()))
	}
	if api := get("api"); api.GetDefined() || len(api.GetInstances()) != 0 || api.GetService().GetName() != "api" {
		t.Errorf("api: %v", api)
	}
	answer := h.do(t, "GET", "/api/v1/services/api", "")
	if !strings.Contains(answer.text, `"summaries":[{"source":{"region":"dc2"`) || answer.header.Get(headerSourceAge) != "7s" {
		t.Errorf("over HTTP: %s %v", answer.text, answer.header)
	}
	_, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "nobody"})
	wantFault(t, err, fault.NotFound, "name")
	_, err = h.registry.GetService(ctx, &pb.GetServiceRequest{
		Name: "api", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_BOUNDED, MaxAge: durationpb.New(5 * time.Second)},
	})
	wantFault(t, err, fault.Unavailable, "")
}

// A list names the regions that send a summary, and counts nothing of it among the instances.
func TestListServices_Summaries(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	h.region.summarized(t, "web", someZones...)
	h.region.summarized(t, "api", someZones...)
	var rows []string
	token := ""
	for {
		list, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{PageSize: 1, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.GetServices() {
			rows = append(rows, s.GetName())
			if !slices.Equal(s.GetSummaryRegions(), []string{"dc2"}) || (s.GetInstances() == 5) != (s.GetName() == "web") {
				t.Errorf("row %v", s)
			}
			last := s.GetSources()[len(s.GetSources())-1]
			requireSource(t, last, "dc2", list.GetHeader())
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	if !slices.Equal(rows, []string{"api", "web"}) {
		t.Errorf("rows %v", rows)
	}
}

// What clients are sent to does not depend on summaries.
func TestLookup_IgnoresSummaries(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	h.region.summarized(t, "web", someZones...)
	h.region.summarized(t, "api", someZones...)
	got, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
	if err != nil || len(got.GetEndpoints()) != 4 {
		t.Errorf("%v, %v", got, err)
	}
	_, err = h.registry.Lookup(ctx, &pb.LookupRequest{Service: "api"})
	wantFault(t, err, fault.NotFound, "service")
}

// A watch shows summaries among all kinds, or alone, with where they come from.
func TestWatch_Summaries(t *testing.T) {
	h := twoRegions(t)
	all, alone := h.startWatch(t, &pb.WatchRequest{Prefix: "api", FromRevision: 1}), h.startWatch(t, &pb.WatchRequest{Kind: pb.Kind_KIND_SUMMARY, FromRevision: 1})
	h.region.summarized(t, "api", someZones...)
	for _, stream := range []grpc.ServerStreamingClient[pb.WatchResponse]{all, alone} {
		e := receive(t, stream, "PUT SUMMARY api")[0].GetEvents()[0]
		requireSource(t, e.GetSource(), "dc2", nil)
		if e.GetMeta().GetRegion() != "dc2" || len(e.GetSummary().GetZones()) != 2 || e.GetSummary().GetZones()[0].GetServing() != 2 {
			t.Errorf("event %v", e)
		}
	}
}
