package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// maxInput bounds what is read from a file or the standard input: a megabyte of value and room for syntax.
const maxInput = 16 << 20

func (a *App) configCommand() *cobra.Command {
	watch := a.watchCommand("watch [PREFIX]", "Print the changes of config entries as they happen",
		"  supercluster config watch shop/\n  supercluster config watch -o json --from-revision 100", []pb.Kind{pb.Kind_KIND_CONFIG},
		strings.HasPrefix)
	return group("config", "Config entries with history",
		"  echo '{\"limit\": 10}' | supercluster config put shop/limits --format json -\n  supercluster config get shop/limits",
		a.configPutCommand(), a.configGetCommand(), a.configListCommand(), a.configDeleteCommand(), a.configHistoryCommand(),
		a.configDiffCommand(), a.configRollbackCommand(), watch)
}

func (a *App) configPutCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME [VALUE|-]", Short: "Write an entry: the value, - for the standard input, or --file",
		Example: `  supercluster config put shop/limits '{"limit": 10}' --format json
  supercluster config put shop/limits.yaml --file limits.yaml -m 'more room'`,
		Args: args(1, 2),
	}
	file := cmd.Flags().String("file", "", "file with the value")
	format := cmd.Flags().String("format", "", "json, yaml, toml or text (default by the ending of the name or file, else text)")
	create := cmd.Flags().Bool("create", false, "refuse if the entry exists")
	expect, message := revisionFlag(cmd), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		entry := &pb.Config{Name: args[0]}
		var err error
		if entry.Value, err = a.value(args[1:], *file); err != nil {
			return err
		}
		if entry.Format, err = parseFormat(first(*format, formatOf(*file), formatOf(args[0]), "text")); err != nil {
			return err
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			entry.Tenant, entry.Namespace = c.tenant, c.namespace
			r, err := c.configs.PutConfig(ctx, &pb.PutConfigRequest{Config: entry, ExpectRevision: *expect, CreateOnly: *create, Options: options})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("%s: revision %s", args[0], writtenAt(r.GetHeader())) })
		})
	}
	return cmd
}

// value reads a value from where the arguments say.
func (a *App) value(args []string, file string) ([]byte, error) {
	switch {
	case file != "" && len(args) > 0:
		return nil, fault.New(fault.Invalid, "a value and --file: only one of them")
	case file == "" && len(args) == 0:
		return nil, fault.New(fault.Invalid, "there is no value").WithHint("give VALUE, - for the standard input, or --file")
	case file == "" && args[0] != "-":
		return []byte(args[0]), nil
	}
	return a.read(first(file, "-"))
}

// read takes a file, or - for the standard input.
func (a *App) read(file string) ([]byte, error) {
	in := a.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "cannot read %s", file)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "cannot read %s", file)
	}
	if len(data) > maxInput {
		return nil, fault.New(fault.TooLarge, "%s has more than %d bytes", file, maxInput)
	}
	return data, nil
}

// formatOf finds a format in the ending of a name; empty when it tells none.
func formatOf(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return "json"
	case ".yaml", ".yml":
		return "yaml"
	case ".toml":
		return "toml"
	}
	return ""
}

func parseFormat(text string) (pb.Format, error) {
	if v, ok := pb.Format_value["FORMAT_"+strings.ToUpper(text)]; ok && v != 0 {
		return pb.Format(v), nil
	}
	return 0, fault.Field("--format", "%q is not one of json, yaml, toml, text", text)
}

func (a *App) configGetCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get NAME", Short: "Print the value of an entry, byte for byte; with -o json or yaml everything about it",
		Example: "  supercluster config get shop/limits\n  supercluster config get shop/limits --revision 12 -o yaml", Args: args(1, 1),
	}
	revision, watch := cmd.Flags().Uint64("revision", 0, "as of this revision; 0 is the newest"), watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.show(cmd, *watch, pb.Kind_KIND_CONFIG, args[0], func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			r, err := c.getConfig(ctx, args[0], *revision)
			if err != nil {
				return nil, err
			}
			if a.flags.output == outputTable {
				_, err := a.Out.Write(r.GetConfig().GetValue())
				return r.GetHeader(), writeError(err)
			}
			return r.GetHeader(), a.print(r.GetConfig(), nil)
		})
	}
	return cmd
}

func (c *client) getConfig(ctx context.Context, name string, revision uint64) (*pb.GetConfigResponse, error) {
	return c.configs.GetConfig(ctx, &pb.GetConfigRequest{Read: c.read, Tenant: c.tenant, Namespace: c.namespace, Name: name, Revision: revision})
}

func (a *App) configListCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ls [PREFIX]", Short: "List entries", Example: "  supercluster config ls shop/", Args: args(0, 1)}
	revision := cmd.Flags().Uint64("revision", 0, "as of this revision; 0 is the newest")
	values, watch := cmd.Flags().Bool("values", false, "with -o json or yaml: the values too"), watchFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		prefix := strings.Join(args, "")
		return a.show(cmd, *watch, pb.Kind_KIND_CONFIG, prefix, func(ctx context.Context, c *client) (*pb.ReadHeader, error) {
			var at *pb.ReadHeader
			all, err := pages(func(token string) ([]*pb.Config, string, error) {
				r, err := c.configs.ListConfigs(ctx, &pb.ListConfigsRequest{
					Read: c.read, Tenant: c.tenant, Namespace: c.namespace, Prefix: prefix, KeysOnly: !*values, Revision: *revision,
					PageSize: pageSize, PageToken: token,
				})
				at = r.GetHeader()
				return r.GetConfigs(), r.GetNextPageToken(), err
			})
			if err != nil {
				return nil, err
			}
			return at, printList(a, all, func(t *table) {
				t.header = []string{"NAME", "FORMAT", "REVISION", "VERSION", "TIME", "AUTHOR", "MESSAGE"}
				for _, x := range all {
					t.add(configRow(x)...)
				}
			})
		})
	}
	return cmd
}

func configRow(x *pb.Config) []string {
	return []string{
		x.GetName(), formatText(x.GetFormat()), utoa(homeRevision(x)), utoa(x.GetMeta().GetVersion()),
		timeText(x.GetTime()), orDash(x.GetAuthor()), x.GetMessage(),
	}
}

func (a *App) configDeleteCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME", Short: "Delete an entry; its history stays", Example: "  supercluster config delete shop/limits", Args: args(1, 1)}
	expect, message := revisionFlag(cmd), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.configs.DeleteConfig(ctx, &pb.DeleteConfigRequest{
				Tenant: c.tenant, Namespace: c.namespace, Name: args[0], ExpectRevision: *expect, Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) { t.note("%s deleted, revision %s", args[0], writtenAt(r.GetHeader())) })
		})
	}
	return cmd
}

func (c *client) history(ctx context.Context, name string, keysOnly bool, limit uint32) ([]*pb.ConfigVersion, error) {
	r, err := c.configs.ListConfigHistory(ctx, &pb.ListConfigHistoryRequest{
		Read: c.read, Tenant: c.tenant, Namespace: c.namespace, Name: name, KeysOnly: keysOnly, Limit: limit,
	})
	return r.GetVersions(), err
}

func (a *App) configHistoryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "history NAME", Short: "List the kept versions of an entry, newest first", Example: "  supercluster config history shop/limits", Args: args(1, 1)}
	limit := cmd.Flags().Uint32("limit", 0, "at most this many; 0 is all that are kept")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.call(cmd, func(ctx context.Context, c *client) error {
			all, err := c.history(ctx, args[0], a.flags.output == outputTable, *limit)
			if err != nil {
				return err
			}
			return printList(a, all, func(t *table) {
				t.header = []string{"REVISION", "VERSION", "CHANGE", "FORMAT", "TIME", "AUTHOR", "MESSAGE"}
				for _, v := range all {
					row := configRow(v.GetConfig())
					change := "put"
					if v.GetDeleted() {
						change = "delete"
					}
					t.add(row[2], row[3], change, row[1], row[4], row[5], row[6])
				}
			})
		})
	}
	return cmd
}

func (a *App) configDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use: "diff NAME [FROM [TO]]", Short: "Show what changed between two revisions of an entry (default: by the last write)",
		Example: "  supercluster config diff shop/limits\n  supercluster config diff shop/limits 12 15", Args: args(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			var revisions [2]uint64
			for i, text := range args[1:] {
				var err error
				if revisions[i], err = parseRevision(text); err != nil {
					return err
				}
			}
			return a.call(cmd, func(ctx context.Context, c *client) error {
				versions, err := c.history(ctx, args[0], false, 0)
				if err != nil {
					return err
				}
				return a.diff(args[0], versions, revisions[0], revisions[1])
			})
		},
	}
}

func parseRevision(text string) (uint64, error) {
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil || v == 0 {
		return 0, fault.New(fault.Invalid, "%q is not a revision", text)
	}
	return v, nil
}

// diff prints what changed from one version to another; 0 stands for the one before the newest, and the newest.
func (a *App) diff(name string, versions []*pb.ConfigVersion, from, to uint64) error {
	after, err := versionAt(name, versions, to)
	if err != nil {
		return err
	}
	var before *pb.ConfigVersion
	if from != 0 {
		if before, err = versionAt(name, versions, from); err != nil {
			return err
		}
	} else {
		for i, v := range versions {
			if v == after && i+1 < len(versions) {
				before = versions[i+1]
			}
		}
	}
	label := func(v *pb.ConfigVersion) (string, []byte) {
		switch {
		case v == nil:
			return "/dev/null", nil
		case v.GetDeleted():
			return fmt.Sprintf("%s@%d (deleted)", name, homeRevision(v.GetConfig())), nil
		}
		return fmt.Sprintf("%s@%d", name, homeRevision(v.GetConfig())), v.GetConfig().GetValue()
	}
	oldName, oldText := label(before)
	newName, newText := label(after)
	text := diff.Diff(oldName, oldText, newName, newText)
	if a.flags.output != outputTable {
		t := table{}
		return a.printPlain(map[string]string{"from": oldName, "to": newName, "diff": string(text)}, &t)
	}
	if len(text) == 0 {
		a.say("%s and %s have the same content", oldName, newName)
		return nil
	}
	_, err = a.Out.Write(text)
	return writeError(err)
}

// versionAt finds the version that was the newest at a revision.
func versionAt(name string, versions []*pb.ConfigVersion, revision uint64) (*pb.ConfigVersion, error) {
	for _, v := range versions {
		if revision == 0 || homeRevision(v.GetConfig()) <= revision {
			return v, nil
		}
	}
	return nil, fault.New(fault.NotFound, "%s has no kept version at revision %d", name, revision).
		WithHint("`supercluster config history %s` lists them", name)
}

func (a *App) configRollbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rollback NAME REVISION", Short: "Write the content of an older revision as a new one",
		Example: "  supercluster config rollback shop/limits 12 -m 'limits were too low'", Args: args(2, 2),
	}
	expect, message := revisionFlag(cmd), messageFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		to, err := parseRevision(args[1])
		if err != nil {
			return err
		}
		return a.call(cmd, func(ctx context.Context, c *client) error {
			options, err := c.write(ctx, *message)
			if err != nil {
				return err
			}
			r, err := c.configs.RollbackConfig(ctx, &pb.RollbackConfigRequest{
				Tenant: c.tenant, Namespace: c.namespace, Name: args[0], ToRevision: to, ExpectRevision: *expect, Options: options,
			})
			if err != nil {
				return err
			}
			return a.print(r, func(t *table) {
				t.note("%s: the content of revision %d is revision %d now", args[0], to, r.GetHeader().GetRevision())
			})
		})
	}
	return cmd
}
