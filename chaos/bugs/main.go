// Package main shows that the tests find bugs: it builds the real packages with one seeded bug after the other and runs
// the scenario that must catch it.
//
// It owns the list of seeded bugs and of their scenarios. It never judges by itself: `go test` does, and the checkers of
// the in-process tier, once without the bug, when all must pass, and once with it, when they must not. A build that fails
// catches nothing.
// Nothing here may be called concurrently.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// bug is a build tag, the test that must fail with it, and the focus of the in-process tier by which a chaos run must find it.
type bug struct {
	tag, pkg, scenario, focus string
}

var bugs = []bug{
	{"bug_ack_before_fsync", "./region/node", "TestTan_SavedIsOnTheDisk", "power-loss"},
	{"bug_split_index", "./region/store", "TestUpdate_AnyBeginningIsWhole", "power-loss"},
	{"bug_stale_read", "./region", "TestCluster_LeaderIsCutOffAndComesBack", "isolate"},
	{"bug_watch_drop", "./region/store", "TestFollow_GapFreeUnderConcurrentUpdates", "overrun"},
	{"bug_import_no_cursor", "./region/state", "TestImport_RefusesWhatDoesNotFit", "late-import"},
	{"bug_import_early_ack", "./federation", "TestAges_OfWhatWasOnlyReceived", "stall-import"},
	{"bug_tombstone_early", "./region/state", "TestPurge_LeavesWhatWasNotCompacted", "trim"},
	{"bug_head_unsigned", "./federation/feed", "TestImporter_Refuses", "forge"},
}

func main() {
	only := flag.String("only", "", "run only the bug with this tag")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage, in the root of the repository:\n  go run ./chaos/bugs\n  go run ./chaos/bugs --only bug_stale_read\n\nFlags:")
		flag.PrintDefaults()
	}
	flag.Parse()
	os.Exit(run(*only))
}

func run(only string) int {
	caught, all := 0, 0
	for _, b := range bugs {
		if only != "" && only != b.tag {
			continue
		}
		all++
		line, err := b.find()
		if err != nil {
			fmt.Printf("MISSED   %-22s %v\n", b.tag, err)
			continue
		}
		caught++
		fmt.Printf("caught   %-22s %s\n", b.tag, line)
	}
	if all == 0 {
		var tags []string
		for _, b := range bugs {
			tags = append(tags, b.tag)
		}
		fmt.Fprintf(os.Stderr, "bugs: there is no seeded bug %q; there are %s\n", only, strings.Join(tags, ", "))
		return 1
	}
	fmt.Printf("bugs: %d of %d caught\n", caught, all)
	if caught < all {
		return 1
	}
	return 0
}

// find looks for the bug by its scenario and by chaos, and says in a line what found it.
func (b bug) find() (string, error) {
	start := time.Now()
	if err := b.caught(); err != nil {
		return "", fmt.Errorf("by the test %s: %w", b.scenario, err)
	}
	line := fmt.Sprintf("test %s in %.0f s", b.scenario, time.Since(start).Seconds())
	f, err := b.chaos()
	if err != nil {
		return "", fmt.Errorf("by chaos --focus %s: %w", b.focus, err)
	}
	return fmt.Sprintf("%s; chaos --focus %s, seed %d in %.0f s: %s", line, b.focus, f.seed, f.took.Seconds(), f.checker), nil
}

// caught runs the scenario on the right build and on the one with the bug.
func (b bug) caught() error {
	dir, err := os.MkdirTemp("", "bugs")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	right, wrong := filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	if err := b.build(right, ""); err != nil {
		return err
	}
	if err := b.build(wrong, b.tag); err != nil {
		return err
	}
	if out, err := b.test(right).CombinedOutput(); err != nil {
		return fmt.Errorf("fails without the bug: %w\n%s", err, out)
	}
	err = b.test(wrong).Run()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
		return fmt.Errorf("with the bug the scenario did not fail: %v", err)
	}
	return nil
}

func (b bug) build(to, tag string) error {
	if out, err := exec.Command("go", "test", "-c", "-tags", tag, "-o", to, b.pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// test runs a built test in the folder of its package.
func (b bug) test(program string) *exec.Cmd {
	cmd := exec.Command(program, "-test.run", "^"+b.scenario+"$", "-test.timeout", "60s")
	cmd.Dir = b.pkg
	return cmd
}
