package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// requireEnv turns a skip into a failure, as .ci/run sets it.
const requireEnv = "SUPERCLUSTER_REQUIRE_CLIENTS"

func newDisk(t *testing.T) *Disk {
	t.Helper()
	if err := Unavailable(); err != nil {
		if os.Getenv(requireEnv) != "" {
			t.Fatal(err)
		}
		t.Skip("SKIP: no disks of their own:", err)
	}
	d, err := New(t.TempDir(), 64<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(t *testing.T, path string, content []byte, sync bool) {
	t.Helper()
	file, err := os.Create(path)
	if err == nil {
		_, err = file.Write(content)
	}
	if err == nil && sync {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPowerLoss_KeepsWhatWasSyncedAndNothingElse(t *testing.T) {
	d := newDisk(t)
	content := bytes.Repeat([]byte("x"), 1<<20)
	write(t, filepath.Join(d.Dir, "synced"), content, true)
	if err := syncDir(d.Dir); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Dir, "unsynced"), content, false)
	evidence, err := d.PowerLoss()
	if err != nil || evidence == "" {
		t.Fatalf("%q, %v", evidence, err)
	}
	if err := d.Remount(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(d.Dir, "synced")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the synced file: %d bytes, %v", len(got), err)
	}
	if got, err := os.ReadFile(filepath.Join(d.Dir, "unsynced")); err == nil && bytes.Equal(got, content) {
		t.Error("the file that was not synced survived the power loss")
	}
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func TestStall(t *testing.T) {
	d := newDisk(t)
	if evidence, err := d.Stall(200 * time.Millisecond); err != nil || evidence == "" {
		t.Errorf("%q, %v", evidence, err)
	}
	write(t, filepath.Join(d.Dir, "after"), []byte("x"), true)
}

func TestFill(t *testing.T) {
	d := newDisk(t)
	if evidence, err := d.Fill(0); err != nil || evidence == "" {
		t.Fatalf("%q, %v", evidence, err)
	}
	err := os.WriteFile(filepath.Join(d.Dir, "more"), make([]byte, 4<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write on a full disk: %v", err)
	}
	if err := d.Empty(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(d.Dir, "after"), make([]byte, 1<<20), true)
}
