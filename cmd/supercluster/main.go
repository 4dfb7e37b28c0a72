package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"supercluster/cmd/supercluster/cli"
	"supercluster/internal/config"
	"supercluster/internal/fault"
	"supercluster/internal/lifecycle"
)

// version is set by the linker.
var version = "dev"

func main() {
	if serves(os.Args[1:]) {
		relaxTimers()
		letGarbageGather(memoryOfProcess())
		letMonitorWait()
	}
	began := processStart(time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go awaitSignals(signals, cancel)
	os.Exit(run(ctx, began, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// serves reports whether arguments are those of a process that stays. A flag before the command hides it; then it is
// slower, nothing else.
func serves(args []string) bool {
	if len(args) == 0 || args[0] != "server" && args[0] != "dev" {
		return false
	}
	return len(args) == 1 || strings.HasPrefix(args[1], "-")
}

// patience is how long after the first signal a second one still counts as the same: timeout(1) and shells signal
// a process and its group.
const patience = time.Second

// awaitSignals asks the process to stop at the first signal, and ends it at once at one that comes later.
func awaitSignals(signals <-chan os.Signal, stop func()) {
	<-signals
	stop()
	first := time.Now()
	for range signals {
		if time.Since(first) > patience {
			os.Exit(exitInterrupted)
		}
	}
}

// exitInterrupted is the exit code of a process that a signal ended.
const exitInterrupted = 130

// run is main with its surroundings as arguments.
func run(ctx context.Context, began time.Time, args []string, in io.Reader, out, errOut io.Writer) int {
	app := &cli.App{In: in, Out: out, Err: errOut, Getenv: os.Getenv, Version: version}
	root := cli.New(app)
	cli.AddRun(root, devCommand(began), serverCommand())
	cli.AddBackup(root, restoreCommand())
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var stuck *lifecycle.StuckError
	if errors.As(err, &stuck) {
		// What hangs is worth more than a quiet exit.
		_ = pprof.Lookup("goroutine").WriteTo(errOut, 2)
	}
	if ctx.Err() != nil && fault.Is(err, fault.Canceled) {
		return exitInterrupted
	}
	return cli.Report(errOut, err)
}

// keyFlags adds a flag for each key of the configuration that is in names (all for none).
func keyFlags(cmd *cobra.Command, persistent bool, keys ...string) {
	flags := cmd.Flags()
	if persistent {
		flags = cmd.PersistentFlags()
	}
	for _, f := range config.Fields() {
		if len(keys) > 0 && !slices.Contains(keys, f.Key) {
			continue
		}
		usage := strings.TrimSuffix(lower(f.Doc), ".")
		if f.List() {
			flags.StringArray(f.Flag, nil, usage)
			continue
		}
		flags.String(f.Flag, "", usage+defaultText(f))
	}
}

func defaultText(f config.Field) string {
	if f.Default() == "" {
		return ""
	}
	return fmt.Sprintf(" (default %s)", f.Default())
}

// lower begins a sentence as the help of a flag does, unless its first word is a name.
func lower(s string) string {
	word, _, _ := strings.Cut(s, " ")
	if strings.ToUpper(word) == word || strings.ContainsAny(word[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ/") {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// givenFlags are the values of the flags that were given.
func givenFlags(cmd *cobra.Command) map[string][]string {
	given := map[string][]string{}
	for _, f := range config.Fields() {
		flag := cmd.Flag(f.Flag)
		if flag == nil || !flag.Changed {
			continue
		}
		if values, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			given[f.Flag] = values.GetSlice()
			continue
		}
		given[f.Flag] = []string{flag.Value.String()}
	}
	return given
}

// noClientFlags refuses flags that only client verbs read, and hides them from the help.
func noClientFlags(cmd *cobra.Command) *cobra.Command {
	cmd.SetUsageTemplate(strings.Replace(cmd.UsageTemplate(), "{{if .HasAvailableInheritedFlags}}", "{{if false}}", 1))
	return refuseFlags(cmd)
}

// refuseFlags refuses flags that only client verbs read, but for some.
func refuseFlags(cmd *cobra.Command, except ...string) *cobra.Command {
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		for _, name := range cli.ClientFlags() {
			if f := cmd.InheritedFlags().Lookup(name); f != nil && f.Changed && !slices.Contains(except, name) {
				return fault.New(fault.Invalid, "--%s is a flag of client verbs", name).WithHint("see `%s --help`", cmd.CommandPath())
			}
		}
		return nil
	}
	return cmd
}
