package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

func (a *App) serviceCommand() *cobra.Command {
	watched := []pb.Kind{pb.Kind_KIND_SERVICE, pb.Kind_KIND_INSTANCE, pb.Kind_KIND_CHECK, pb.Kind_KIND_CHECK_STATUS, pb.Kind_KIND_SUMMARY}
	watch := a.watchCommand("watch [SERVICE]", "Print the changes of services, instances, health and summaries as they happen",
		"  supercluster service watch web\n  supercluster service watch -o json --from-revision 100", watched,
		func(name, service string) bool { return name == service || strings.HasPrefix(name, service+"/") })
	return group("service", "Services and their instances",
		"  supercluster service register web --address 127.0.0.1 --port 9001 --check http:/healthz\n  supercluster service ls",
		a.registerCommand(), a.deregisterCommand(), a.heartbeatCommand(), a.servicePutCommand(), a.serviceDeleteCommand(),
		a.serviceListCommand(), a.serviceGetCommand(), watch)
}

// registration holds the flags of `service register`.
type registration struct {
	instance pb.Instance
	ports    map[string]int
	checks   []string
	options  checkOptions
	message  *string
}

func (a *App) registerCommand() *cobra.Command {
	var r registration
	cmd := &cobra.Command{
		Use: "register SERVICE", Short: "Register an instance of a service, or replace it",
		Example: `  supercluster service register web --address 127.0.0.1 --port 9001 --check http:/healthz
  supercluster service register db --id db-1 --address 10.0.0.7 --port 5432 --zone a --tag primary --meta version=17 --check tcp`,
		Args: args(1, 1),
	}
	f := cmd.Flags()
	f.StringVar(&r.instance.Address, "address", "", "IP address of the instance")
	f.Uint32Var(&r.instance.Port, "port", 0, "port of the instance")
	f.StringToIntVar(&r.ports, "named-port", nil, "further port as NAME=PORT")
	f.StringVar(&r.instance.Id, "id", "", "id, unique in the service (default <address>-<port>)")
	f.StringVar(&r.instance.Zone, "zone", "", "zone")
	f.Uint32Var(&r.instance.Weight, "weight", 0, "share of traffic, 1 to 65535 (default 100)")
	f.StringSliceVar(&r.instance.Tags, "tag", nil, "tag; may be given several times")
	f.StringToStringVar(&r.instance.Metadata, "meta", nil, "metadata as KEY=VALUE; may be given several times")
	f.StringArrayVar(&r.checks, "check", nil, checkHelp)
	f.DurationVar(&r.options.interval, "check-interval", 0, "time between probes (default 2s)")
	f.DurationVar(&r.options.timeout, "check-timeout", 0, "limit of one probe (default 1s)")
	f.Uint32Var(&r.options.rise, "check-rise", 0, "successes in a row that make a check passing (default 1)")
	f.Uint32Var(&r.options.fall, "check-fall", 0, "failures in a row that make a check critical (default 3)")
	r.message = messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return a.register(cmd, args[0], &r) }
	return cmd
}

func (a *App) register(cmd *cobra.Command, service string, r *registration) error {
	checks, err := parseChecks(r.instance.GetAddress(), r.checks, r.options)
	if err != nil {
		return err
	}
	for name, port := range r.ports {
		if port < 1 || port > 65535 {
			return fault.Field("--named-port", "%s: port %d is not between 1 and 65535", name, port)
		}
		if r.instance.Ports == nil {
			r.instance.Ports = map[string]uint32{}
		}
		r.instance.Ports[name] = uint32(port)
	}
	return a.call(cmd, func(ctx context.Context, c *client) error {
		options, err := c.write(ctx, *r.message)
		if err != nil {
			return err
		}
		in := &r.instance
		in.Tenant, in.Namespace, in.Service, in.Checks = c.tenant, c.namespace, service, checks
		answer, err := c.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: in, Options: options})
		if err != nil {
			return err
		}
		return a.print(answer, func(t *table) {
			got := answer.GetInstance()
			t.note("registered %s/%s at %s, revision %d", service, got.GetId(), hostPort(got.GetAddress(), got.GetPort()), answer.GetHeader().GetRevision())
		})
	})
}

func (a *App) deregisterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "deregister SERVICE ID", Short: "Remove an instance; with --drain gracefully",
		Example: "  supercluster service deregister web 127.0.0.1-9001 --drain 30s", Args: args(2, 2),
	}
	drain := cmd.Flags().Duration("drain", 0, "give it no new requests for this long before it is removed")
	message := messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{
				Tenant: c.tenant, Namespace: c.namespace, Service: args[0], Id: args[1], Drain: durationOf(*drain), Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) {
				if *drain > 0 {
					t.note("%s/%s drains; it is removed in %v", args[0], args[1], *drain)
					return
				}
				t.note("deregistered %s/%s", args[0], args[1])
			})
		})
	}
	return cmd
}

func (a *App) heartbeatCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "heartbeat SERVICE ID [CHECK]", Short: "Tell that an instance with TTL checks is alive",
		Example: `  supercluster service heartbeat web 127.0.0.1-9001
  supercluster service heartbeat web 127.0.0.1-9001 --every 5s`,
		Args: args(2, 3),
	}
	health := cmd.Flags().String("health", "passing", "passing, warning or critical")
	output := cmd.Flags().String("output-text", "", "what to show beside the health")
	every := cmd.Flags().Duration("every", 0, "repeat until interrupted")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, ok := pb.Health_value["HEALTH_"+strings.ToUpper(*health)]
		if !ok || h == 0 {
			return fault.Field("--health", "%q is not one of passing, warning, critical", *health)
		}
		target := &pb.HeartbeatTarget{Service: args[0], Instance: args[1], Health: pb.Health(h), Output: *output}
		if len(args) == 3 {
			target.Check = args[2]
		}
		for {
			if err := a.heartbeat(cmd, target); err != nil {
				return err
			}
			if *every == 0 {
				return nil
			}
			if !sleep(cmd.Context(), *every) {
				return cmd.Context().Err()
			}
		}
	}
	return cmd
}

func (a *App) heartbeat(cmd *cobra.Command, target *pb.HeartbeatTarget) error {
	return a.call(cmd, func(ctx context.Context, c *client) error {
		target.Tenant, target.Namespace = c.tenant, c.namespace
		r, err := c.registry.Heartbeat(ctx, &pb.HeartbeatRequest{Targets: []*pb.HeartbeatTarget{target}})
		if err != nil {
			return err
		}
		if len(r.GetUnknown()) > 0 {
			return fault.New(fault.NotFound, "%s/%s has no such TTL check", target.GetService(), target.GetInstance()).
				WithHint("register it with --check ttl:15s")
		}
		return a.print(r, func(t *table) { t.note("heard") })
	})
}

func (a *App) servicePutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put SERVICE", Short: "Define a service: protocol, named ports, metadata (optional; it has defaults)",
		Example: "  supercluster service put api --protocol grpc --named-port admin=9090/http --meta team=core", Args: args(1, 1),
	}
	protocol := cmd.Flags().String("protocol", "http", "http, http2, grpc or tcp")
	ports := cmd.Flags().StringArray("named-port", nil, "further port as NAME=PORT[/PROTOCOL]; may be given several times")
	meta := cmd.Flags().StringToString("meta", nil, "metadata as KEY=VALUE")
	closed := cmd.Flags().Bool("fail-closed", false, "when no instance is healthy, in no region, give clients none instead of those last known")
	expect := revisionFlag(cmd)
	message := messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := &pb.Service{Name: args[0], Metadata: *meta, FailClosed: *closed}
		var err error
		if s.Protocol, err = parseProtocol("--protocol", *protocol); err != nil {
			return err
		}
		for _, spec := range *ports {
			p, err := parsePort(spec)
			if err != nil {
				return err
			}
			s.Ports = append(s.Ports, p)
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			s.Tenant, s.Namespace = c.tenant, c.namespace
			r, err := c.registry.PutService(ctx, &pb.PutServiceRequest{Service: s, ExpectRevision: *expect, Options: options})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("service %s defined, revision %s", args[0], writtenAt(r.GetHeader())) })
		})
	}
	return cmd
}

// revisionFlag adds the compare of a write.
func revisionFlag(cmd *cobra.Command) *uint64 {
	return cmd.Flags().Uint64("if-revision", 0, "refuse unless the record is at this revision")
}

func parseProtocol(flag, text string) (pb.Protocol, error) {
	if v, ok := pb.Protocol_value["PROTOCOL_"+strings.ToUpper(text)]; ok && v != 0 {
		return pb.Protocol(v), nil
	}
	return 0, fault.Field(flag, "%q is not one of http, http2, grpc, tcp", text)
}

func parsePort(spec string) (*pb.Port, error) {
	name, rest, ok := strings.Cut(spec, "=")
	number, protocol, _ := strings.Cut(rest, "/")
	var port uint32
	if _, err := fmt.Sscan(number, &port); !ok || err != nil || port == 0 || port > 65535 {
		return nil, fault.Field("--named-port", "%q is not NAME=PORT[/PROTOCOL] with a port between 1 and 65535", spec)
	}
	p := &pb.Port{Name: name, Port: port}
	if protocol == "" {
		return p, nil
	}
	var err error
	p.Protocol, err = parseProtocol("--named-port", protocol)
	return p, err
}

func (a *App) serviceDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "delete SERVICE", Short: "Remove the definition of a service; its instances stay", Example: "  supercluster service delete api", Args: args(1, 1),
	}
	expect, message := revisionFlag(cmd), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.registry.DeleteService(ctx, &pb.DeleteServiceRequest{
				Tenant: c.tenant, Namespace: c.namespace, Name: args[0], ExpectRevision: *expect, Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("definition of service %s deleted", args[0]) })
		})
	}
	return cmd
}

func (a *App) serviceListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls", Short: "List services with the health of their instances", Example: "  supercluster service ls --tag v1 --watch", Args: args(0, 0)}
	tag, watch := cmd.Flags().String("tag", "", "only services that have an instance with this tag"), watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.show(cmd, *watch, pb.Kind_KIND_UNSPECIFIED, "", func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			var revision *pb.ReadHeader
			all, err := pages(func(token string) ([]*pb.ServiceSummary, string, error) {
				r, err := c.registry.ListServices(ctx, &pb.ListServicesRequest{
					Read: c.read, Tenant: c.tenant, Namespace: c.namespace, Tag: *tag, PageSize: pageSize, PageToken: token,
				})
				revision = r.GetHeader()
				return r.GetServices(), r.GetNextPageToken(), err
			})
			if err != nil {
				return nil, err
			}
			return revision, printList(a, all, func(t *table) {
				t.header = []string{"SERVICE", "PROTOCOL", "INSTANCES", "PASSING", "WARNING", "CRITICAL", "DRAINING", "REGIONS", "ZONES", "TAGS"}
				for _, s := range all {
					t.add(s.GetName(), protocolText(s.GetProtocol()), utoa(s.GetInstances()), utoa(s.GetPassing()), utoa(s.GetWarning()),
						utoa(s.GetCritical()), utoa(s.GetDraining()), regionsText(s), joined(s.GetZones()), joined(s.GetTags()))
				}
			})
		})
	}
	return cmd
}

func (a *App) serviceGetCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "get SERVICE", Short: "Show a service, its instances, and what other regions say of it in summaries", Example: "  supercluster service get web -o yaml --watch", Args: args(1, 1)}
	watch := watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.show(cmd, *watch, pb.Kind_KIND_UNSPECIFIED, args[0], func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.registry.GetService(ctx, &pb.GetServiceRequest{Read: c.read, Tenant: c.tenant, Namespace: c.namespace, Name: args[0]})
			if err != nil {
				return nil, err
			}
			return r.GetHeader(), a.printService(r)
		})
	}
	return cmd
}

func serviceTable(t *table, r *pb.GetServiceResponse) {
	t.header = []string{"INSTANCE", "ADDRESS", "REGION", "ZONE", "WEIGHT", "HEALTH", "TAGS", "METADATA", "CHECKS"}
	for _, in := range r.GetInstances() {
		t.add(in.GetId(), hostPort(in.GetAddress(), in.GetPort()), in.GetRegion(), orDash(in.GetZone()), utoa(in.GetWeight()), instanceHealth(in),
			orDash(strings.Join(in.GetTags(), ",")), orDash(mapText(in.GetMetadata())), orDash(checksText(in)))
	}
	s := r.GetService()
	t.note("")
	if r.GetDefined() {
		t.note("service %s, protocol %s, defined at revision %d", s.GetName(), protocolText(s.GetProtocol()), homeRevision(s))
	} else {
		t.note("service %s, protocol %s (no definition: defaults)", s.GetName(), protocolText(s.GetProtocol()))
	}
	if s.GetFailClosed() {
		t.note("fail-closed: clients get none when no instance is healthy")
	}
	for _, p := range s.GetPorts() {
		t.note("port %s %d, protocol %s", p.GetName(), p.GetPort(), protocolText(p.GetProtocol()))
	}
}

// joined shows a list in one cell.
func joined(list []string) string { return orDash(strings.Join(list, ",")) }

func instanceHealth(in *pb.Instance) string {
	if in.GetDraining() {
		return "draining"
	}
	return healthText(in.GetHealth())
}

// checksText shows each check with its health, and why it is not passing.
func checksText(in *pb.Instance) string {
	var all []string
	for _, c := range in.GetChecks() {
		text := c.GetId()
		i := slices.IndexFunc(in.GetCheckStatus(), func(s *pb.CheckStatus) bool { return s.GetCheckId() == c.GetId() })
		if i >= 0 {
			s := in.GetCheckStatus()[i]
			text += " " + healthText(s.GetHealth())
			if s.GetHealth() != pb.Health_HEALTH_PASSING && s.GetOutput() != "" {
				text += " (" + strings.Join(strings.Fields(s.GetOutput()), " ") + ")"
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

func hostPort(address string, port uint32) string {
	if strings.Contains(address, ":") {
		return fmt.Sprintf("[%s]:%d", address, port)
	}
	return fmt.Sprintf("%s:%d", address, port)
}
