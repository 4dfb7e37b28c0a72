package cli

import (
	"context"
	"strings"

	"buf.build/go/protovalidate"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// applied is one document of `apply`, ready to be sent.
type applied struct {
	kind, name string
	message    proto.Message
	at         document
	line       int
}

func (a *App) applyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Write what files describe: tenants, namespaces, services, instances, routes, configs",
		Long: `Write what files describe. A file holds one or more documents in YAML (separated by ---) or JSON. Each has
"kind:" (tenant, namespace, service, instance, route or config) and the fields of the API, with enum values in short and
config values as text. Every document is checked before the first is written; they are written in the order of
their kinds, so that a tenant comes before what is in it. Tenants and namespaces that exist are left as they are.`,
		Example: `  supercluster apply -f shop.yaml --dry-run
  printf 'kind: route\nname: shop\nhosts: [shop.example]\nservice: web\n' | supercluster apply -f -`,
		Args: args(0, 0),
	}
	files := cmd.Flags().StringArrayP("file", "f", nil, "file, or - for the standard input; may be given several times")
	dry := cmd.Flags().Bool("dry-run", false, "check and show what would be written; write nothing")
	message := messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if len(*files) == 0 {
			return fault.Field("--file", "is missing").WithHint("-f names a file, or - for the standard input")
		}
		var docs []document
		for _, file := range *files {
			data, err := a.read(file)
			if err != nil {
				return err
			}
			more, err := parseDocuments(file, data)
			if err != nil {
				return err
			}
			docs = append(docs, more...)
		}
		return a.connect(func(c *client) error {
			all, err := prepare(c, docs)
			if err != nil {
				return err
			}
			return a.apply(cmd.Context(), c, all, *dry, *message)
		})
	}
	return cmd
}

// kindOrder is the order in which kinds are written.
var kindOrder = [...]string{"tenant", "namespace", "service", "instance", "route", "config"}

// prepare turns documents into messages and checks them; nothing is written when one of them is wrong.
func prepare(c *client, docs []document) ([]applied, error) {
	var all []applied
	var problems []string
	for _, d := range docs {
		x, err := prepareOne(c, d)
		if err != nil {
			problems = append(problems, errorText(err))
			continue
		}
		all = append(all, x)
	}
	if len(problems) > 0 {
		return nil, fault.New(fault.Invalid, "%s", strings.Join(problems, "\n"))
	}
	if len(all) == 0 {
		return nil, fault.New(fault.Invalid, "there is no document to apply")
	}
	return all, nil
}

func prepareOne(c *client, d document) (applied, error) {
	line := d.node.Line
	kind, at := d.take("kind")
	x := applied{kind: strings.ToLower(kind), at: d, line: line}
	switch x.kind {
	case "tenant":
		x.message = &pb.Tenant{}
	case "namespace":
		x.message = &pb.Namespace{}
	case "service":
		x.message = &pb.Service{}
	case "instance":
		x.message = &pb.Instance{}
	case "route":
		x.message = &pb.Route{}
	case "config":
		x.message = &pb.Config{}
	case "":
		return x, d.fail(d.node, `"kind" is missing: one of %s`, strings.Join(kindOrder[:], ", "))
	default:
		if near := config.Nearest(x.kind, kindOrder[:]); near != "" {
			return x, d.fail(at, "unknown kind %q; did you mean %q?", kind, near)
		}
		return x, d.fail(at, "unknown kind %q; it is one of %s", kind, strings.Join(kindOrder[:], ", "))
	}
	if err := d.message(x.message); err != nil {
		return x, err
	}
	x.name = x.place(c)
	if err := protovalidate.Validate(x.message); err != nil {
		why := strings.ReplaceAll(strings.TrimPrefix(err.Error(), "validation error: "), "\n", "; ")
		return x, fault.New(fault.Invalid, "%s:%d: %s %s: %s", d.file, line, x.kind, x.name, why)
	}
	return x, nil
}

// place fills in the tenant and namespace of the flags where the document has none, and gives the name for people.
func (x *applied) place(c *client) string {
	fill := func(tenant, namespace *string) {
		*tenant = first(*tenant, c.tenant)
		if namespace != nil {
			*namespace = first(*namespace, c.namespace)
		}
	}
	switch m := x.message.(type) {
	case *pb.Tenant:
		return m.GetName()
	case *pb.Namespace:
		fill(&m.Tenant, nil)
		m.Tenant = first(m.Tenant, "default")
		return m.GetTenant() + "/" + m.GetName()
	case *pb.Service:
		fill(&m.Tenant, &m.Namespace)
		return m.GetName()
	case *pb.Instance:
		fill(&m.Tenant, &m.Namespace)
		return m.GetService() + "/" + first(m.GetId(), m.GetAddress()+"-"+utoa(m.GetPort()))
	case *pb.Route:
		fill(&m.Tenant, &m.Namespace)
		return m.GetName()
	case *pb.Config:
		fill(&m.Tenant, &m.Namespace)
		return m.GetName()
	}
	return ""
}

func (a *App) apply(ctx context.Context, c *client, all []applied, dry bool, message string) error {
	done := 0
	for _, kind := range kindOrder {
		for _, x := range all {
			if x.kind != kind {
				continue
			}
			result, err := "would be written", error(nil)
			if !dry {
				result, err = a.applyOne(ctx, c, x, message)
			}
			if err != nil {
				if e, ok := fault.As(err); ok {
					return e.WithHint("%s", strings.TrimSuffix(e.Hint+"; ", "; ")+afterHint(done, len(all), x))
				}
				return err
			}
			done++
			a.say("%s %s %s", x.kind, x.name, result)
		}
	}
	return nil
}

// afterHint says how far apply came before an error.
func afterHint(done, all int, x applied) string {
	return x.at.file + ":" + itoa(x.line) + ", " + x.kind + " " + x.name + "; " + itoa(done) + " of " + itoa(all) + " documents were written"
}

func (a *App) applyOne(ctx context.Context, c *client, x applied, message string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	options, err := c.write(ctx, message)
	if err != nil {
		return "", err
	}
	switch m := x.message.(type) {
	case *pb.Tenant:
		_, err = c.tenants.CreateTenant(ctx, &pb.CreateTenantRequest{Tenant: m, Options: options})
	case *pb.Namespace:
		_, err = c.tenants.CreateNamespace(ctx, &pb.CreateNamespaceRequest{Namespace: m, Options: options})
	case *pb.Service:
		_, err = c.registry.PutService(ctx, &pb.PutServiceRequest{Service: m, Options: options})
	case *pb.Instance:
		_, err = c.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: m, Options: options})
	case *pb.Route:
		_, err = c.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: m, Options: options})
	case *pb.Config:
		_, err = c.configs.PutConfig(ctx, &pb.PutConfigRequest{Config: m, Options: options})
	}
	if fault.Is(err, fault.Exists) && (x.kind == "tenant" || x.kind == "namespace") {
		return "exists", nil
	}
	return "written", err
}
