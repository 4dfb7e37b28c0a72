package store

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"supercluster/internal/fault"
)

// tables makes a store whose rows are in tables, in three flushes, and closes it.
func tables(t *testing.T, fs vfs.FS) Config {
	t.Helper()
	cfg := testConfig(fs)
	r := start(t, cfg)
	for flush := range 3 {
		for i := range 40 {
			r.must(put(numbered("k", 100*flush+i), strings.Repeat("v", 200)))
		}
		if err := r.Store.live.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Store.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func readFile(t *testing.T, fs vfs.FS, path string) []byte {
	t.Helper()
	file, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// filesOf lists the files of the database with a name like a pattern.
func filesOf(t *testing.T, fs vfs.FS, dir, part string) (paths []string) {
	t.Helper()
	path := fs.PathJoin(dir, databaseName(1))
	names, err := fs.List(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(name, part) && !strings.HasPrefix(name, "marker") {
			paths = append(paths, fs.PathJoin(path, name))
		}
	}
	return paths
}

// Pebble takes a changed byte in its list of files as the end of the list.
func TestDamage_ListOfFiles(t *testing.T) {
	fs := vfs.NewMem()
	cfg := tables(t, fs)
	found, err := pebble.Peek(fs.PathJoin(cfg.Dir, databaseName(1)), fs)
	if err != nil {
		t.Fatal(err)
	}
	data := readFile(t, fs, found.ManifestFilename)
	random := rand.New(rand.NewPCG(1, 1))
	for i := 0; i < len(data); i += 1 + random.IntN(8) {
		broken := bytes.Clone(data)
		broken[i] ^= 1 << random.IntN(8)
		mustWrite(t, fs, found.ManifestFilename, string(broken))
		s, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(nil); !fault.Is(err, fault.Corrupt) || !strings.Contains(err.Error(), "keep this node stopped") {
			t.Fatalf("byte %d of %d: %v", i, len(data), err)
		}
	}
}

// A damaged table stops the replica the first time that it is read, and nothing of it is answered.
func TestDamage_Table(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 1))
	noticed := 0
	for range 30 {
		fs := vfs.NewMem()
		cfg := tables(t, fs)
		paths := filesOf(t, fs, cfg.Dir, ".sst")
		path := paths[random.IntN(len(paths))]
		data := readFile(t, fs, path)
		data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		mustWrite(t, fs, path, string(data))
		if readsRight(t, cfg) {
			noticed++
		}
	}
	if noticed < 10 {
		t.Errorf("%d of 30 changed bytes were noticed", noticed)
	}
}

// readsRight reads all keys: each answer is right or an error, and an error of damage stops the replica with what to do.
func readsRight(t *testing.T, cfg Config) (noticed bool) {
	t.Helper()
	var fatal error
	cfg.Fatal = func(err error) { fatal = err }
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(nil); err != nil {
		return true
	}
	defer s.Close()
	for flush := range 3 {
		for i := range 40 {
			record, found, _, err := s.Get(testKey(numbered("k", 100*flush+i)), 0)
			noticed = noticed || err != nil
			if err == nil && (!found || string(record.Value) != strings.Repeat("v", 200)) {
				t.Errorf("a wrong answer: found %v, %q", found, record.Value)
			}
		}
	}
	if noticed && (!fault.Is(fatal, fault.Corrupt) || !strings.Contains(fatal.Error(), "keep this node stopped")) {
		t.Errorf("the replica was not stopped: %v", fatal)
	}
	return noticed
}
