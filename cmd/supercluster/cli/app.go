package cli

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// App is one run of the command line.
type App struct {
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
	Getenv  func(string) string
	Version string

	flags flags
	// terminal: Out is a terminal that may get colour.
	terminal bool
}

// flags are the values of the flags that every client verb takes.
type flags struct {
	server, context   string
	tenant, namespace string
	ca, cert, key     string
	timeout           time.Duration
	output            string
	// How reads are answered, and whether writes may go on to another region.
	level, session string
	maxAge         time.Duration
	noForward      bool
}

// New makes the root command with every client verb. The composition root adds `dev` and `server` to it.
func New(a *App) *cobra.Command {
	a.terminal = a.isTerminal()
	root := &cobra.Command{
		Use:   "supercluster",
		Short: "A service registry and mesh control plane for many datacenters",
		Long: `supercluster runs a region of the registry (dev, server) and talks to one (all other commands).

The server is found by --server, then SUPERCLUSTER_SERVER, then the context in use, then 127.0.0.1:8502. Several
servers, separated by commas, are tried in turn.

` + exitCodes(),
		Example: `  supercluster dev
  supercluster service register web --address 127.0.0.1 --port 9001 --check http:/healthz
  supercluster lookup web`,
		Version: a.Version, SilenceUsage: true, SilenceErrors: true,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(flagError)
	a.addFlags(root)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run a region:"}, &cobra.Group{ID: groupRegistry, Title: "Services and traffic:"},
		&cobra.Group{ID: groupConfig, Title: "Configuration:"}, &cobra.Group{ID: groupOperate, Title: "Operate:"},
	)
	add(root, groupRun, a.regionCommand())
	add(root, groupRegistry, a.serviceCommand(), a.routeCommand(), a.lookupCommand(), a.explainCommand(), a.proxyCommand(), a.applyCommand())
	add(root, groupConfig, a.configCommand(), a.txnCommand(), a.tenantCommand(), a.namespaceCommand(), a.placementCommand())
	add(root, groupOperate, a.statusCommand(), a.membersCommand(), a.backupCommand(), a.federationCommand(), a.contextCommand(), a.versionCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.GroupID = groupOperate
			c.Example = "  source <(supercluster completion bash)"
		}
	}
	root.SetHelpCommandGroupID(groupOperate)
	return root
}

// The groups of the root's help.
const (
	groupRun      = "run"
	groupRegistry = "registry"
	groupConfig   = "config"
	groupOperate  = "operate"
)

// AddRun adds commands that run a region.
func AddRun(root *cobra.Command, commands ...*cobra.Command) { add(root, groupRun, commands...) }

// AddBackup adds a command to the backup verbs.
func AddBackup(root *cobra.Command, commands ...*cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() == "backup" {
			c.AddCommand(commands...)
		}
	}
}

func add(root *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		root.AddCommand(c)
	}
}

func (a *App) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.flags.server, "server", "", "gRPC address of the server, or several separated by commas")
	f.StringVar(&a.flags.context, "context", "", "context to use instead of the one in use")
	f.StringVarP(&a.flags.tenant, "tenant", "t", "", "tenant (default \"default\")")
	f.StringVarP(&a.flags.namespace, "namespace", "n", "", "namespace (default \"default\")")
	f.StringVar(&a.flags.ca, "ca", "", "PEM file of the CA that the server's certificate comes from")
	f.StringVar(&a.flags.cert, "cert", "", "PEM file of the client certificate")
	f.StringVar(&a.flags.key, "key", "", "PEM file of its private key")
	f.DurationVar(&a.flags.timeout, "timeout", 10*time.Second, "limit of one call, retries included")
	f.StringVarP(&a.flags.output, "output", "o", "table", "table, json or yaml")
	f.StringVar(&a.flags.level, "level", "", "of reads: local, linearizable, bounded, session or home (default: that of the command)")
	f.DurationVar(&a.flags.maxAge, "max-age", 0, "of reads: level bounded, with this age at most; an older copy is not shown, its home is asked")
	f.StringVar(&a.flags.session, "session", "", "of reads: level session, with this session_token of a write's answer")
	f.BoolVar(&a.flags.noForward, "no-forward", false, "ask no other region: refuse what another one is the home of")
}

// ClientFlags are the names of the flags that only client verbs take.
func ClientFlags() []string {
	return []string{"server", "context", "tenant", "namespace", "ca", "cert", "key", "timeout", "output", "level", "max-age", "session", "no-forward"}
}

// group makes a command that only holds others.
func group(use, short, example string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(children...)
	return c
}

// unknownCommand refuses what stands where a command should.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, c := range cmd.Commands() {
		known = append(known, c.Name())
	}
	e := fault.New(fault.Invalid, "unknown command %q for %q", args[0], cmd.CommandPath())
	if near := config.Nearest(args[0], known); near != "" {
		return e.WithHint("did you mean %q?", near)
	}
	return e.WithHint("`%s --help` lists all", cmd.CommandPath())
}

// args demands between least and most arguments; most < 0 is no limit.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) >= least && (most < 0 || len(given) <= most) {
			return nil
		}
		what := "takes"
		if len(given) < least {
			what = "needs"
		}
		return fault.New(fault.Invalid, "%s %s", cmd.CommandPath(), what+" "+countText(least, most)).
			WithHint("usage: %s", cmd.UseLine())
	}
}

// Args demands between least and most arguments of a command that is not made here.
func Args(least, most int) cobra.PositionalArgs { return args(least, most) }

// UnknownCommand refuses what stands where a verb of a command that is not made here should.
func UnknownCommand(cmd *cobra.Command, given []string) error { return unknownCommand(cmd, given) }

func countText(least, most int) string {
	switch {
	case most == 0:
		return "no argument"
	case least == most && most == 1:
		return "one argument"
	case least == most:
		return "exactly " + itoa(most) + " arguments"
	case most < 0:
		return "at least " + itoa(least) + " argument(s)"
	default:
		return itoa(least) + " to " + itoa(most) + " arguments"
	}
}

// call runs fn with a connection under the time limit of one call.
func (a *App) call(cmd *cobra.Command, fn func(ctx context.Context, c *client) error) error {
	return a.connect(func(c *client) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), a.flags.timeout)
		defer cancel()
		return fn(ctx, c)
	})
}

// connect runs fn with a connection and no time limit.
func (a *App) connect(fn func(c *client) error) error {
	if err := checkOutput(a.flags.output); err != nil {
		return err
	}
	if a.flags.timeout <= 0 {
		return fault.Field("--timeout", "is %v", a.flags.timeout).WithHint("a call needs time: give more than 0, such as 10s")
	}
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.pool.close()
	return fn(c)
}

// isTerminal reports whether a writer is a terminal that may get colour.
func (a *App) isTerminal() bool {
	f, ok := a.Out.(*os.File)
	if !ok || a.Getenv("NO_COLOR") != "" || a.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
