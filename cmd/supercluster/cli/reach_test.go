package cli

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

// The clocks that are a minute off or more are named, and no others.
func TestReachTable_Clocks(t *testing.T) {
	region := func(name string, off time.Duration) *pb.RegionReach {
		return &pb.RegionReach{Region: name, ClockOffset: durationpb.New(off)}
	}
	r := &pb.Reachability{
		Regions: []*pb.RegionReach{
			region("dc2", time.Hour+80*time.Millisecond), region("dc3", 59*time.Second), region("dc4", -time.Hour), {Region: "dc5"},
		},
		Nodes: []*pb.NodeClock{{Node: "n2", Offset: durationpb.New(-90 * time.Second)}, {Node: "n3", Offset: durationpb.New(time.Millisecond)}},
	}
	const rest = ": set it right. Certificates, invitations and the times that are shown go by it, plans and ages do not."
	want := []string{
		"The clock of region dc2 is 1h0m0s ahead of that of this region" + rest,
		"The clock of region dc4 is 1h0m0s behind that of this region" + rest,
		"The clock of node n2 is 1m30s behind that of the node that leads" + rest,
	}
	var got table
	reachTable(&got, r)
	if !slices.Equal(got.notes, want) {
		t.Errorf("got %q, want %q", got.notes, want)
	}
}

// A region that flaps is named while its falls count.
func TestReachTable_Flaps(t *testing.T) {
	fell := func(name string, falls uint32, ago time.Duration) *pb.RegionReach {
		return &pb.RegionReach{Region: name, Falls: falls, Fell: durationpb.New(ago)}
	}
	var got table
	reachTable(&got, &pb.Reachability{Regions: []*pb.RegionReach{fell("dc2", 3, time.Minute), fell("dc3", 1, time.Minute), fell("dc4", 3, time.Hour)}})
	want := []string{"dc2 went away 3 times, each within ten minutes of the last: the longer it must answer before it counts as up again"}
	if !slices.Equal(got.notes, want) {
		t.Errorf("got %q, want %q", got.notes, want)
	}
}
