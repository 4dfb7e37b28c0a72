package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func (a *App) placementCommand() *cobra.Command {
	return group("placement", "Which region is the home of which placed records (config, services, routes)",
		"  supercluster placement put app/eu/ --home dc2\n  supercluster placement ls",
		a.placementPutCommand(), a.placementListCommand(), a.placementDeleteCommand())
}

// place puts a placement; an empty prefix declares the namespace federated.
func (a *App) place(cmd *cobra.Command, p *pb.Placement) error {
	if p.Home == "" {
		return fault.Field("--home", "is missing: name the region that is to be the home").WithHint("`supercluster region peer ls` lists the regions")
	}
	return a.call(cmd, func(ctx context.Context, c *client) error {
		p.Tenant, p.Namespace = first(c.tenant, "default"), first(p.GetNamespace(), c.namespace, "default")
		r, err := c.federation.PutPlacement(ctx, &pb.PutPlacementRequest{Placement: p})
		if err != nil {
			return err
		}
		return a.print(r, func(t *table) {
			x := r.GetPlacement()
			what := "namespace " + x.GetNamespace() + " of tenant " + x.GetTenant()
			if x.GetPrefix() != "" {
				what = "what begins with " + x.GetPrefix() + " in " + what
			}
			t.note("the home of %s is %s (epoch %d)", what, x.GetHome(), x.GetEpoch())
			t.note("Say the same in the other regions: each goes by its own placements, and `supercluster federation status` shows where they differ.")
		})
	})
}

func (a *App) namespaceFederateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "federate NAME --home REGION", Short: "Declare a namespace federated and name its home",
		Long: `Declare a namespace federated and name the home of its placed records: config, service definitions and routes are written in the home only, and
shown elsewhere. Instances and their health belong to the region that registers them. Say the same in every region; ` + "`placement put`" + ` gives
parts of it another home.`,
		Example: "  supercluster namespace federate default --home dc1", Args: args(1, 1),
	}
	home := cmd.Flags().String("home", "", "region that is the home, by name or id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.place(cmd, &pb.Placement{Namespace: args[0], Home: *home})
	}
	return cmd
}

func (a *App) placementPutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put PREFIX --home REGION", Short: "Give the placed records whose names begin with a prefix to a home",
		Long: `Give the placed records whose names begin with a prefix to a home. The longest prefix wins. The namespace must be federated
(` + "`namespace federate`" + `). Records that exist move with it: the old home stops writing them, the new one begins.`,
		Example: "  supercluster placement put app/eu/ --home dc2\n  supercluster placement put app/ --home dc1 -n team-a", Args: args(1, 1),
	}
	home := cmd.Flags().String("home", "", "region that is the home, by name or id")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if args[0] == "" {
			return fault.New(fault.Invalid, "the prefix is empty").WithHint("the whole namespace is `supercluster namespace federate NAME --home REGION`")
		}
		return a.place(cmd, &pb.Placement{Prefix: args[0], Home: *home})
	}
	return cmd
}

func (a *App) placementListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List what is placed, of all tenants or that of --tenant", Example: "  supercluster placement ls\n  supercluster placement ls -t shop", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.federation.ListPlacements(ctx, &pb.ListPlacementsRequest{Tenant: c.tenant})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, r.GetPlacements(), func(t *table) {
				t.header = []string{"TENANT", "NAMESPACE", "PREFIX", "HOME", "EPOCH"}
				for _, p := range r.GetPlacements() {
					t.add(p.GetTenant(), p.GetNamespace(), first(p.GetPrefix(), "(all)"), p.GetHome(), utoa(p.GetEpoch()))
				}
				if len(r.GetPlacements()) == 0 {
					t.note("no namespace is federated; `supercluster namespace federate NAME --home REGION` declares one")
				}
			})
		})
	}
	return cmd
}

func (a *App) placementDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete PREFIX", Short: "Take a prefix back: what begins with it goes to the home of the next shorter one",
		Example: "  supercluster placement delete app/eu/", Args: args(1, 1),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.DeletePlacement(ctx, &pb.DeletePlacementRequest{Tenant: c.tenant, Namespace: c.namespace, Prefix: args[0]})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("the placement of %s is gone; delete it in the other regions too", args[0]) })
		})
	}
	return cmd
}

func (a *App) tenantLinkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "link NAME --region REGION --as TENANT", Short: "Show tenant NAME of another region under a tenant of this one",
		Long: `Show what tenant NAME of another region has under a tenant of this one, --as. The name is asked of the region, so the link to it must be up; the
uid of the tenant (32 hex digits) needs no link. --remove ends what is shown under --as.`,
		Example: "  supercluster tenant link shop --region dc2 --as shop\n  supercluster tenant link shop --region dc2 --as shop --remove", Args: args(1, 1),
	}
	f := cmd.Flags()
	region := f.String("region", "", "region that the tenant is of, by name or id")
	as := f.String("as", "", "tenant of this region under which it is shown")
	remove := f.Bool("remove", false, "end it")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case *region == "":
			return fault.Field("--region", "is missing: name the region of tenant %q", args[0]).WithHint("`supercluster region peer ls` lists them")
		case *as == "":
			return fault.Field("--as", "is missing: name the tenant of this region under which it is shown")
		}
		request := &pb.LinkTenantRequest{Tenant: *as, Region: *region, Remote: args[0], Remove: *remove}
		said := fmt.Sprintf("tenant %s of region %s is shown under tenant %s", args[0], *region, *as)
		if *remove {
			request.Remote, said = "", fmt.Sprintf("no tenant of region %s is shown under tenant %s any more", *region, *as)
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.federation.LinkTenant(ctx, request)
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("%s", said) })
		})
	}
	return cmd
}
