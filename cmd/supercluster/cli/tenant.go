package cli

import (
	"context"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
)

// pageSize is how much of a list one call asks for.
const pageSize = 500

// pages reads a whole list, page by page.
func pages[T any](fetch func(token string) ([]T, string, error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		items, next, err := fetch(token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" {
			return all, nil
		}
		token = next
	}
}

// messageFlag adds the reason of a write.
func messageFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("message", "m", "", "why, for people and the history")
}

func (a *App) tenantCommand() *cobra.Command {
	return group("tenant", "Tenants, the unit of isolation", "  supercluster tenant create shop\n  supercluster tenant ls",
		a.tenantCreateCommand(), a.tenantListCommand(), a.tenantDeleteCommand(), a.tenantLinkCommand())
}

func (a *App) tenantCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a tenant, with a namespace `default` in it",
		Example: "  supercluster tenant create shop --description 'the web shop'", Args: args(1, 1),
	}
	description, message := cmd.Flags().String("description", "", "free text for people"), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.tenants.CreateTenant(ctx, &pb.CreateTenantRequest{
				Tenant: &pb.Tenant{Name: args[0], Description: *description}, Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("tenant %s created", args[0]) })
		})
	}
	return cmd
}

func (a *App) tenantListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List tenants", Example: "  supercluster tenant ls -o json", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			all, err := pages(func(token string) ([]*pb.Tenant, string, error) {
				r, err := c.tenants.ListTenants(ctx, &pb.ListTenantsRequest{PageSize: pageSize, PageToken: token})
				return r.GetTenants(), r.GetNextPageToken(), err
			})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, all, func(t *table) {
				t.header = []string{"NAME", "ID", "DESCRIPTION"}
				for _, x := range all {
					t.add(x.GetName(), utoa(x.GetId()), x.GetDescription())
				}
			})
		})
	}
	return cmd
}

func (a *App) tenantDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a tenant that is empty", Example: "  supercluster tenant delete shop", Args: args(1, 1),
	}
	message := messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.tenants.DeleteTenant(ctx, &pb.DeleteTenantRequest{Name: args[0], Options: options})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("tenant %s deleted", args[0]) })
		})
	}
	return cmd
}

func (a *App) namespaceCommand() *cobra.Command {
	return group("namespace", "Namespaces of a tenant", "  supercluster namespace create staging -t shop\n  supercluster namespace ls -t shop",
		a.namespaceCreateCommand(), a.namespaceListCommand(), a.namespaceDeleteCommand(), a.namespaceFederateCommand())
}

func (a *App) namespaceCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a namespace in the tenant of --tenant",
		Example: "  supercluster namespace create staging -t shop", Args: args(1, 1),
	}
	description, message := cmd.Flags().String("description", "", "free text for people"), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			tenant := first(c.tenant, "default")
			r, err := c.tenants.CreateNamespace(ctx, &pb.CreateNamespaceRequest{
				Namespace: &pb.Namespace{Tenant: tenant, Name: args[0], Description: *description}, Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("namespace %s created in tenant %s", args[0], tenant) })
		})
	}
	return cmd
}

func (a *App) namespaceListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List the namespaces of a tenant", Example: "  supercluster namespace ls -t shop", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			all, err := pages(func(token string) ([]*pb.Namespace, string, error) {
				r, err := c.tenants.ListNamespaces(ctx, &pb.ListNamespacesRequest{Tenant: first(c.tenant, "default"), PageSize: pageSize, PageToken: token})
				return r.GetNamespaces(), r.GetNextPageToken(), err
			})
			if err != nil {
				return nil, err
			}
			return nil, printList(a, all, func(t *table) {
				t.header = []string{"NAME", "TENANT", "ID", "DESCRIPTION"}
				for _, x := range all {
					t.add(x.GetName(), x.GetTenant(), utoa(x.GetId()), x.GetDescription())
				}
			})
		})
	}
	return cmd
}

func (a *App) namespaceDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a namespace that is empty", Example: "  supercluster namespace delete staging -t shop", Args: args(1, 1),
	}
	message := messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.tenants.DeleteNamespace(ctx, &pb.DeleteNamespaceRequest{Tenant: first(c.tenant, "default"), Name: args[0], Options: options})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("namespace %s deleted", args[0]) })
		})
	}
	return cmd
}
