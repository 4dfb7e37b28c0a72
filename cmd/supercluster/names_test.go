package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"supercluster/cmd/supercluster/cli"
)

// said is a command line in a text: between backquotes, or on a line of an example that begins with it.
var said = regexp.MustCompile("`supercluster ([^`\n]+)`|(?m:^(?:\\$ )?supercluster ([^\n|>&;#]+))")

// TestNames: every command line in the documents and in the hints of errors names commands and flags that exist.
func TestNames(t *testing.T) {
	found := 0
	for path, text := range texts(t) {
		for _, m := range said.FindAllStringSubmatch(text, -1) {
			found++
			if problem := unknownName(strings.Fields(m[1] + m[2])); problem != "" {
				t.Errorf("%s: %q: %s", path, m[0], problem)
			}
		}
	}
	if found < 200 {
		t.Errorf("only %d command lines were found", found)
	}
	for _, wrong := range []string{"federation stauts", "dev --regoins 3", "region cost dc2 5ms", "backup create -x"} {
		if unknownName(strings.Fields(wrong)) == "" {
			t.Errorf("%q is taken for a command line", wrong)
		}
	}
}

// texts are the documents and the sources, without tests and what is generated.
func texts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			if path == "api/gen" || path == "bin" || path != "." && strings.HasPrefix(path, ".") {
				return fs.SkipDir
			}
			return err
		}
		if ext := filepath.Ext(path); ext != ".md" && ext != ".go" || strings.HasSuffix(path, "_test.go") || path == "docs/formats.md" {
			return nil // formats.md names what is signed, which begins with "supercluster" too
		}
		text, err := fs.ReadFile(root, path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// unknownName tells which word of a command line is no command and no flag. What stands in capitals, and a choice such
// as status|links, is for people; after the command itself only flags are judged.
func unknownName(words []string) string {
	c := tree()
	cli.AddBackup(c, restoreCommand())
	at := 0
	for ; at < len(words); at++ {
		if strings.HasPrefix(words[at], "-") && c.Name() != "dev" && c.Name() != "server" {
			if problem := unknownFlag(c, words[at]); problem != "" && !c.HasParent() {
				return problem
			}
			if !c.HasParent() && !strings.Contains(words[at], "=") {
				at++ // its value
			}
			continue
		}
		next := childNamed(c, strings.TrimRight(words[at], ".,:)"))
		if next == nil {
			break
		}
		c = next
	}
	if at < len(words) && !strings.HasPrefix(words[at], "-") && c.HasSubCommands() && c.Name() != "dev" && isName(words[at]) {
		return "there is no command " + words[at]
	}
	for _, word := range words {
		if problem := unknownFlag(c, word); problem != "" {
			return problem
		}
	}
	return ""
}

// isName reports whether a word can be meant as a command.
func isName(word string) bool {
	return strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func childNamed(c *cobra.Command, name string) *cobra.Command {
	i := slices.IndexFunc(c.Commands(), func(child *cobra.Command) bool { return child.Name() == name })
	if i < 0 {
		return nil
	}
	return c.Commands()[i]
}

func unknownFlag(c *cobra.Command, word string) string {
	c.InitDefaultHelpFlag()
	name := strings.TrimRight(word, ".,:)]")
	var flag *pflag.Flag
	switch {
	case name == "-" || name == "--" || !strings.HasPrefix(name, "-"):
		return ""
	case strings.HasPrefix(name, "--"):
		name, _, _ = strings.Cut(name[2:], "=")
		flag = c.Flag(name)
	default:
		if flag = c.Flags().ShorthandLookup(name[1:2]); flag == nil {
			flag = c.InheritedFlags().ShorthandLookup(name[1:2])
		}
	}
	if flag == nil {
		return c.CommandPath() + " has no flag " + word
	}
	return ""
}
