package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"supercluster/cmd/supercluster/cli"
)

// goWords are those of Go's parsers, which tell a user nothing.
var goWords = []string{"strconv", "parsing", "invalid argument", "invalid syntax", "missing unit", "parse error", "must be formatted", "shorthand", "needs an argument"}

// fails runs a command line that must be refused, and gives what is printed and the exit code.
func fails(t *testing.T, args ...string) (text string, code int) {
	t.Helper()
	var out, errOut bytes.Buffer
	app := &cli.App{Out: &out, Err: &errOut, Getenv: os.Getenv, Version: "test"}
	root := cli.New(app)
	cli.AddRun(root, devCommand(time.Now()), serverCommand())
	cli.AddBackup(root, restoreCommand())
	root.SetArgs(args)
	code = cli.Report(&errOut, root.ExecuteContext(t.Context()))
	for _, word := range goWords {
		if strings.Contains(errOut.String(), word) {
			t.Errorf("%q: %q speaks Go", args, errOut.String())
		}
	}
	return errOut.String(), code
}

// TestFlags_SpeakPlainly gives every flag of every command a value that it does not take.
func TestFlags_SpeakPlainly(t *testing.T) {
	tried := map[string]int{}
	walk(tree(), func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			kind := f.Value.Type()
			if kind == "string" || kind == "stringArray" {
				return // they take everything; what it means is judged by the command
			}
			tried[kind]++
			text, code := fails(t, append(path, "--"+f.Name+"=\"x")...)
			if code != 2 || !strings.HasPrefix(text, "error: --"+f.Name+": ") || strings.Contains(text, "a value that it takes") {
				t.Errorf("%s --%s of type %s: exit %d, %q", c.CommandPath(), f.Name, kind, code, text)
			}
		})
	})
	if len(tried) < 8 {
		t.Errorf("only these types were tried: %v", tried)
	}
}

func TestFlags_WhatIsWrong(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"dev --regions x", "error: --regions: \"x\" is not a whole number below 9223372036854775808 (see `supercluster dev --help`)\n"},
		{"dev --delay 5", "error: --delay: \"5\" is not a duration such as 500ms, 10s or 5m (see `supercluster dev --help`)\n"},
		{"service register web --port 99999999999", "error: --port: \"99999999999\" is not a number from 0 to 4294967295 (see `supercluster service register --help`)\n"},
		{"service register web --named-port a=b", "error: --named-port: \"a=b\" is not NAME=NUMBER, or several separated by commas (see `supercluster service register --help`)\n"},
		{"service register web --meta a", "error: --meta: \"a\" is not KEY=VALUE, or several separated by commas (see `supercluster service register --help`)\n"},
		{"config watch --from-revision -3", "error: --from-revision: \"-3\" is not a number from 0 to 18446744073709551615 (see `supercluster config watch --help`)\n"},
		{"lookup web --no-forward=maybe", "error: --no-forward: \"maybe\" is not true or false (see `supercluster lookup --help`)\n"},
		{"lookup web -o", "error: --output: is given without a value (see `supercluster lookup --help`)\n"},
		{"lookup web --tag", "error: --tag: is given without a value (see `supercluster lookup --help`)\n"},
		{"lookup -x", "error: unknown flag: -x (see `supercluster lookup --help`)\n"},
		{"lookup ---x", "error: \"---x\" is no flag (see `supercluster lookup --help`)\n"},
		{"lookup --tga v1", "error: unknown flag: --tga (did you mean --tag?)\n"},
		{"lookup --qqqqqqqqq", "error: unknown flag: --qqqqqqqqq (see `supercluster lookup --help`)\n"},
	} {
		if text, code := fails(t, strings.Fields(c.args)...); text != c.want || code != 2 {
			t.Errorf("%s: exit %d, %q, want %q", c.args, code, text, c.want)
		}
	}
}

func TestServes_ProcessesThatStay(t *testing.T) {
	for _, test := range []struct {
		args string
		want bool
	}{
		{"server", true},
		{"server --config n1.yaml --bootstrap", true},
		{"dev", true},
		{"dev --regions 3", true},
		{"dev cut dc1 dc2", false},
		{"server validate --config n1.yaml", false},
		{"lookup web", false},
		{"", false},
	} {
		if got := serves(strings.Fields(test.args)); got != test.want {
			t.Errorf("%q: %t, want %t", test.args, got, test.want)
		}
	}
}
