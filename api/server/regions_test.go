package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry"
)

// twoRegions is a server whose registry has instances of dc1, its own, and of dc2, whose copy is 7 s old.
func twoRegions(t testing.TB, edit ...func(*Config)) *harness {
	t.Helper()
	h := newHarness(t, append(edit, func(c *Config) { c.Sources = ages{{2}: 7 * time.Second} })...)
	h.register(t, "web", "a", "10.1.0.1", 80)
	h.register(t, "web", "z", "10.1.0.2", 80)
	h.region.imported(t,
		&pb.Instance{Service: "web", Id: "a", Address: "10.2.0.1", Port: 80}, &pb.Instance{Service: "web", Id: "b", Address: "10.2.0.2", Port: 80},
		&pb.Instance{Service: "web", Id: "gone", Address: "10.2.0.3", Port: 80, Draining: true},
	)
	return h
}

// A name that two regions have is refused with the ids of both.
func TestLookup_RegionNameOfTwo(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	third := registry.RegionRecordKey([16]byte{3}).Name
	op, err := registry.PutRegionOp(&pb.Region{Id: third, Name: "dc2"}, 3, registry.Write{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.region.Propose(ctx, op); err != nil {
		t.Fatal(err)
	}
	_, err = h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web", Region: "dc2"})
	wantFault(t, err, fault.Invalid, "region")
	second := registry.RegionRecordKey([16]byte{2}).Name
	if text := err.Error(); !strings.Contains(text, second) || !strings.Contains(text, third) {
		t.Errorf("%s", text)
	}
	got, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web", Region: second})
	if err != nil || len(got.GetEndpoints()) == 0 {
		t.Errorf("by its id: %v, %v", got, err)
	}
}

func TestLookup_Regions(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	tests := []struct {
		req  pb.LookupRequest
		want string
		rule string
	}{
		{
			pb.LookupRequest{},
			"0 dc1/a, 0 dc1/z, 1 dc2/a, 1 dc2/b",
			`local: 2 of 2 instances in region "dc1"; then "dc2" 2 of 3`,
		},
		{pb.LookupRequest{Region: "dc1"}, "0 dc1/a, 0 dc1/z", `one region: 2 of 2 instances in region "dc1"`},
		{pb.LookupRequest{Region: "dc2"}, "0 dc2/a, 0 dc2/b", `one region: 2 of 3 instances in region "dc2"`},
		{pb.LookupRequest{Region: registry.RegionRecordKey([16]byte{2}).Name}, "0 dc2/a, 0 dc2/b", `one region: 2 of 3 instances in region "dc2"`},
		{
			pb.LookupRequest{AllRegions: true},
			"0 dc1/a, 0 dc1/z, 1 dc2/a, 1 dc2/b",
			`all regions, nearest first: "dc1" 2 of 2, "dc2" 2 of 3`,
		},
	}
	for n := range tests {
		tt := &tests[n]
		tt.req.Service = "web"
		got, err := h.registry.Lookup(ctx, &tt.req)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range got.GetEndpoints() {
			all = append(all, fmt.Sprintf("%d %s/%s", e.GetPriority(), e.GetRegion(), e.GetInstance()))
			requireSource(t, e.GetSource(), e.GetRegion(), got.GetHeader())
		}
		if text := strings.Join(all, ", "); text != tt.want || got.GetRule() != tt.rule {
			t.Errorf("%v: %s, %s", &tt.req, text, got.GetRule())
		}
		for _, x := range got.GetExcluded() {
			requireSource(t, x.GetEndpoint().GetSource(), x.GetEndpoint().GetRegion(), got.GetHeader())
		}
	}
	_, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web", Region: "dc7"})
	if e := wantFault(t, err, fault.NotFound, "region"); !strings.Contains(e.Hint, "dc1, dc2") {
		t.Errorf("hint %q", e.Hint)
	}
	_, err = h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web", Region: "dc2", AllRegions: true})
	wantFault(t, err, fault.Invalid, "all_regions")
	answer := h.do(t, "GET", "/api/v1/lookup/web?region=dc2", "")
	if first := answer.json["endpoints"].([]any)[0].(map[string]any); first["source"].(map[string]any)["age"] != "7s" || first["region"] != "dc2" {
		t.Errorf("over HTTP: %s", answer.text)
	}
}

// requireSource checks that a record of a region says so, with position and age: what is ours is as old as the answer.
func requireSource(t *testing.T, s *pb.Source, region string, answer *pb.ReadHeader) {
	t.Helper()
	foreign, age := region == "dc2", answer.GetAge().AsDuration()
	if foreign {
		age = 7 * time.Second
	}
	if s.GetRegion() != region || s.GetRevision() == 0 || (s.GetRevision() == 640) != foreign || s.GetAge() == nil || s.GetAge().AsDuration() != age {
		t.Errorf("source %v of region %s, want the age %v", s, region, age)
	}
}

// Pages go over the instances of all regions, each once, though ids repeat.
func TestListInstances_Regions(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	var all []string
	token := ""
	for {
		got, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web", PageSize: 1, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range got.GetInstances() {
			all = append(all, in.GetRegion()+"/"+in.GetId())
			requireSource(t, in.GetSource(), in.GetRegion(), got.GetHeader())
			if in.GetMeta().GetRegion() != in.GetRegion() {
				t.Errorf("meta %v of an instance of %s", in.GetMeta(), in.GetRegion())
			}
		}
		if token = got.GetNextPageToken(); token == "" {
			break
		}
	}
	if want := []string{"dc1/a", "dc1/z", "dc2/a", "dc2/b", "dc2/gone"}; !slices.Equal(all, want) {
		t.Errorf("instances %v, want %v", all, want)
	}
	list, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{})
	if err != nil || len(list.GetServices()) != 1 {
		t.Fatal(list, err)
	}
	for n, s := range list.GetServices()[0].GetSources() {
		requireSource(t, s, []string{"dc1", "dc2"}[n], list.GetHeader())
	}
	if n := len(list.GetServices()[0].GetSources()); n != 2 {
		t.Errorf("%d sources, want one for each region", n)
	}
	if s := list.GetServices()[0]; !slices.Equal(s.GetRegions(), []string{"dc1", "dc2"}) || s.GetInstances() != 5 {
		t.Errorf("summary %v", s)
	}
}

// A summary names the region of the definition too, also when that is all there is of the service.
func TestListServices_SourceOfTheDefinition(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	sources := func(service string) (all []string) {
		t.Helper()
		list, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.GetServices() {
			for _, from := range s.GetSources() {
				if s.GetName() == service {
					all = append(all, fmt.Sprint(from.GetRegion(), " ", from.GetRevision()))
				}
			}
		}
		return all
	}
	before := sources("web")
	for _, name := range []string{"web", "alone"} {
		if _, err := h.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	now := h.region.Freshness().Positions.Data
	if got := sources("web"); len(got) != 2 || got[0] == before[0] || got[0] != fmt.Sprint("dc1 ", now-1) || got[1] != before[1] {
		t.Errorf("web is from %v, before it was defined from %v", got, before)
	}
	if got := sources("alone"); !slices.Equal(got, []string{fmt.Sprint("dc1 ", now)}) {
		t.Errorf("what is only defined is from %v", got)
	}
}

// What another region owns is refused by name, also when this region has, or had, an instance of that id.
func TestDeregister_OfAnotherRegion(t *testing.T) {
	h, ctx := twoRegions(t), t.Context()
	drop := func(id string, drain time.Duration) error {
		_, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: id, Drain: durationpb.New(drain)})
		return err
	}
	for _, drain := range []time.Duration{0, time.Minute} {
		e := wantFault(t, drop("b", drain), fault.NotHome, "")
		if !strings.Contains(e.Message, `"dc2"`) {
			t.Errorf("it does not name the region: %v", e)
		}
		wantFault(t, drop("nobody", drain), fault.NotFound, "")
	}
	if err := drop("a", 0); err != nil {
		t.Fatal(err)
	}
	wantFault(t, drop("a", 0), fault.NotHome, "")
	v := h.views.View()
	key := registry.ServiceOf("", "", "web")
	if _, ok := v.Instance(key.Instance("a")); ok {
		t.Error("ours is still there")
	}
	for _, id := range []string{"a", "b", "gone"} { // the last was due to be removed long ago, in its region
		if _, ok := v.Instance(key.InstanceIn(2, id)); !ok {
			t.Errorf("theirs, %s, is gone", id)
		}
	}
}

func TestWatch_NamesTheRegion(t *testing.T) {
	h := twoRegions(t)
	stream := h.startWatch(t, &pb.WatchRequest{Kind: pb.Kind_KIND_INSTANCE, FromRevision: 1})
	got := map[string]string{}
	for len(got) < 5 {
		msg, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range msg.GetEvents() {
			got[e.GetMeta().GetRegion()+" "+e.GetName()] = e.GetName()
		}
	}
	for _, want := range []string{"dc1 web/a", "dc2 web/a", "dc2 web/b"} {
		if got[want] == "" {
			t.Errorf("no event of %s in %v", want, got)
		}
	}
}
