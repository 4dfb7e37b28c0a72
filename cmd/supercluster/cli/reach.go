package cli

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

func reachText(g *pb.RegionReach) string {
	return strings.ToLower(strings.TrimPrefix(g.GetState().String(), "REACH_STATE_"))
}

// reachTable adds how regions are reached: each as this one sees it, and the rows of the others.
func reachTable(t *table, r *pb.Reachability) {
	for _, g := range r.GetRegions() {
		t.add("reach "+g.GetRegion(), fmt.Sprintf("%s for %s, cost %s, probe %s ago, link %s ago, feed %s ago", reachText(g), ageText(g.GetFor()),
			costText(g), ageText(g.GetProbed()), ageText(g.GetHeard()), ageText(g.GetFeed())))
		if g.GetWhy() != "" {
			t.note("%s is %s: %s", g.GetRegion(), reachText(g), g.GetWhy())
		}
		if g.GetFalls() > 1 && g.GetFell().AsDuration() < forgetAfter {
			t.note("%s went away %d times, each within ten minutes of the last: the longer it must answer before it counts as up again", g.GetRegion(), g.GetFalls())
		}
		if g.GetProbeError() != "" {
			t.note("%s was not probed: %s", g.GetRegion(), g.GetProbeError())
		}
	}
	clockNotes(t, r)
	for _, row := range r.GetRows() {
		t.add(row.GetRegion()+" reaches", fmt.Sprintf("%s (%s ago)", rowText(row), ageText(row.GetAge())))
	}
	if r.GetIsland() {
		t.note("This region reaches no other since %s: what it has of them stays as it is, and its clients keep it.", ageText(r.GetFor()))
	}
}

// forgetAfter is how long a fall of a region counts.
const forgetAfter = 10 * time.Minute

// clockOff is from what difference on a clock is said to be wrong.
const clockOff = time.Minute

// clockNotes names the clocks that are wrong.
func clockNotes(t *table, r *pb.Reachability) {
	note := func(whose, than string, d *durationpb.Duration) {
		off, where := d.AsDuration(), "ahead of"
		if off < 0 {
			off, where = -off, "behind"
		}
		if d != nil && off >= clockOff {
			t.note("The clock of %s is %s %s that of %s: set it right. Certificates, invitations and the times that are shown go by it, plans and ages do not.",
				whose, off.Round(time.Second), where, than)
		}
	}
	for _, g := range r.GetRegions() {
		note("region "+g.GetRegion(), "this region", g.GetClockOffset())
	}
	for _, n := range r.GetNodes() {
		note("node "+n.GetNode(), "the node that leads", n.GetOffset())
	}
}

func costText(g *pb.RegionReach) string {
	if g.GetCostSet() {
		return ageText(g.GetCost()) + " (set)"
	}
	return ageText(g.GetCost())
}

// rowText shows one row of the matrix.
func rowText(row *pb.ReachRow) string {
	var cells []string
	for _, s := range row.GetSeen() {
		switch {
		case !s.GetReached():
			cells = append(cells, s.GetRegion()+" not")
		case s.GetRoundTrip() == nil:
			cells = append(cells, s.GetRegion())
		default:
			cells = append(cells, s.GetRegion()+" in "+ageText(s.GetRoundTrip()))
		}
	}
	return orDash(strings.Join(cells, ", "))
}
