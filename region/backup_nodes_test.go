package region

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/store"
)

// hashes are those of a node.
func (m *member) hashes(t *testing.T) Hashes {
	t.Helper()
	h, err := m.StateHash(within(t, 10*time.Second))
	if err != nil {
		t.Fatalf("the hash of node %s: %v", m.cfg.Node, err)
	}
	return h
}

func (m *member) backup(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := m.Backup(within(t, 30*time.Second), &file, "test", time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatalf("a backup by node %s: %v", m.cfg.Node, err)
	}
	return file.Bytes()
}

// restored starts the members of a cluster on new folders that begin with a backup.
func (c *cluster) restored(file []byte) (next *cluster, what Restored) {
	c.t.Helper()
	next = newCluster(c.t, c.names()...)
	for i, name := range next.names() {
		got, err := RestoreBackup(c.t.Context(), RestoreConfig{
			Open:    func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil },
			DataDir: filepath.Join(next.dir, name), Region: "dc1", Node: name, Members: next.names(),
		})
		if err != nil {
			c.t.Fatalf("restore %s: %v", name, err)
		}
		if got.Replica = 0; i > 0 && got != what {
			c.t.Errorf("member %s begins with %+v, the one before with %+v", name, got, what)
		}
		what = got
	}
	for _, name := range next.names() {
		next.start(name, false)
	}
	next.ready(next.names()...)
	return next, what
}

// TestBackup_ThreeNodes: a region of three under writes is backed up by every node; it restores to three running nodes that
// hold, each by its own rows, what the backup holds.
func TestBackup_ThreeNodes(t *testing.T) {
	c := threeNodes(t)
	leader := c.leader()
	w := write(t, 4, func(int) *member { return c.nodes[leader] })
	eventually(t, "writes flow", 10*time.Second, func() bool { return w.count() > 50 })
	var file []byte
	var before map[string]bool
	for _, name := range c.names() {
		before = w.snapshot()
		file = c.nodes[name].backup(t)
	}
	eventually(t, "writes go on", 10*time.Second, func() bool { return w.count() > len(before)+50 })
	w.end(t, c)
	content, err := verifyBytes(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if c.nodes[leader].hashes(t).Content == content.ContentHash {
		t.Error("after more writes the region has the content of the backup")
	}
	for _, name := range c.names() {
		c.stop(name)
	}

	next, what := c.restored(file)
	if what.Content != content {
		t.Errorf("the restore found %+v, verify %+v", what.Content, content)
	}
	eventually(t, "the three have one state", 10*time.Second, func() bool { // each node writes its record at its start
		h := next.nodes["n1"].hashes(t)
		return next.nodes["n2"].hashes(t) == h && next.nodes["n3"].hashes(t) == h
	})
	for _, name := range next.names() {
		if h := next.nodes[name].hashes(t); h.Content != content.ContentHash {
			t.Errorf("%s holds %x, the backup %x", name, h.Content, content.ContentHash)
		}
		for written := range before {
			if _, found, _, err := next.nodes[name].Get(t.Context(), key(written), 0, record.LevelLocal); err != nil || !found {
				t.Fatalf("%s misses %s, which was acknowledged before the backup (%v)", name, written, err)
			}
		}
	}
	next.nodes["n2"].put(t, "w0/0", "after")
	for _, name := range next.names() {
		if h := next.nodes[name].hashes(t); h.Content == content.ContentHash {
			t.Errorf("%s holds the content of the backup after a write", name)
		}
	}
}

// TestBackup_ServersDiskIsFull: a backup needs no room on the node that makes it, and the alarm does not come along.
func TestBackup_ServersDiskIsFull(t *testing.T) {
	c := newCluster(t, "n1")
	r, err := New(c.config("n1", true))
	if err != nil {
		t.Fatal(err)
	}
	r.disk = func() (store.DiskState, error) {
		return store.DiskState{Free: 1 << 20, Reserve: 2 << 20, Low: true}, nil
	}
	m := runRegion(r)
	c.nodes["n1"] = m
	c.ready("n1")
	eventually(t, "the disk is low", 10*time.Second, func() bool {
		_, err := m.Propose(within(t, time.Second), putOp("k", "v"))
		return fault.Is(err, fault.Exhausted)
	})
	file := m.backup(t)
	content, err := verifyBytes(t, file)
	if err != nil || content.ContentHash != m.hashes(t).Content {
		t.Fatalf("the backup holds %x, the node %x (%v)", content.ContentHash, m.hashes(t).Content, err)
	}
	c.stop("n1")
	next, _ := c.restored(file)
	if h := next.nodes["n1"].hashes(t); h.Content != content.ContentHash || len(next.nodes["n1"].Status().Alarms) > 0 {
		t.Errorf("restored: %+v, alarms %v", h, next.nodes["n1"].Status().Alarms)
	}
	next.nodes["n1"].put(t, "k", "v")
}

// fullAfter is where a backup goes that has no room for all of it.
type fullAfter struct{ room int }

func (f *fullAfter) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, &os.PathError{Op: "write", Path: "backup", Err: syscall.ENOSPC}
	}
	return len(p), nil
}

// TestBackup_NoRoomWhereItGoes: the backup ends with that error, and the state is not pinned for it any longer: the node ends cleanly
// only then.
func TestBackup_NoRoomWhereItGoes(t *testing.T) {
	c := newCluster(t, "n1")
	c.start("n1", true)
	c.ready("n1")
	m := c.nodes["n1"]
	m.put(t, "k", "v")
	whole := m.backup(t)
	for _, room := range []int{0, 100, len(whole) - 1} {
		if _, err := m.Backup(within(t, 10*time.Second), &fullAfter{room: room}, "test", time.Unix(1, 0)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("with room for %d bytes: %v", room, err)
		}
	}
	if content, err := verifyBytes(t, m.backup(t)); err != nil || content.ContentHash != m.hashes(t).Content {
		t.Errorf("after it: %v", err)
	}
	c.stop("n1")
}
