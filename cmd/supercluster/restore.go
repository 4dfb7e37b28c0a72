package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/region"
)

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "restore FILE --config CONFIG", Short: "Begin a region again from a backup: once on each of its members, before any of them starts",
		Long: `Begin a region again from a backup. Run it on each member with that member's configuration and the same file, before any of them
starts; it needs no server. Then start all of them as usual, without --bootstrap.

The data folder must be unused: a folder with data is never overwritten. The members are those of the configuration; they may be
others, and more or fewer, than before. All must be restored: two of three are a majority and would run, but a member that is
restored after the region went on is refused. Old servers of the lost region must stay off: they take no part in the new one.

A region that exchanges with others needs the key files of ` + "`region init`" + `, which are in no backup. It begins fenced: it brings back from
its peers what it had exported after the backup, then begins a new incarnation; ` + "`federation status`" + ` tells what came back and what
could not.`,
		Example: `  supercluster backup verify dc1.scbackup
  supercluster backup restore dc1.scbackup --config n1.yaml
  supercluster backup restore dc1.scbackup --config n1.yaml -o json`,
		Args: oneFile,
	}
	file := cmd.Flags().String("config", "", "configuration file of the member, YAML or JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		form := cmd.Flag("output").Value.String()
		if form != "table" && form != "json" {
			return fault.Field("--output", "%q is not one of table, json", form)
		}
		c, err := loadConfig(cmd, *file)
		if err != nil {
			return err
		}
		identity, err := loadIdentity(c, time.Now())
		if err != nil {
			return err
		}
		cfg := region.RestoreConfig{
			Open:    func() (io.ReadCloser, error) { return region.OpenBackup(args[0]) },
			DataDir: c.DataDir, Region: c.Region, Node: c.Node, Members: slices.Collect(maps.Keys(c.Members)),
			Progress: func(step string) { fmt.Fprintln(cmd.ErrOrStderr(), step) },
		}
		if identity != nil {
			cfg.ID = identity.RegionID
		}
		restored, err := region.RestoreBackup(cmd.Context(), cfg)
		if err != nil {
			return err
		}
		if form == "json" {
			return printRestored(cmd.OutOrStdout(), c, &restored)
		}
		sayRestored(cmd.OutOrStdout(), c, *file, &restored)
		return nil
	}
	return refuseFlags(cmd, "output")
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fault.New(fault.Invalid, "%s needs one argument", cmd.CommandPath()).WithHint("usage: %s", cmd.UseLine())
}

func printRestored(out io.Writer, c config.Server, r *region.Restored) error {
	h := &r.Content.Header
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{
		"region": h.Region, "region_id": h.RegionID, "node": c.Node, "replica": r.Replica, "data_dir": c.DataDir, "revision": h.Revision,
		"backup_state_hash": hex.EncodeToString(r.Content.Trailer.Hash[:]), "state_hash": hex.EncodeToString(r.Hash[:]),
		"content_hash": hex.EncodeToString(r.Content.ContentHash[:]),
	})
}

// sayRestored tells what was done and what comes next.
func sayRestored(out io.Writer, c config.Server, file string, r *region.Restored) {
	h := &r.Content.Header
	fmt.Fprintf(out, "restored region %s (%s) at revision %d into %s, as node %s, replica %d\n", h.Region, h.RegionID, h.Revision, c.DataDir, c.Node, r.Replica)
	fmt.Fprintf(out, "content hash of the backup and of the begin %x\n", r.Content.ContentHash)
	fmt.Fprintf(out, "state hash of the backup %x\nstate hash of the begin  %x: the same on every member\n\nNext:\n", r.Content.Trailer.Hash, r.Hash)
	step := 1
	if len(c.Members) > 1 {
		fmt.Fprintf(out, "  %d. restore the other members from the same file, each with its configuration, before any starts\n", step)
		step++
	}
	fmt.Fprintf(out, "  %d. start every member, without --bootstrap: supercluster server --config %s\n", step, file)
	if h.Federated {
		fmt.Fprintf(out, "  %d. see what came back from the other regions: supercluster federation status\n", step+1)
	}
}
