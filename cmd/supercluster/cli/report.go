package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	grpcstatus "google.golang.org/grpc/status"

	"supercluster/api/status"
	"supercluster/internal/fault"
)

// Report prints an error as one line (a list of problems as one line each) and gives the exit code.
func Report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	kind := fault.KindOf(err)
	for line := range strings.SplitSeq(strings.TrimRight(errorText(err), "\n"), "\n") {
		fmt.Fprintf(w, "error: %s\n", line)
	}
	return status.ExitCode(kind)
}

// errorText is the text for people: that of the fault with the context that was wrapped around it, without the
// cause of faults that came over the wire, which says the same in gRPC's words.
func errorText(err error) string {
	e, ok := fault.As(err)
	switch {
	case !ok && errors.Is(err, context.Canceled):
		return "interrupted"
	case !ok && errors.Is(err, context.DeadlineExceeded):
		return "the time-out passed"
	case !ok:
		return err.Error()
	}
	before, _, _ := strings.Cut(err.Error(), e.Error())
	text := before + e.Text()
	if _, overWire := grpcstatus.FromError(e.Err); e.Err != nil && !overWire {
		text += ": " + e.Err.Error()
	}
	return text
}

// exitCodes is the part of the help that lists the exit codes.
func exitCodes() string {
	kinds := map[int][]string{}
	for _, k := range fault.Kinds() {
		kinds[status.ExitCode(k)] = append(kinds[status.ExitCode(k)], k.String())
	}
	codes := make([]int, 0, len(kinds))
	for code := range kinds {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	var b strings.Builder
	b.WriteString("Exit codes (docs/errors.md says what to do about each kind of error):\n  0    done\n")
	for _, code := range codes {
		fmt.Fprintf(&b, "  %-4d %s\n", code, strings.Join(kinds[code], ", "))
	}
	return strings.TrimRight(b.String(), "\n")
}

func flagNames(cmd *cobra.Command) []string {
	var names []string
	collect := func(f *pflag.Flag) { names = append(names, f.Name) }
	cmd.Flags().VisitAll(collect)
	cmd.InheritedFlags().VisitAll(collect)
	return names
}

func itoa(n int) string { return strconv.Itoa(n) }
