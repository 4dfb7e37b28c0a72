package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/xds/resources"
)

func (a *App) proxyCommand() *cobra.Command {
	return group("proxy", "Envoy proxies and gRPC clients that are configured over xDS",
		"  supercluster proxy bootstrap edge-1 --listen 127.0.0.1:10000 > envoy.yaml && envoy -c envoy.yaml\n  supercluster proxy status",
		a.bootstrapCommand(), a.proxyListCommand(), a.proxyStatusCommand())
}

// bootstrapFlags are the flags of `proxy bootstrap`.
type bootstrapFlags struct {
	grpc                      bool
	listen, role, admin, zone string
}

func (a *App) bootstrapCommand() *cobra.Command {
	var b bootstrapFlags
	cmd := &cobra.Command{
		Use: "bootstrap ID", Short: "Write the bootstrap of an Envoy, or with --grpc of a gRPC client, naming every server of the region",
		Long: `Write the bootstrap of an Envoy, or with --grpc of a gRPC client, naming every server of the region.

Where the servers want TLS, --ca, --cert and --key name the files for this command and, as given, for the client.`,
		Example: `  supercluster proxy bootstrap edge-1 --listen 127.0.0.1:10000 > envoy.yaml && envoy -c envoy.yaml
  supercluster proxy bootstrap --grpc my-client > xds.json && GRPC_XDS_BOOTSTRAP=xds.json my-client xds:///web`,
		Args: args(1, 1),
	}
	f := cmd.Flags()
	f.BoolVar(&b.grpc, "grpc", false, "write JSON for a gRPC client (GRPC_XDS_BOOTSTRAP)")
	f.StringVar(&b.listen, "listen", "", "host:port that Envoy listens on")
	f.StringVar(&b.role, "role", "edge", "edge (all routes) or sidecar")
	f.StringVar(&b.admin, "admin", "", "host:port of Envoy's admin interface (default a free port of 127.0.0.1)")
	f.StringVar(&b.zone, "zone", "", "zone of the client")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !b.grpc && b.listen == "" {
			return fault.Field("--listen", "is missing: an Envoy needs a host:port to listen on").WithHint("with --grpc the bootstrap is for a gRPC client, which needs none")
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			r, err := c.proxies.MakeBootstrap(ctx, &pb.MakeBootstrapRequest{})
			if err != nil {
				return err
			}
			data, err := a.bootstrap(args[0], c, &b, r)
			if err != nil {
				return err
			}
			_, err = a.Out.Write(data)
			return writeError(err)
		})
	}
	return cmd
}

func (a *App) bootstrap(id string, c *client, b *bootstrapFlags, r *pb.MakeBootstrapResponse) ([]byte, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	var files *resources.TLS
	if r.GetTls() {
		if s.tls.CA == "" || s.tls.Cert == "" || s.tls.Key == "" {
			return nil, fault.New(fault.Invalid, "the servers take TLS only").
				WithHint("--ca, --cert and --key name the files that the client will use")
		}
		files = &resources.TLS{CA: s.tls.CA, Cert: s.tls.Cert, Key: s.tls.Key}
	}
	tenant, namespace := first(c.tenant, "default"), first(c.namespace, "default")
	if b.grpc {
		return resources.GRPCBootstrap(resources.GRPCBootstrapOptions{
			ID: id, Servers: r.GetServers(), Region: r.GetRegion(), Zone: b.zone, Tenant: tenant, Namespace: namespace, TLS: files,
		})
	}
	return resources.EnvoyBootstrap(resources.EnvoyBootstrapOptions{
		ID: id, Servers: r.GetServers(), Region: r.GetRegion(), Zone: b.zone, Tenant: tenant, Namespace: namespace,
		Role: b.role, Listen: b.listen, Admin: b.admin, TLS: files,
	})
}

func (c *client) listProxies(ctx context.Context) ([]*pb.Proxy, error) {
	return pages(func(token string) ([]*pb.Proxy, string, error) {
		r, err := c.proxies.ListProxies(ctx, &pb.ListProxiesRequest{PageSize: pageSize, PageToken: token})
		return r.GetProxies(), r.GetNextPageToken(), err
	})
}

func (a *App) proxyListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List the connected clients of all nodes", Example: "  supercluster proxy ls", Args: args(0, 0)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			all, err := c.listProxies(ctx)
			if err != nil {
				return nil, err
			}
			return nil, printList(a, all, func(t *table) {
				t.header = []string{"PROXY", "CLIENT", "ROLE", "PROTOCOL", "NODE", "ADDRESS", "CONNECTED", "STATE"}
				for _, p := range all {
					t.add(p.GetId(), p.GetClient(), p.GetRole(), p.GetProtocol(), p.GetNode(), p.GetAddress(), timeText(p.GetConnected()), proxyState(p))
				}
			})
		})
	}
	return cmd
}

// proxyState is the worst state of the types of a proxy.
func proxyState(p *pb.Proxy) string {
	state := "ACK"
	for _, t := range p.GetTypes() {
		switch typeState(t) {
		case "NACK":
			return "NACK"
		case "pending":
			state = "pending"
		}
	}
	return state
}

func typeState(t *pb.ProxyType) string {
	switch {
	case t.GetNack() != "":
		return "NACK"
	case t.GetPending():
		return "pending"
	case t.GetVersionAcked() == "":
		return "-"
	default:
		return "ACK"
	}
}

func (a *App) proxyStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status [ID]", Short: "Show what each client was sent, acknowledged and rejected, by type",
		Example: "  supercluster proxy status\n  supercluster proxy status edge-1 -o json", Args: args(0, 1),
	}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.poll(cmd, *watch, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			all, err := c.listOrGet(ctx, args)
			if err != nil {
				return nil, err
			}
			return nil, printList(a, all, func(t *table) { proxyTable(t, all) })
		})
	}
	return cmd
}

func (c *client) listOrGet(ctx context.Context, args []string) ([]*pb.Proxy, error) {
	if len(args) == 0 {
		return c.listProxies(ctx)
	}
	r, err := c.proxies.GetProxy(ctx, &pb.GetProxyRequest{Id: args[0]})
	return r.GetProxies(), err
}

func proxyTable(t *table, all []*pb.Proxy) {
	t.header = []string{"PROXY", "NODE", "TYPE", "NAMES", "STATE", "SENT", "ACKED", "AGE", "NACKS"}
	for _, p := range all {
		for _, x := range p.GetTypes() {
			names := utoa(x.GetSubscribed())
			if x.GetWildcard() {
				names = "*"
			}
			t.add(p.GetId(), p.GetNode(), x.GetType(), names, typeState(x), orDash(x.GetVersionSent()), orDash(x.GetVersionAcked()),
				ageText(x.GetAckedAge()), utoa(x.GetNacks()))
			if x.GetNack() != "" {
				t.note("%s rejected %s at %s: %s", p.GetId(), x.GetType(), timeText(x.GetNackTime()), strings.Join(strings.Fields(x.GetNack()), " "))
			}
		}
	}
	if len(all) == 0 {
		t.note("no client is connected")
	}
}
