package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
)

func (a *App) routeCommand() *cobra.Command {
	return group("route", "Routes: which host and path goes to which service",
		"  supercluster route put shop --host shop.example --prefix / --service web\n  supercluster route ls",
		a.routePutCommand(), a.routeListCommand(), a.routeDeleteCommand())
}

func (a *App) routePutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME", Short: "Write a route",
		Example: "  supercluster route put shop --host shop.example --prefix / --service web", Args: args(1, 1),
	}
	var route pb.Route
	f := cmd.Flags()
	f.StringSliceVar(&route.Hosts, "host", nil, "host name, *.DOMAIN or *; may be given several times")
	f.StringVar(&route.Prefix, "prefix", "/", "path prefix; the longest wins")
	f.StringVar(&route.Service, "service", "", "service that requests go to")
	f.StringVar(&route.Port, "port-name", "", "named port of the service; empty is its default port")
	expect, message := revisionFlag(cmd), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			route.Tenant, route.Namespace, route.Name = c.tenant, c.namespace, args[0]
			r, err := c.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &route, ExpectRevision: *expect, Options: options})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) {
				t.note("route %s: %s%s to %s, revision %d", args[0], strings.Join(route.Hosts, ","), route.Prefix, route.Service, r.GetHeader().GetRevision())
			})
		})
	}
	return cmd
}

func (a *App) routeListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List routes", Example: "  supercluster route ls", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.show(cmd, *watch, pb.Kind_KIND_ROUTE, "", func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			var revision *pb.ReadHeader
			all, err := pages(func(token string) ([]*pb.Route, string, error) {
				r, err := c.registry.ListRoutes(ctx, &pb.ListRoutesRequest{Read: c.read, Tenant: c.tenant, Namespace: c.namespace, PageSize: pageSize, PageToken: token})
				revision = r.GetHeader()
				return r.GetRoutes(), r.GetNextPageToken(), err
			})
			if err != nil {
				return nil, err
			}
			return revision, printList(a, all, func(t *table) {
				t.header = []string{"ROUTE", "HOSTS", "PREFIX", "SERVICE", "PORT", "REVISION"}
				for _, r := range all {
					t.add(r.GetName(), strings.Join(r.GetHosts(), ","), r.GetPrefix(), r.GetService(), orDash(r.GetPort()), utoa(homeRevision(r)))
				}
			})
		})
	}
	return cmd
}

func (a *App) routeDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME", Short: "Delete a route", Example: "  supercluster route delete shop", Args: args(1, 1)}
	expect, message := revisionFlag(cmd), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.registry.DeleteRoute(ctx, &pb.DeleteRouteRequest{
				Tenant: c.tenant, Namespace: c.namespace, Name: args[0], ExpectRevision: *expect, Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("route %s deleted", args[0]) })
		})
	}
	return cmd
}
