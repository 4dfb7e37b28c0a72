package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"supercluster/cmd/supercluster/cli"
	"supercluster/federation/dns"
	"supercluster/internal/config"
	"supercluster/internal/fault"
)

func serverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a node of a region",
		Long: `Run a node of a region. Values come from the defaults, then the file of --config (YAML or JSON), then the
environment (SUPERCLUSTER_*), then flags; docs/configuration.md lists the keys.

The first start of a node needs --bootstrap. It is refused on a folder that was used, and when a member answers that
the region exists already; without it an empty folder is refused, since a node that lost its disk must not vote again
under its old name.

With identity.* the first start gives the region the id of those files; a region with another id is refused. They are
the same on every node: make them once, with ` + "`supercluster region init`" + `, and copy them.

Without TLS files HTTP, gRPC and Raft bind loopback only; with them they take only clients with a certificate of
tls.client-ca. DNS and probe answer anybody, on any address. The federation port, on any address too, takes servers of
other regions, by the identities that were exchanged when they joined. The admin listener binds loopback always.`,
		Example: "  supercluster server --config n1.yaml --bootstrap   # the first start\n  supercluster server --config n1.yaml               # every later one",
		Args:    cli.Args(0, 0),
	}
	keyFlags(cmd, true)
	file := cmd.PersistentFlags().String("config", "", "configuration file, YAML or JSON")
	bootstrap := cmd.Flags().Bool("bootstrap", false, "allow the first start, on an empty folder")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := loadConfig(cmd, *file)
		if err != nil {
			return err
		}
		began := time.Now()
		return serve(cmd.Context(), start{
			config: c, bootstrap: *bootstrap, version: version, logs: cmd.ErrOrStderr(),
			ready: func() {
				fmt.Fprintf(cmd.OutOrStdout(), "region %s, node %s: ready in %d ms\n", c.Region, c.Node, time.Since(began).Milliseconds())
			},
		})
	}
	cmd.AddCommand(validateCommand(file), configCommand(file))
	return noClientFlags(cmd)
}

func validateCommand(file *string) *cobra.Command {
	return noClientFlags(&cobra.Command{
		Use: "validate", Short: "Say what is wrong with the configuration; start nothing",
		Example: "  supercluster server validate --config n1.yaml", Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(cmd, *file)
			if err != nil {
				return err
			}
			now := time.Now()
			if _, err := loadTLS(c, now); err != nil {
				return err
			}
			if _, err := loadIdentity(c, now); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "the configuration of node %s in region %s is valid\n", c.Node, c.Region)
			return nil
		},
	})
}

func configCommand(file *string) *cobra.Command {
	return noClientFlags(&cobra.Command{
		Use: "config", Short: "Print the effective configuration, every key with its value",
		Example: "  supercluster server config --config n1.yaml", Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, warnings, err := config.Load(sources(cmd, *file))
			if err != nil {
				return err
			}
			warn(cmd, warnings)
			text, err := c.Effective().Print()
			if err != nil {
				return fault.Wrap(fault.Internal, err, "the configuration cannot be printed")
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	})
}

func sources(cmd *cobra.Command, file string) config.Sources {
	return config.Sources{File: file, Env: os.Environ(), Flags: givenFlags(cmd)}
}

// loadConfig reads the configuration and demands that it is complete.
func loadConfig(cmd *cobra.Command, file string) (config.Server, error) {
	c, warnings, err := config.Load(sources(cmd, file))
	if err != nil {
		return c, err
	}
	warn(cmd, warnings)
	if err := c.Check(); err != nil {
		return c, err
	}
	return c, dns.CheckDomains(c.DNS.Domain, c.DNS.Aliases)
}

func warn(cmd *cobra.Command, warnings []string) {
	for _, w := range warnings {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", w)
	}
}
