package tally

import (
	"strings"
	"testing"
)

// Lines and counts are as they were checked, and the code is non-zero only when a check failed.
func TestTally(t *testing.T) {
	var out strings.Builder
	code := 0
	all := Tally{Out: &out, exitsForUs: func(c int) { code = c }}
	all.Check(true, "%d things", 3)
	if all.End("run:"); code != 0 {
		t.Errorf("ends with %d", code)
	}
	all.Bad = "  BAD"
	all.Check(false, "less")
	if all.End("run of %d:", 2); code != 1 || all.Passed() != 1 || all.Failed() != 1 {
		t.Errorf("ends with %d; %d passed, %d failed", code, all.Passed(), all.Failed())
	}
	want := "ok   3 things\nrun: 1 passed, 0 failed\n  BAD less\nrun of 2: 1 passed, 1 failed\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
