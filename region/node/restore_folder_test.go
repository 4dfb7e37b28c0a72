package node

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// killAt names the folder into which a process of this test restores until it kills itself.
const killAt = "SUPERCLUSTER_TEST_RESTORE_INTO"

func restoreOf(dir string, write func(w io.Writer, applied uint64) error) RestoreConfig {
	return RestoreConfig{Dir: dir, Region: "dc1", RegionID: [16]byte{1}, Node: "n2", Members: []string{"n1", "n2", "n3"}, Base: 1000, Write: write}
}

// writeNothing writes a state without a row.
func writeNothing(w io.Writer, _ uint64) error { return record.NewSnapshotWriter(w, 1).Close() }

// TestRestore_Killed: a restore that kill -9 ends half way leaves a folder on which nothing starts; it says what to do, and the
// same command does it.
func TestRestore_Killed(t *testing.T) {
	if dir := os.Getenv(killAt); dir != "" {
		_ = Restore(t.Context(), restoreOf(dir, func(io.Writer, uint64) error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) }))
		t.Fatal("it lives")
	}
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(os.Args[0], "-test.run=^TestRestore_Killed$")
	cmd.Env = append(os.Environ(), killAt+"="+dir)
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process was not killed: %v\n%s", err, out)
	}
	refusedAsUnfinished(t, dir)
	restoresAgain(t, dir)
}

// TestRestore_KilledBeforeItsEnd: all is there but the identity.
func TestRestore_KilledBeforeItsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := Restore(t.Context(), restoreOf(dir, writeNothing)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, identityName)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, identityName+".new", "{")
	if err := os.MkdirAll(filepath.Join(dir, restoreName, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	refusedAsUnfinished(t, dir)
	write(t, dir, "thesis.txt", "mine")
	if err := Restore(t.Context(), restoreOf(dir, writeNothing)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "thesis.txt") {
		t.Errorf("a folder with somebody's file: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, raftName)); err != nil {
		t.Errorf("what was refused removed something: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "thesis.txt")); err != nil {
		t.Fatal(err)
	}
	restoresAgain(t, dir)
}

// TestRestore_KilledAtItsEnd: the identity is there, and so is what only the restore needed. The node starts, and from then on its
// folder never looks like one that is being restored.
func TestRestore_KilledAtItsEnd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := Restore(t.Context(), restoreOf(dir, writeNothing)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, restoreName, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), restoreOf(dir, writeNothing)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "in use by a node") {
		t.Errorf("over a folder that is whole: %v", err)
	}
	f, err := OpenFolder(t.Context(), folderConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if restoreUnfinished(dir) {
		t.Error("what the restore needed is still there after a start")
	}
	if err := os.Remove(filepath.Join(dir, identityName)); err != nil {
		t.Fatal(err)
	}
	if err := Restore(t.Context(), restoreOf(dir, writeNothing)); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "raft") {
		t.Errorf("over a folder that lost its identity: %v", err)
	}
}

// TestRestore_FullDisk: what fails while the state is written leaves an empty folder, and says why.
func TestRestore_FullDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	full := func(io.Writer, uint64) error { return &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC} }
	if err := Restore(t.Context(), restoreOf(dir, full)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 1 { // the lock
		t.Errorf("it left %v (%v)", left, err)
	}
	restoresAgain(t, dir)
}

func refusedAsUnfinished(t *testing.T, dir string) {
	t.Helper()
	for _, bootstrap := range []bool{false, true} {
		cfg := folderConfig(dir)
		cfg.Bootstrap = bootstrap
		_, err := OpenFolder(context.Background(), cfg)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "holds a restore that did not end") || !strings.Contains(err.Error(), "backup restore FILE --config CONFIG` again") {
			t.Errorf("a start, bootstrap %v: %v", bootstrap, err)
		}
	}
	if _, err := StoredRegionID(dir); !fault.Is(err, fault.Conflict) {
		t.Errorf("its region: %v", err)
	}
}

func restoresAgain(t *testing.T, dir string) {
	t.Helper()
	if err := Restore(t.Context(), restoreOf(dir, writeNothing)); err != nil {
		t.Fatalf("again: %v", err)
	}
	if restoreUnfinished(dir) {
		t.Error("what the restore needed is still there")
	}
	f, err := OpenFolder(t.Context(), folderConfig(dir))
	if err != nil {
		t.Fatalf("a start after it: %v", err)
	}
	defer f.Close()
	if f.Replica() != 1002 || !f.JustRestored() {
		t.Errorf("replica %d", f.Replica())
	}
}
