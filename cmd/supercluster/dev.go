package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"supercluster/cmd/supercluster/cli"
	"supercluster/federation/dns"
	"supercluster/internal/config"
	"supercluster/internal/fault"
)

// devKeys are the keys that dev has flags for; the rest has one sensible value on a desk.
var devKeys = []string{
	"data-dir", "listen.http", "listen.grpc", "listen.dns", "listen.raft", "listen.federation", "listen.probe", "listen.admin",
	"dns.domain", "dns.aliases", "log.level", "log.format", "otlp.endpoint", "health.allow-link-local",
}

func devCommand(began time.Time) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a region of one node on this machine, for development",
		Long: `Run region "dc1" with node "n1" in one process on loopback. Its data is in a temporary folder that is removed at
the end, unless --data-dir names one. Everybody who reaches its ports may do everything. It prints "ready in N ms",
counted from the start of the process, when it serves; Ctrl-C ends it.

The identity of the region (its id and keys, see ` + "`supercluster region init`" + `) is made in the subfolder identity of the
data folder.

With --regions it runs regions dc1, dc2, ... in one process, over real QUIC on loopback: region n has the default ports
+ 10 x (n-1), and the admin listener is one for all. They are peers, their tenants "default" are linked, and the
namespace "default" is federated with its home in dc1. --delay delays each packet between them, one way; the verbs below
cut them from each other, and kill and start them.`,
		Example: "  supercluster dev\n  supercluster dev --data-dir ./data --port-offset 100\n  supercluster dev --regions 3 --delay 40ms",
		Args:    cli.UnknownCommand,
	}
	keyFlags(cmd, false, devKeys...)
	offset := cmd.Flags().Int("port-offset", 0, "add this to every default port")
	regions := cmd.Flags().Int("regions", 1, fmt.Sprintf("run so many regions, at most %d", maxDevRegions))
	delay := cmd.Flags().Duration("delay", 0, "delay between regions, one way")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *regions != 1 {
			return runDevRegions(cmd, began, *regions, *offset, *delay)
		}
		return runDev(cmd, began, *offset)
	}
	cmd.AddCommand(controlCommands()...)
	return noClientFlags(cmd)
}

func runDev(cmd *cobra.Command, began time.Time, offset int) error {
	c, err := devConfig(givenFlags(cmd), offset)
	if err != nil {
		return err
	}
	temporary := c.DataDir == ""
	if temporary {
		if c.DataDir, err = os.MkdirTemp("", "supercluster-dev-"); err != nil {
			return fault.Wrap(fault.Invalid, err, "cannot make a temporary folder")
		}
		defer os.RemoveAll(c.DataDir)
	}
	if err := devIdentity(&c, time.Now()); err != nil {
		return err
	}
	return serve(cmd.Context(), start{
		config: c, dev: true, version: version, logs: cmd.ErrOrStderr(),
		ready: func() { printReady(cmd.OutOrStdout(), c, temporary, time.Since(began)) },
	})
}

// runDevRegions runs several regions.
func runDevRegions(cmd *cobra.Command, began time.Time, regions, offset int, delay time.Duration) error {
	flags := givenFlags(cmd)
	for _, own := range []string{"regions", "delay", "port-offset"} {
		delete(flags, own)
	}
	dir, temporary := "", len(flags["data-dir"]) == 0
	if temporary {
		var err error
		if dir, err = os.MkdirTemp("", "supercluster-dev-"); err != nil {
			return fault.Wrap(fault.Invalid, err, "cannot make a temporary folder")
		}
		defer os.RemoveAll(dir)
	} else {
		dir = flags["data-dir"][0]
	}
	d, err := newDevRegions(flags, regions, offset, delay, dir, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	adminAddr := d.all[0].config.Listen.Admin
	admin, err := net.Listen("tcp", adminAddr)
	if err != nil {
		return portFault(err, "listen.admin", "--admin", adminAddr)
	}
	defer admin.Close()
	return d.run(cmd.Context(), admin, func() { printRegionsReady(cmd.OutOrStdout(), d, dir, temporary, time.Since(began)) })
}

func printRegionsReady(w io.Writer, d *devRegions, dir string, temporary bool, took time.Duration) {
	kept := "kept"
	if temporary {
		kept = "temporary, removed at the end"
	}
	fmt.Fprintf(w, "supercluster dev: %d regions. For development: everybody who reaches it may do everything.\n\n", len(d.all))
	for _, r := range d.all {
		l := r.config.Listen
		fmt.Fprintf(w, "  %s  HTTP http://%s  gRPC %s  DNS %s  federation %s/udp\n", r.config.Region, l.HTTP, l.GRPC, l.DNS, l.Federation)
	}
	first, last := d.all[0].config, d.all[len(d.all)-1].config
	fmt.Fprintf(w, `
  Admin  http://%s/debug/pprof/, /dev/regions
  data   %s (%s)

  export SUPERCLUSTER_SERVER=%s

Next:
  supercluster --server %s service register web --address 127.0.0.1 --port 9001
  supercluster --server %s lookup web --all-regions
  supercluster dev cut %s %s

ready in %d ms
`, first.Listen.Admin, dir, kept, first.Listen.GRPC, last.Listen.GRPC, first.Listen.GRPC, first.Region, last.Region, took.Milliseconds())
}

// devConfig is the configuration of dev: the defaults of a server, shifted, and what flags say.
func devConfig(flags map[string][]string, offset int) (config.Server, error) {
	return devConfigOf(flags, "dc1", offset, shift(config.Default().Listen.Admin, offset))
}

// devConfigOf is that of one region of several, which share the admin listener.
func devConfigOf(flags map[string][]string, region string, offset int, admin string) (config.Server, error) {
	defaults := config.Default()
	given := map[string][]string{"region": {region}, "node": {"n1"}, "log-level": {"warn"}}
	for flag, addr := range map[string]string{
		"http": defaults.Listen.HTTP, "grpc": defaults.Listen.GRPC, "dns": defaults.Listen.DNS, "raft": "127.0.0.1:8300",
		"federation": defaults.Listen.Federation, "probe": defaults.Listen.Probe, "admin": defaults.Listen.Admin,
	} {
		given[flag] = []string{shift(addr, offset)}
	}
	given["admin"] = []string{admin}
	for flag, values := range flags {
		given[flag] = values
	}
	given["member"] = []string{"n1=" + given["raft"][0]}
	c, _, err := config.Load(config.Sources{Flags: given})
	if err != nil {
		return c, err
	}
	folder := c.DataDir
	if folder == "" {
		c.DataDir = "temporary" // made once all else is right
	}
	err = c.Check()
	c.DataDir = folder
	if err != nil {
		return c, err
	}
	if err := dns.CheckDomains(c.DNS.Domain, c.DNS.Aliases); err != nil {
		return c, err
	}
	for _, l := range c.Listeners() {
		if !config.Loopback(l.Addr) {
			return c, fault.Field("--"+l.Flag, "%s is not a loopback address: dev lets everybody do everything", l.Addr).
				WithHint("`supercluster server` runs a node for others")
		}
	}
	return c, nil
}

// shift adds an offset to the port of an address.
func shift(addr string, offset int) string {
	host, port, _ := net.SplitHostPort(addr)
	n, _ := strconv.Atoi(port) // defaults are well-formed
	return net.JoinHostPort(host, strconv.Itoa(n+offset))
}

func printReady(w io.Writer, c config.Server, temporary bool, took time.Duration) {
	kept := "kept"
	if temporary {
		kept = "temporary, removed at the end"
	}
	cli := "supercluster"
	if c.Listen.GRPC != config.Default().Listen.GRPC {
		cli += " --server " + c.Listen.GRPC
	}
	fmt.Fprintf(w, `supercluster dev: region %s, node %s. For development: everybody who reaches it may do everything.

  HTTP   http://%s   (API, /metrics, /healthz, /readyz, /openapi.yaml)
  gRPC   %s   (API, xDS)
  DNS    %s   (*.service.%s)
  Raft   %s
  Probe  %s
  Links  %s   (QUIC, of other regions)
  Admin  http://%s/debug/pprof/
  data   %s (%s)

  export SUPERCLUSTER_SERVER=%s

Next:
  %[14]s service register web --address 127.0.0.1 --port 9001 --check http:/healthz
  %[14]s route put shop --host shop.example --prefix / --service web
  %[14]s lookup web

ready in %[15]d ms
`, c.Region, c.Node, c.Listen.HTTP, c.Listen.GRPC, c.Listen.DNS, c.DNS.Domain, c.Listen.Raft, c.Listen.Probe, c.Listen.Federation, c.Listen.Admin,
		c.DataDir, kept, c.Listen.GRPC, cli, took.Milliseconds())
}
