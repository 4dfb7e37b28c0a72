package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// maxCost is the greatest cost that can be set.
const maxCost = 10 * time.Second

func (a *App) costCommand() *cobra.Command {
	return group("cost", "What it costs to reach other regions; clients fail over to the cheapest that is up",
		"  supercluster region cost ls\n  supercluster region cost set dc2 30ms\n  supercluster region cost unset dc2",
		a.costSetCommand(), a.costUnsetCommand(), a.costListCommand())
}

func (a *App) costSetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "set REGION COST", Short: "Set what it costs this region to reach another, instead of the round trip as measured",
		Long: `Set what it costs this region to reach another, as a duration from 0 to 10s, instead of the round trip as measured. It holds for every
node of this region and for its clients, until it is unset; what other regions pay is theirs to set. It only orders regions.`,
		Example: "  supercluster region cost set dc2 30ms", Args: args(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cost, err := time.ParseDuration(args[1])
			if err != nil || cost < 0 || cost > maxCost {
				return fault.New(fault.Invalid, "the cost %q is no duration from 0 to %s", args[1], maxCost).WithHint("write it such as 30ms")
			}
			return a.setCost(cmd, args[0], durationpb.New(cost))
		},
	}
}

func (a *App) costUnsetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "unset REGION", Short: "Let the round trip as measured count again",
		Example: "  supercluster region cost unset dc2", Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.setCost(cmd, args[0], nil) },
	}
}

func (a *App) setCost(cmd *cobra.Command, region string, cost *durationpb.Duration) error {
	return a.call(cmd, func(ctx context.Context, c *client) error {
		r, err := c.federation.SetRegionCost(ctx, &pb.SetRegionCostRequest{Region: region, Cost: cost})
		if err != nil {
			return err
		}
		return a.print(r, func(t *table) {
			if cost == nil {
				t.note("to reach region %s costs the round trip as measured", region)
				return
			}
			t.note("to reach region %s costs %s", region, roundDuration(cost.AsDuration()))
		})
	})
}

func (a *App) costListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "ls", Short: "List what it costs to reach each region, measured and set, and how it is reached",
		Example: "  supercluster region cost ls\n  supercluster region cost ls --watch", Args: args(0, 0),
	}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			s, err := c.federation.GetFederation(ctx, &pb.GetFederationRequest{})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, s.GetReachability().GetRegions(), func(t *table) {
				t.header = []string{"REGION", "COST", "SET", "ROUND-TRIP", "STATE", "FOR", "WHY"}
				for _, g := range s.GetReachability().GetRegions() {
					set := "-"
					if g.GetCostSet() {
						set = "yes"
					}
					t.add(g.GetRegion(), ageText(g.GetCost()), set, ageText(g.GetRoundTrip()), reachText(g), ageText(g.GetFor()), orDash(g.GetWhy()))
				}
				if len(s.GetReachability().GetRegions()) == 0 {
					t.note("there is no other region")
				}
			})
		})
	}
	return cmd
}
