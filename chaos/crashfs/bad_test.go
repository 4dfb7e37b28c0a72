package crashfs

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	pebble "github.com/cockroachdb/pebble/v2/vfs"

	"supercluster/internal/bubble"
)

// Everything that changes a disk waits while it stands still, and is done when it goes on; what reads does not wait.
func TestStall(t *testing.T) {
	root := t.TempDir()
	state := filepath.Join(root, "state")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(state, name) }
	bubble.Test(t, func(t *testing.T) {
		d := New(root, "state")
		db, log := d.State(), d.Log()
		f, err := db.Create(path("a"), pebble.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		release, waited := d.Stall()
		changes := []func() error{
			func() error { _, err := f.Write([]byte("one")); return err },
			f.Sync, f.SyncData,
			func() error { return db.MkdirAll(path("folder"), 0o700) },
			func() error { return log.Link(path("a"), path("b")) },
			func() error {
				h, err := log.Create(path("c"))
				if err == nil {
					err = h.Close()
				}
				return err
			},
		}
		done := make(chan error, len(changes))
		for _, change := range changes {
			go func() { done <- change() }()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(done) > 0 || waited() != len(changes) {
			t.Errorf("%d of %d changes were made while the disk stood still, %d waited", len(done), len(changes), waited())
		}
		if _, err := db.List(state); err != nil {
			t.Error(err)
		}
		release()
		release() // once is enough
		for range changes {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if err := db.Remove(path("b")); err != nil || waited() != len(changes) {
			t.Errorf("the disk goes on, but %v, and %d waited", err, waited())
		}
	})
	if b, err := os.ReadFile(path("a")); err != nil || string(b) != "one" {
		t.Errorf("%q, %v", b, err)
	}
}

// A disk that is full says so, and no more when it was emptied. What is written all the same is there.
func TestFill(t *testing.T) {
	root := t.TempDir()
	d := New(root, "state")
	room := func() uint64 {
		t.Helper()
		usage, err := d.State().GetDiskUsage(root)
		if err != nil {
			t.Fatal(err)
		}
		return usage.AvailBytes
	}
	before := room()
	if d.Fill(before / 2); room() > before/2 {
		t.Errorf("%d of %d bytes are free on a full disk", room(), before)
	}
	if err := d.State().MkdirAll(filepath.Join(root, "state", "folder"), 0o700); err != nil {
		t.Error(err)
	}
	if d.Fill(1 << 62); room() == 1<<62 {
		t.Error("a disk says that it has more room than it has")
	}
	d.Fill(0)
	if d.Empty(); room() == 0 {
		t.Error("the disk was emptied and is full")
	}
}
