package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"supercluster/cmd/supercluster/cli"
)

var update = flag.Bool("update", false, "rewrite the generated part of docs/cli.md")

// tree is the whole command line as main makes it.
func tree() *cobra.Command {
	root := cli.New(&cli.App{Out: io.Discard, Err: io.Discard, Getenv: func(string) string { return "" }})
	cli.AddRun(root, devCommand(time.Now()), serverCommand())
	cli.AddBackup(root, restoreCommand())
	return root
}

// walk calls fn for every command that we made; cobra brings `help` and the children of `completion`.
func walk(c *cobra.Command, fn func(*cobra.Command)) {
	fn(c)
	for _, child := range c.Commands() {
		if child.Name() != "help" && c.Name() != "completion" {
			walk(child, fn)
		}
	}
}

func TestHelp_EveryCommandHasAnExample(t *testing.T) {
	walk(tree(), func(c *cobra.Command) {
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s: --help has no example or no description", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, "supercluster") {
				t.Errorf("%s: the example line %q is not indented or runs something else", c.CommandPath(), line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s: --%s has no description", c.CommandPath(), f.Name)
			}
		})
	})
}

// TestDocs keeps the list of commands in docs/cli.md equal to the commands.
func TestDocs(t *testing.T) {
	const path, begin, end = "../../docs/cli.md", "<!-- commands: begin -->\n", "<!-- commands: end -->\n"
	var want strings.Builder
	walk(tree(), func(c *cobra.Command) { describe(&want, c) })
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), begin)
	old, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no place for the commands", path)
	case old == want.String():
	case !*update:
		t.Fatalf("%s: the list of commands is old (run with -update to rewrite)", path)
	default:
		if err := os.WriteFile(path, []byte(before+begin+want.String()+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func describe(b *strings.Builder, c *cobra.Command) {
	use := c.CommandPath() + strings.TrimPrefix(c.Use, c.Name())
	switch {
	case !c.HasParent():
		fmt.Fprintf(b, "### Flags of every client command\n\n")
	case c.Name() == "server":
		fmt.Fprintf(b, "### `%s`\n\n%s. Its flags are the keys of [configuration.md](configuration.md), and:\n\n- `--bootstrap`: allow the first start, on an empty folder\n- `--config` string: configuration file, YAML or JSON\n\n", use, c.Short)
		return
	default:
		fmt.Fprintf(b, "### `%s`\n\n%s.\n\n```\n%s\n```\n\n", use, strings.TrimSuffix(c.Short, "."), dedent(c.Example))
	}
	flags := c.LocalNonPersistentFlags()
	if !c.HasParent() {
		flags = c.PersistentFlags()
	}
	listed := false
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		fmt.Fprintf(b, "- %s: %s\n", name, f.Usage)
		listed = true
	})
	if listed {
		b.WriteByte('\n')
	}
}

func dedent(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "  "), "\n  ", "\n")
}
