package cli

import (
	"context"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
)

func (a *App) lookupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lookup SERVICE", Short: "Show what a client of this place would get for a service, and why",
		Example: "  supercluster lookup web\n  supercluster lookup web --zone a --tag v1 -o json\n" +
			"  supercluster lookup web --region dc2\n  supercluster lookup web --all-regions\n  supercluster lookup web --explain", Args: args(1, 1),
	}
	var q pb.LookupRequest
	f := cmd.Flags()
	f.StringVar(&q.Port, "port-name", "", "named port; empty is the default port")
	f.StringVar(&q.Tag, "tag", "", "only instances with this tag")
	f.StringVar(&q.Zone, "zone", "", "zone of the client")
	f.StringVar(&q.Region, "region", "", "only the endpoints of this region")
	f.BoolVar(&q.AllRegions, "all-regions", false, "the endpoints of all regions, nearest first")
	why := f.Bool("explain", false, "show what led to it: the order of regions, shares, and the records of each endpoint")
	cmd.MarkFlagsMutuallyExclusive("region", "all-regions")
	watch := watchFlag(cmd)
	cmd.MarkFlagsMutuallyExclusive("explain", "watch")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *why {
			return a.explain(cmd, &pb.ExplainRequest{
				Port: q.Port, Tag: q.Tag, Zone: q.Zone, Region: q.Region, AllRegions: q.AllRegions,
			}, args[0], func(r *pb.ExplainResponse) []table {
				return []table{explainedRegions(r), explainedTiers(r), explainedEndpoints(r)}
			})
		}
		return a.show(cmd, *watch, pb.Kind_KIND_UNSPECIFIED, args[0], func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			q.Tenant, q.Namespace, q.Service, q.Read = c.tenant, c.namespace, args[0], c.read
			r, err := c.registry.Lookup(ctx, &q)
			if err != nil {
				return nil, err
			}
			return r.GetHeader(), a.print(r, func(t *table) { lookupTable(t, r) })
		})
	}
	return cmd
}

func lookupTable(t *table, r *pb.LookupResponse) {
	t.header = []string{"TIER", "INSTANCE", "ADDRESS", "WEIGHT", "HEALTH", "REGION", "ZONE", "SOURCE", "AGE", "EXCLUDED"}
	row := func(e *pb.Endpoint, tier, why string) {
		health := healthText(e.GetHealth())
		if e.GetDraining() {
			health = "draining"
		}
		source := e.GetSource()
		t.add(tier, e.GetInstance(), hostPort(e.GetAddress(), e.GetPort()), utoa(e.GetWeight()), health, e.GetRegion(),
			orDash(e.GetZone()), sourceText(source), ageText(source.GetAge()), why)
	}
	for _, e := range r.GetEndpoints() {
		row(e, utoa(e.GetPriority()), "")
	}
	for _, x := range r.GetExcluded() {
		row(x.GetEndpoint(), "-", x.GetReason())
	}
	t.note("")
	t.note("rule: %s", r.GetRule())
	if r.GetLastKnown() {
		t.note("nobody is healthy: these are those last known")
	}
	h := r.GetHeader()
	t.note("from %s/%s at revision %d, age %s", h.GetRegion(), h.GetNode(), h.GetRevision(), ageText(h.GetAge()))
}
