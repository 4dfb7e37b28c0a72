package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	pb "supercluster/api/gen/supercluster/v1"
)

func (a *App) explainCommand() *cobra.Command {
	return group("explain", "What led to a route, or to an endpoint being used or not",
		"  supercluster explain route web\n  supercluster explain endpoint web\n  supercluster explain endpoint web web-1 -o json",
		a.explainRouteCommand(), a.explainEndpointCommand())
}

func (a *App) explainRouteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "route SERVICE", Short: "The routes that lead to a service, and the regions and tiers that their requests go to",
		Example: "  supercluster explain route web\n  supercluster explain route web --zone a -o json", Args: args(1, 1),
	}
	var q pb.ExplainRequest
	explainFlags(cmd.Flags(), &q)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.explain(cmd, &q, args[0], func(r *pb.ExplainResponse) []table {
			return []table{explainedRoutes(r), explainedRegions(r), explainedTiers(r)}
		})
	}
	return cmd
}

func (a *App) explainEndpointCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "endpoint SERVICE [INSTANCE]", Short: "Each endpoint of a service: its tier and share or why it gets nothing, and its records",
		Example: "  supercluster explain endpoint web\n  supercluster explain endpoint web web-1", Args: args(1, 2),
	}
	var q pb.ExplainRequest
	explainFlags(cmd.Flags(), &q)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			q.Instance = args[1]
		}
		return a.explain(cmd, &q, args[0], func(r *pb.ExplainResponse) []table {
			return []table{explainedRegions(r), explainedEndpoints(r)}
		})
	}
	return cmd
}

// explainFlags are what a client asks by.
func explainFlags(f *pflag.FlagSet, q *pb.ExplainRequest) {
	f.StringVar(&q.Port, "port-name", "", "named port; empty is the default port")
	f.StringVar(&q.Tag, "tag", "", "only instances with this tag")
	f.StringVar(&q.Zone, "zone", "", "zone of the client")
}

// explain asks for an explanation and shows it as some tables.
func (a *App) explain(cmd *cobra.Command, q *pb.ExplainRequest, service string, show func(r *pb.ExplainResponse) []table) error {
	return a.call(cmd, func(ctx context.Context, c *client) error {
		q.Tenant, q.Namespace, q.Service, q.Read = c.tenant, c.namespace, service, c.read
		r, err := c.registry.Explain(ctx, q)
		if err != nil {
			return err
		}
		if a.flags.output != outputTable {
			return a.print(r, nil)
		}
		return a.writeTables(explainedHead(service, r), show(r))
	})
}

// writeTables writes tables below each other; those without rows are left out.
func (a *App) writeTables(head string, tables []table) error {
	if _, err := io.WriteString(a.Out, head); err != nil {
		return writeError(err)
	}
	for _, t := range tables {
		if len(t.rows) == 0 {
			continue
		}
		if _, err := io.WriteString(a.Out, "\n"); err != nil {
			return writeError(err)
		}
		if err := t.write(a.Out, a.terminal); err != nil {
			return err
		}
	}
	return nil
}

// explainedHead is what decided, in some lines.
func explainedHead(service string, r *pb.ExplainResponse) string {
	var b strings.Builder
	h := r.GetHeader()
	fmt.Fprintf(&b, "service %s, protocol %s, as %s/%s has it at revision %d, age %s\n", service, protocolText(r.GetProtocol()),
		h.GetRegion(), h.GetNode(), h.GetRevision(), ageText(h.GetAge()))
	if d := r.GetDefinition(); d != nil {
		fmt.Fprintf(&b, "definition: %s, age %s: %s\n", sourceText(d.GetSource()), ageText(d.GetSource().GetAge()), d.GetSays())
	}
	fmt.Fprintf(&b, "rule: %s\n", r.GetRule())
	return b.String()
}

func explainedRoutes(r *pb.ExplainResponse) table {
	t := table{header: []string{"ROUTE", "HOSTS", "PREFIX", "CLUSTER", "SOURCE", "AGE", "HIDDEN"}}
	for _, x := range r.GetRoutes() {
		source := x.GetRecord().GetSource()
		t.add(x.GetName(), strings.Join(x.GetHosts(), ","), x.GetPrefix(), x.GetCluster(), sourceText(source), ageText(source.GetAge()),
			orDash(strings.Join(x.GetHidden(), ",")))
	}
	if len(t.rows) == 0 {
		t.add("-", "-", "-", "-", "-", "-", "-")
		t.note("no route of the namespace leads here; sidecars and gRPC clients reach the service by its name")
	}
	return t
}

func explainedRegions(r *pb.ExplainResponse) table {
	t := table{header: []string{"REGION", "STATE", "COST", "AGE", "SERVING", "WHY"}}
	for _, x := range r.GetRegions() {
		t.add(x.GetRegion(), regionStateText(x.GetState()), ageText(x.GetCost()), ageText(x.GetAge()),
			fmt.Sprintf("%d of %d", x.GetServing(), x.GetInstances()), x.GetWhy())
	}
	return t
}

func explainedTiers(r *pb.ExplainResponse) table {
	t := table{header: []string{"TIER", "REGION", "ZONE", "ENDPOINTS", "WEIGHT", "SHARE"}}
	for _, tier := range r.GetTiers() {
		for _, l := range tier.GetLocalities() {
			t.add(utoa(tier.GetPriority()), tier.GetRegion(), orDash(l.GetZone()), utoa(l.GetEndpoints()), utoa(l.GetWeight()), shareText(l.GetShare()))
		}
	}
	return t
}

// explainedEndpoints has a row for each record; what is said of the endpoint stands in its first one.
func explainedEndpoints(r *pb.ExplainResponse) table {
	t := table{header: []string{"TIER", "INSTANCE", "ADDRESS", "WEIGHT", "SHARE", "HEALTH", "RECORD", "NAME", "SOURCE", "AGE", "SAYS"}}
	for _, x := range r.GetEndpoints() {
		e := x.GetEndpoint()
		tier, share, health := utoa(e.GetPriority()), shareText(x.GetShare()), healthText(e.GetHealth())
		if x.GetExcluded() != "" {
			tier, share = "-", "-"
		}
		if e.GetDraining() {
			health = "draining"
		}
		row := []string{tier, e.GetInstance(), hostPort(e.GetAddress(), e.GetPort()), utoa(e.GetWeight()), share, health}
		for _, rec := range x.GetRecords() {
			t.add(append(row, rec.GetKind(), rec.GetName(), sourceText(rec.GetSource()), ageText(rec.GetSource().GetAge()), rec.GetSays())...)
			row = make([]string, 6)
		}
		if x.GetExcluded() != "" {
			t.add(append(row, "excluded", "", "", "", x.GetExcluded())...)
		}
	}
	if n := r.GetEndpointsLeftOut(); n > 0 {
		t.note("%d more are not shown: name an instance", n)
	}
	return t
}

func sourceText(s *pb.Source) string { return fmt.Sprintf("%s@%d", s.GetRegion(), s.GetRevision()) }

func shareText(share float64) string { return fmt.Sprintf("%.1f%%", 100*share) }

func regionStateText(s pb.RegionState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), "REGION_STATE_"))
}
