// Package tally counts the checks of a program that plays its steps once and says of each what it found.
//
// It owns the lines and the exit code, never what is checked. A Tally belongs to one goroutine.
package tally

import (
	"fmt"
	"io"
	"os"
)

// Tally is the checks of one program. Its zero value prints to standard output.
type Tally struct {
	Out        io.Writer
	Good, Bad  string // how lines begin; "ok  " and "FAIL" when they are empty
	passed     int
	failed     int
	exitsForUs func(int) // in tests, in place of os.Exit
}

// Check prints a line and counts it.
func (t *Tally) Check(ok bool, format string, args ...any) {
	mark := orElse(t.Good, "ok  ")
	if ok {
		t.passed++
	} else {
		mark = orElse(t.Bad, "FAIL")
		t.failed++
	}
	fmt.Fprintf(t.writer(), "%s %s\n", mark, fmt.Sprintf(format, args...))
}

// Passed is how many checks passed.
func (t *Tally) Passed() int { return t.passed }

// Failed is how many did not.
func (t *Tally) Failed() int { return t.failed }

// End prints the counts after what they are of, and ends the process when a check failed.
func (t *Tally) End(format string, args ...any) {
	fmt.Fprintf(t.writer(), "%s %d passed, %d failed\n", fmt.Sprintf(format, args...), t.passed, t.failed)
	if t.failed == 0 {
		return
	}
	if t.exitsForUs != nil {
		t.exitsForUs(1)
		return
	}
	os.Exit(1)
}

func (t *Tally) writer() io.Writer {
	if t.Out == nil {
		return os.Stdout
	}
	return t.Out
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
