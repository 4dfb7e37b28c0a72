package cli

import (
	"fmt"
	"io"

	pb "supercluster/api/gen/supercluster/v1"
)

// printService shows a service; as tables, its instances, and below them what other regions say in summaries.
func (a *App) printService(r *pb.GetServiceResponse) error {
	if err := a.print(r, func(t *table) { serviceTable(t, r) }); err != nil {
		return err
	}
	if a.flags.output != outputTable || len(r.GetSummaries()) == 0 {
		return nil
	}
	if _, err := io.WriteString(a.Out, "\n"); err != nil {
		return writeError(err)
	}
	t := summaryTable(r.GetSummaries())
	return t.write(a.Out, a.terminal)
}

// summaryTable has a row for each zone of each region.
func summaryTable(all []*pb.RegionSummary) table {
	t := table{header: []string{"SUMMARY OF", "ZONE", "INSTANCES", "SERVING", "WEIGHT", "SOURCE", "AGE"}}
	for _, s := range all {
		from := s.GetSource()
		for _, z := range s.GetZones() {
			t.add(from.GetRegion(), orDash(z.GetZone()), utoa(z.GetInstances()), utoa(z.GetServing()), utoa(z.GetWeight()), sourceText(from), ageText(from.GetAge()))
		}
	}
	return t
}

// regionsText names the regions of a row: those that have an instance, and those that send a summary.
func regionsText(s *pb.ServiceSummary) string {
	all := append([]string(nil), s.GetRegions()...)
	for _, region := range s.GetSummaryRegions() {
		all = append(all, region+" (summary)")
	}
	return joined(all)
}

// capacityText says how many instances serve, of all zones together.
func capacityText(c *pb.CapacitySummary) string {
	var instances, serving uint32
	for _, z := range c.GetZones() {
		instances, serving = instances+z.GetInstances(), serving+z.GetServing()
	}
	return fmt.Sprintf("%d of %d serving", serving, instances)
}
