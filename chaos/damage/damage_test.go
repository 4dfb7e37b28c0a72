package damage

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/cespare/xxhash/v2"
)

func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{
		"identity.json", "LOCK", "raft/h/tandb/node-1-1/000001.log", "raft/h/tandb/node-1-1/000001.index",
		"raft/h/tandb/node-1-1/MANIFEST-000002", "raft/h/tandb/node-1-1/CURRENT", "raft/h/snapshot-1/x/snapshot.message",
		"state/CURRENT", "state/db-000001/000002.log", "state/db-000001/000004.sst", "state/db-000001/MANIFEST-000001",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("what is in "+name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Every kind is hit, one byte at a time, and nothing else changes.
func TestFlip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	seen := map[Kind]bool{}
	for range 200 {
		dir := folder(t)
		before := snapshot(t, dir)
		c, err := Flip(dir, random)
		if err != nil {
			t.Fatal(err)
		}
		seen[c.Kind] = true
		after := snapshot(t, dir)
		for path, content := range before {
			changed := 0
			for i := range content {
				if after[path][i] != content[i] {
					changed++
				}
			}
			if want := map[bool]int{true: 1}[path == c.Path]; changed != want {
				t.Fatalf("%s: %d bytes changed (%s)", path, changed, c.Evidence())
			}
		}
	}
	if len(seen) != 10 {
		t.Errorf("only %v were hit", seen)
	}
}

func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all, err := files(dir)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	for _, paths := range all {
		for _, path := range paths {
			if contents[path], err = os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	return contents
}

func TestTear(t *testing.T) {
	dir := folder(t)
	c, err := Tear(dir, RaftLog, rand.New(rand.NewPCG(1, 1)))
	if err != nil || c.At != int64(len("what is in raft/h/tandb/node-1-1/000001.log")) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := Tear(t.TempDir(), RaftLog, rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("there is no log to tear")
	}
}

// What is behind the records of a Raft log is nothing: a byte there is not changed, and a torn write begins there.
func TestEndOf_ZerosBehindARaftLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "raft", "tandb", "000001.log")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	record := append([]byte{0, 0, 0, 0, 5, 0, 1}, "hello"...)
	binary.LittleEndian.PutUint32(record, uint32(xxhash.Sum64(record[6:])))
	file := append(bytes.Clone(record), make([]byte, 1<<20)...)
	random := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if size, err := Size(dir, RaftLog); err != nil || size != int64(len(record)) {
			t.Fatalf("%d bytes, not %d, %v", size, len(record), err)
		}
		torn, err := Tear(dir, RaftLog, random)
		if err != nil || torn.At != int64(len(record)) {
			t.Fatalf("%+v, %v", torn, err)
		}
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := Flip(dir, random); err != nil || c.At >= int64(len(record)) {
			t.Fatalf("%+v, %v", c, err)
		}
	}
}
