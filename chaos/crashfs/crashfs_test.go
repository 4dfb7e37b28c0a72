package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// bench is a disk with both of its file systems.
type bench struct {
	t    *testing.T
	root string
	disk *Disk
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, root: filepath.Join(t.TempDir(), "1")}
	for _, name := range []string{"raft", "state"} {
		if err := os.MkdirAll(filepath.Join(b.root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.disk = New(b.root, "raft", "state")
	return b
}

// files is what both file systems have in common.
type files interface {
	Rename(from, to string) error
	Remove(name string) error
	RemoveAll(name string) error
	MkdirAll(name string, perm os.FileMode) error
	Link(from, to string) error
}

type syncer interface {
	io.WriteCloser
	Sync() error
}

// side is one of the two file systems.
type side struct {
	files
	dir             string
	create, openDir func(name string) (syncer, error)
	reuse           func(from, to string) (syncer, error)
}

func (b *bench) sides() map[string]side {
	log, state := b.disk.Log(), b.disk.State()
	return map[string]side{
		"log": {
			log, filepath.Join(b.root, "raft"),
			func(name string) (syncer, error) { return log.Create(name) }, func(name string) (syncer, error) { return log.Open(name) },
			func(from, to string) (syncer, error) { return log.ReuseForWrite(from, to) },
		},
		"state": {
			state, filepath.Join(b.root, "state"),
			func(name string) (syncer, error) { return state.Create(name, vfs.WriteCategoryUnspecified) },
			func(name string) (syncer, error) { return state.OpenDir(name) },
			func(from, to string) (syncer, error) {
				return state.ReuseForWrite(from, to, vfs.WriteCategoryUnspecified)
			},
		},
	}
}

// must does what has to go well.
func (b *bench) must(errs ...error) {
	b.t.Helper()
	if err := errors.Join(errs...); err != nil {
		b.t.Fatal(err)
	}
}

// put writes a file and syncs it.
func (b *bench) put(s side, name, content string) {
	b.t.Helper()
	f, err := s.create(filepath.Join(s.dir, name))
	b.must(err)
	_, err = io.WriteString(f, content)
	b.must(err, f.Sync(), f.Close())
}

func (b *bench) syncDir(s side, name string) {
	b.t.Helper()
	d, err := s.openDir(filepath.Join(s.dir, name))
	b.must(err)
	b.must(d.Sync(), d.Close())
}

// left cuts the power and gives the files that are left, by their path below the folder of a side.
func (b *bench) left(s side, keep Keep, seed uint64) (map[string]string, Losses) {
	b.t.Helper()
	Cut(b.disk)
	to := b.root + "-left"
	l, err := b.disk.Left(to, keep, rand.New(rand.NewPCG(seed, 1)))
	b.must(err)
	all, top := map[string]string{}, filepath.Join(to, filepath.Base(s.dir))
	b.must(filepath.WalkDir(top, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		all[strings.TrimPrefix(path, top+"/")] = string(content)
		return err
	}))
	return all, l
}

// What was synced is there, what was not is not; a name counts from the sync of its folder on.
func TestLeft(t *testing.T) {
	for _, row := range []struct {
		name string
		do   func(b *bench, s side)
		want map[string]string
	}{
		{"a file and its name", func(b *bench, s side) { b.put(s, "a", "one"); b.syncDir(s, "") }, map[string]string{"a": "one"}},
		{"a file without its name", func(b *bench, s side) { b.put(s, "a", "one") }, nil},
		{"a name without its file", func(b *bench, s side) {
			f, err := s.create(filepath.Join(s.dir, "a"))
			b.must(err)
			_, err = io.WriteString(f, "one")
			b.must(err, f.Close())
			b.syncDir(s, "")
		}, map[string]string{"a": ""}},
		{"what came after the sync", func(b *bench, s side) {
			f, err := s.create(filepath.Join(s.dir, "a"))
			b.must(err)
			_, err = io.WriteString(f, "one")
			b.must(err, f.Sync())
			_, err = io.WriteString(f, " two")
			b.must(err, f.Close())
			b.syncDir(s, "")
		}, map[string]string{"a": "one"}},
		{"a rename without the sync of the folder", func(b *bench, s side) {
			b.put(s, "a", "old")
			b.put(s, "b", "new")
			b.syncDir(s, "")
			b.must(s.Rename(filepath.Join(s.dir, "b"), filepath.Join(s.dir, "a")))
		}, map[string]string{"a": "old", "b": "new"}},
		{"a rename with it", func(b *bench, s side) {
			b.put(s, "a", "old")
			b.put(s, "b", "new")
			b.must(s.Rename(filepath.Join(s.dir, "b"), filepath.Join(s.dir, "a")))
			b.syncDir(s, "")
		}, map[string]string{"a": "new"}},
		{"a removal without the sync of the folder", func(b *bench, s side) {
			b.put(s, "a", "one")
			b.syncDir(s, "")
			b.must(s.Remove(filepath.Join(s.dir, "a")))
		}, map[string]string{"a": "one"}},
		{"a second name", func(b *bench, s side) {
			b.put(s, "a", "one")
			b.must(s.Link(filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")), s.Remove(filepath.Join(s.dir, "a")))
			b.syncDir(s, "")
		}, map[string]string{"b": "one"}},
		{"a file that is written over", func(b *bench, s side) {
			b.put(s, "a", "old content")
			b.syncDir(s, "")
			f, err := s.reuse(filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b"))
			b.must(err)
			_, err = io.WriteString(f, "new")
			b.must(err, f.Sync())
			_, err = io.WriteString(f, " CONTENT")
			b.must(err, f.Close())
			b.syncDir(s, "")
		}, map[string]string{"b": "new content"}},
		{"a file that is made again", func(b *bench, s side) {
			b.put(s, "a", "old")
			b.syncDir(s, "")
			f, err := s.create(filepath.Join(s.dir, "a"))
			b.must(err)
			_, err = io.WriteString(f, "new")
			b.must(err, f.Close())
		}, map[string]string{"a": "old"}},
		{"a file that was cut", func(b *bench, s side) {
			b.put(s, "a", "one, two")
			b.put(s, "b", "one, two")
			b.syncDir(s, "")
			for _, name := range []string{"a", "b"} {
				f, err := s.reuse(filepath.Join(s.dir, name), filepath.Join(s.dir, name))
				b.must(err, f.(interface{ Truncate(int64) error }).Truncate(3))
				if name == "a" {
					b.must(f.Sync())
				}
				b.must(f.Close())
			}
		}, map[string]string{"a": "one", "b": "one, two"}},
		{"folders", func(b *bench, s side) {
			b.must(s.MkdirAll(filepath.Join(s.dir, "x", "y"), 0o700), s.MkdirAll(filepath.Join(s.dir, "z"), 0o700))
			b.put(s, "x/y/a", "one")
			b.put(s, "z/a", "one")
			b.syncDir(s, "x/y")
			b.syncDir(s, "x")
			b.syncDir(s, "z")
			b.syncDir(s, "")
			b.must(s.RemoveAll(filepath.Join(s.dir, "z")), s.MkdirAll(filepath.Join(s.dir, "w"), 0o700))
			b.must(s.Rename(filepath.Join(s.dir, "x"), filepath.Join(s.dir, "v")))
			b.put(s, "w/a", "one")
			b.syncDir(s, "w")
		}, map[string]string{"x/y/a": "one", "z/a": "one"}},
	} {
		for _, name := range []string{"log", "state"} {
			t.Run(row.name+" of the "+name, func(t *testing.T) {
				b := newBench(t)
				s := b.sides()[name]
				row.do(b, s)
				got, _ := b.left(s, Nothing, 0)
				if fmt.Sprint(got) != fmt.Sprint(row.want) && len(got)+len(row.want) > 0 {
					t.Errorf("%v are left, not %v", got, row.want)
				}
			})
		}
	}
}

// Who goes on after the cut changes nothing of what is left, and what is not known is there as it is.
func TestCut_IsTheEnd(t *testing.T) {
	b := newBench(t)
	b.must(os.WriteFile(filepath.Join(b.root, "identity.json"), []byte("me"), 0o600))
	s := b.sides()["log"]
	f, err := s.create(filepath.Join(s.dir, "a"))
	b.must(err)
	_, err = io.WriteString(f, "before")
	b.must(err, f.Sync())
	b.syncDir(s, "")
	if _, err := b.disk.Left(b.root+"-early", Nothing, nil); err == nil {
		t.Error("what is left of a disk with power is told")
	}
	_, err = io.WriteString(f, " not synced")
	b.must(err)
	Cut(b.disk)
	_, err = io.WriteString(f, " after")
	b.must(err, f.Sync(), f.Close(), s.Rename(filepath.Join(s.dir, "a"), filepath.Join(s.dir, "b")))
	b.put(s, "c", "after")
	b.syncDir(s, "")
	got, _ := b.left(s, Nothing, 0)
	if len(got) != 1 || got["a"] != "before" {
		t.Errorf("%v are left", got)
	}
	if id, err := os.ReadFile(filepath.Join(b.root+"-left", "identity.json")); string(id) != "me" || err != nil {
		t.Errorf("what is not known: %q, %v", id, err)
	}
}

// Of what was not synced a beginning may be left, the last write torn, the same for the same random numbers.
func TestLeft_KeepsABeginning(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(120) {
		keep := InOrder + Keep(seed%2)
		var before string
		for range 2 {
			b := newBench(t)
			s := b.sides()["state"]
			b.put(s, "a", "12")
			b.syncDir(s, "")
			f, err := b.disk.State().OpenReadWrite(filepath.Join(s.dir, "a"), vfs.WriteCategoryUnspecified)
			b.must(err)
			for _, part := range []string{"12", "345", "678"} {
				_, err := io.WriteString(f, part)
				b.must(err)
			}
			b.must(f.Close())
			if n := b.disk.Unsynced(); n != 8 {
				t.Fatalf("%d bytes are not synced", n)
			}
			got, l := b.left(s, keep, seed)
			if !strings.HasPrefix("12345678", got["a"]) || len(got["a"]) < 2 || l.Kept+l.Dropped != 8 {
				t.Fatalf("seed %d: %v are left, %+v", seed, got, l)
			}
			if before != "" && before != got["a"] {
				t.Errorf("seed %d: first %q was left, then %q", seed, before, got["a"])
			}
			before = got["a"]
		}
		seen[before] = true
	}
	if len(seen) != 6 {
		t.Errorf("%d beginnings were left: %v", len(seen), seen)
	}
}

// In order, a file has nothing of after the moment of which another one lacks something; each by itself, it may.
func TestLeft_InOrder(t *testing.T) {
	early := map[Keep]int{}
	for seed := range uint64(40) {
		for _, keep := range []Keep{InOrder, Each} {
			b := newBench(t)
			log, state := b.sides()["log"], b.sides()["state"]
			one, err := log.create(filepath.Join(log.dir, "a"))
			b.must(err)
			two, err := state.create(filepath.Join(state.dir, "b"))
			b.must(err)
			b.syncDir(log, "")
			b.syncDir(state, "")
			for range 5 {
				for _, f := range []syncer{one, two} {
					_, err := io.WriteString(f, "1234")
					b.must(err)
				}
			}
			got, _ := b.left(log, keep, seed)
			after, err := os.ReadFile(filepath.Join(b.root+"-left", "state", "b"))
			b.must(err)
			if len(after) > len(got["a"]) || len(after) < len(got["a"])-4 {
				early[keep]++
			}
		}
	}
	if early[InOrder] > 0 || early[Each] == 0 {
		t.Errorf("what came later was left without what came before: %d times in order, %d times each by itself", early[InOrder], early[Each])
	}
}

// The files of both stores, and of two nodes, end at the same instant: what follows what is missing is missing.
func TestCut_AllAtOnce(t *testing.T) {
	for range 10 {
		one, two := newBench(t), newBench(t)
		order := []side{one.sides()["log"], one.sides()["state"], two.sides()["state"], two.sides()["log"]}
		var open []syncer
		for _, s := range order {
			f, err := s.create(filepath.Join(s.dir, "a"))
			one.must(err)
			open = append(open, f)
		}
		for i, b := range []*bench{one, one, two, two} {
			b.syncDir(order[i], "")
		}
		var cutting sync.WaitGroup
		for n := range 60 {
			if n == 30 {
				cutting.Go(func() { Cut(one.disk, two.disk) })
			}
			for _, f := range open {
				_, err := io.WriteString(f, "x")
				one.must(err, f.Sync())
			}
		}
		cutting.Wait()
		last := 1 << 30
		var sizes []int
		for i, b := range []*bench{one, one, two, two} {
			to := fmt.Sprintf("%s-left-%d", b.root, i)
			_, err := b.disk.Left(to, Nothing, nil)
			b.must(err)
			content, err := os.ReadFile(filepath.Join(to, filepath.Base(order[i].dir), "a"))
			b.must(err)
			if sizes = append(sizes, len(content)); len(content) > last {
				t.Errorf("a later file has more: %v", sizes)
			}
			last = len(content)
		}
		if sizes[0] > sizes[3]+1 || sizes[0] < 30 {
			t.Errorf("the files end at different times: %v", sizes)
		}
	}
}

// A real database: what was committed with a sync is there, and the rest is a beginning of what was committed without.
func TestLeft_OfADatabase(t *testing.T) {
	for seed := range uint64(10) {
		b := newBench(t)
		dir := filepath.Join(b.root, "state", "db")
		db, err := pebble.Open(dir, &pebble.Options{FS: b.disk.State(), Logger: quiet{}})
		b.must(err)
		const synced, all = 50, 3000
		for i := range all {
			how := pebble.NoSync
			if i == synced-1 {
				how = pebble.Sync
			}
			b.must(db.Set([]byte(fmt.Sprintf("%06d", i)), make([]byte, 100), how))
		}
		for end := time.Now().Add(10 * time.Second); b.disk.Unsynced() == 0 && time.Now().Before(end); { // it writes on its own time
			time.Sleep(time.Millisecond)
		}
		Cut(b.disk)
		to := b.root + "-left"
		l, err := b.disk.Left(to, Keep(seed%3), rand.New(rand.NewPCG(seed, 2)))
		b.must(err, db.Close())
		if l.Dropped+l.Kept == 0 {
			t.Errorf("nothing was not synced: %+v", l)
		}
		b.must(reads(filepath.Join(to, "state", "db"), synced))
	}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// reads checks that the keys of a database are a beginning of what was written, at least so many.
func reads(dir string, least int) error {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
	if err != nil {
		return err
	}
	defer db.Close()
	iter, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	defer iter.Close()
	n := 0
	for ok := iter.First(); ok; ok = iter.Next() {
		if string(iter.Key()) != fmt.Sprintf("%06d", n) {
			return fmt.Errorf("%s where %d was due", iter.Key(), n)
		}
		n++
	}
	if n < least {
		return fmt.Errorf("%d of %d are left", n, least)
	}
	return nil
}

// A torn write over what was there ends with a sector; one behind the end of a file ends anywhere.
func TestAfter_SectorsAreWhole(t *testing.T) {
	over := file{durable: bytes.Repeat([]byte("0"), 4096), pending: []write{{turn: 1, at: 100, bytes: bytes.Repeat([]byte("1"), 2000)}}}
	behind := file{durable: []byte("0"), pending: []write{{turn: 1, at: 1, bytes: bytes.Repeat([]byte("1"), 2000)}}}
	anywhere := false
	for seed := range uint64(200) {
		c := &choice{keep: Each, random: rand.New(rand.NewPCG(seed, 1))}
		if n := bytes.Count(over.after(c, &Losses{}), []byte("1")); n > 0 && (100+n)%512 != 0 {
			t.Fatalf("%d bytes of a write at 100 are left", n)
		}
		anywhere = anywhere || len(behind.after(c, &Losses{}))%512 != 0
	}
	if !anywhere {
		t.Error("writes behind the end of a file are torn at sectors only")
	}
}
