package cli

import (
	"fmt"
	"strings"

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
		if g.GetProbeError() != "" {
			t.note("%s was not probed: %s", g.GetRegion(), g.GetProbeError())
		}
	}
	for _, row := range r.GetRows() {
		t.add(row.GetRegion()+" reaches", fmt.Sprintf("%s (%s ago)", rowText(row), ageText(row.GetAge())))
	}
	if r.GetIsland() {
		t.note("This region reaches no other since %s: what it has of them stays as it is, and its clients keep it.", ageText(r.GetFor()))
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
