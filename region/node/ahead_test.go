package node

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"

	"supercluster/internal/chunks"
	"supercluster/internal/fault"
)

// openAhead makes the file of a log on a file system.
func openAhead(t *testing.T, fs vfs.FS) (a *aheadFS, f *aheadFile, path string) {
	t.Helper()
	a, path = newAheadFS(fs), filepath.Join(t.TempDir(), "000001.log")
	file, err := a.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	return a, file.(*aheadFile), path
}

// chunk is one of a record, of a type.
func chunk(kind, fill byte, size int) []byte {
	b := bytes.Repeat([]byte{fill}, size)
	b[6] = kind
	return b
}

func appendTo(t *testing.T, f *aheadFile, p []byte) {
	t.Helper()
	if n, err := f.Write(p); n != len(p) || err != nil {
		t.Fatalf("%d of %d bytes, %v", n, len(p), err)
	}
}

// seen gives what a reader sees of a file.
func seen(t *testing.T, a *aheadFS, path string) []byte {
	t.Helper()
	f, err := a.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// On the disk there are zeros behind the end, a reader ends at the last record, and what is closed has neither more nor less.
func TestAhead_ZerosThatNobodySees(t *testing.T) {
	a, f, path := openAhead(t, vfs.Default)
	var want []byte
	for i := range 3 * zeroStep / (16 << 10) {
		p := chunk(1, byte(1+i%200), 16<<10)
		appendTo(t, f, p)
		want = append(want, p...)
		if got := seen(t, a, path); !bytes.Equal(got, want) {
			t.Fatalf("after write %d a reader sees %d bytes of %d", i, len(got), len(want))
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	<-f.step
	disk, err := os.ReadFile(path)
	if err != nil || len(disk) < len(want)+zeroStep/2 || !bytes.Equal(disk[:len(want)], want) || len(bytes.Trim(disk[len(want):], "\x00")) > 0 {
		t.Errorf("%d bytes on the disk where %d were written, %v", len(disk), len(want), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if disk, err = os.ReadFile(path); err != nil || !bytes.Equal(disk, want) {
		t.Errorf("%d bytes after closing, not %d, %v", len(disk), len(want), err)
	}
	if got := seen(t, a, path); !bytes.Equal(got, want) {
		t.Errorf("a reader of the closed log sees %d bytes of %d", len(got), len(want))
	}
}

// A record of two chunks is seen when the second is there, wherever it ends.
func TestAhead_AReaderSeesWholeRecords(t *testing.T) {
	const block = chunks.BlockSize
	a, f, path := openAhead(t, vfs.Default)
	for i, row := range []struct {
		write []byte
		seen  int
	}{
		{chunk(1, 1, 100), 100},
		{chunk(2, 2, block-100), 100},            // the first of two
		{chunk(4, 3, block), 2 * block},          // ends with its block
		{chunk(2, 4, block-3), 2 * block},        // leaves no room for a header
		{make([]byte, 3), 2 * block},             // filled up
		{nil, 2 * block},                         // nothing
		{chunk(3, 5, block), 2 * block},          // one in the middle
		{chunk(4, 6, 50), 4*block + 50},          // the last
		{chunk(1, 7, 20), 4*block + 70},          // whole
		{chunk(1, 8, block-70), 5 * block},       // whole, ends with its block
		{chunk(2, 9, block), 5 * block},          // and a first one
		{chunk(4, 10, 7), 5*block + block + 7},   // without a payload
		{chunk(2, 11, 100), 5*block + block + 7}, // as after a kill
	} {
		appendTo(t, f, row.write)
		if got := len(seen(t, a, path)); got != row.seen {
			t.Errorf("write %d: a reader sees %d bytes, not %d", i, got, row.seen)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A reader beside the writer never meets a record that is not whole. Tan takes that for a log that does not read.
func TestAhead_ReadWhileItIsWritten(t *testing.T) {
	dir := t.TempDir()
	log := openLog(t, dir)
	defer log.Close()
	const entries = 400
	save := func(from, to uint64) {
		for i := from; i <= to; i++ {
			entry := pb.Entry{Index: i, Term: 1, Cmd: bytes.Repeat([]byte{byte(i)}, int(i*997%90_000))}
			update := pb.Update{ShardID: shard, ReplicaID: 1, State: pb.State{Term: 1, Commit: i}, EntriesToSave: []pb.Entry{entry}}
			if err := log.SaveRaftState([]pb.Update{update}, 1); err != nil {
				t.Error(err)
			}
		}
	}
	save(1, 5)
	var wg sync.WaitGroup
	wg.Go(func() { save(6, entries) })
	defer wg.Wait()
	for last := uint64(5); last < entries; {
		state, err := log.ReadRaftState(shard, 1, 0)
		if err != nil {
			t.Fatal(err)
		}
		last = state.EntryCount
		got, _, err := log.IterateEntries(nil, 0, shard, 1, last-4, last+1, 1<<30)
		if err != nil || len(got) != 5 || got[4].Index != last {
			t.Fatalf("%d entries up to %d, %v", len(got), last, err)
		}
	}
}

// faultyFS has files that refuse to be written to at some place, and count their syncs.
type faultyFS struct {
	vfs.FS
	from  int64
	syncs int
}

func (fs *faultyFS) Create(name string) (vfs.File, error) {
	f, err := fs.FS.Create(name)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f.(cutter), fs}, nil
}

type faultyFile struct {
	cutter
	fs *faultyFS
}

var errFull = errors.New("no room")

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	if f.fs.from > 0 && at+int64(len(p)) > f.fs.from {
		return 0, errFull
	}
	return f.cutter.WriteAt(p, at)
}

func (f *faultyFile) Sync() error {
	f.fs.syncs++
	return f.cutter.Sync()
}

// Where there is no room for zeros the log goes on without, until there is none for itself.
func TestAhead_AFullDisk(t *testing.T) {
	_, f, path := openAhead(t, &faultyFS{FS: vfs.Default, from: 300 << 10})
	var want []byte
	for range 9 {
		p := chunk(1, 1, 32<<10)
		appendTo(t, f, p)
		want = append(want, p...)
	}
	if n, err := f.Write(chunk(1, 2, 32<<10)); n != 0 || !errors.Is(err, errFull) {
		t.Errorf("a write beyond the room: %d bytes, %v", n, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if disk, err := os.ReadFile(path); err != nil || !bytes.Equal(disk, want) {
		t.Errorf("%d bytes, not %d, %v", len(disk), len(want), err)
	}
}

// An index comes after what it says of its log.
func TestAhead_SyncsBeforeTheIndex(t *testing.T) {
	disk := &faultyFS{FS: vfs.Default}
	a, f, path := openAhead(t, disk)
	appendTo(t, f, chunk(1, 1, 100))
	index := strings.TrimSuffix(path, ".log")
	for _, name := range []string{index + ".idxtmp", filepath.Join(filepath.Dir(path), "000002.idxtmp")} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Rename(filepath.Join(filepath.Dir(path), "000002.idxtmp"), filepath.Join(filepath.Dir(path), "000002.index")); err != nil || disk.syncs != 0 {
		t.Errorf("the index of another log: %d syncs, %v", disk.syncs, err)
	}
	if err := a.Rename(index+".idxtmp", index+".index"); err != nil || disk.syncs != 1 {
		t.Errorf("the index of the log: %d syncs, %v", disk.syncs, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// recordsOf gives where the records of a file end.
func recordsOf(t *testing.T, path string) int64 {
	t.Helper()
	_, scan, err := scanFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return scan.Begin()
}

// zerosBehind gives every log of a folder zeros behind its end, as a kill leaves them.
func zerosBehind(t *testing.T, dir string, tail ...byte) (logs map[string]int64) {
	t.Helper()
	logs = map[string]int64{}
	for _, path := range logFiles(t, dir) {
		if !strings.HasSuffix(path, ".log") {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		logs[path] = recordsOf(t, path)
		data = append(append(data[:logs[path]], make([]byte, 100_000)...), tail...)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return logs
}

// After a crash the zeros are cut off: of the log that was open, and of one that has its index but was not cut yet.
func TestCheckLog_CutsZeros(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "raft")
		writeLog(t, dir, inOrder)
		logs := zerosBehind(t, dir)
		if err := checkLog(dir); err != nil {
			t.Fatal(err)
		}
		for path, size := range logs {
			if info, err := os.Stat(path); err != nil || info.Size() != size {
				t.Errorf("in order %v: %s has %d bytes, not %d, %v", inOrder, path, info.Size(), size, err)
			}
		}
		if n := readLog(t, dir); n != logEntries {
			t.Errorf("in order %v: %d of %d entries", inOrder, n, logEntries)
		}
	}
}

// What is behind the zeros of a closed log was there before they were: it changed. In an open one it is of a write that was never
// acknowledged, of which the beginning did not come to the disk.
func TestCheckLog_SomethingBehindZeros(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "raft")
		writeLog(t, dir, inOrder)
		zerosBehind(t, dir, 1, 2, 3)
		err := checkLog(dir)
		if inOrder {
			if !fault.Is(err, fault.Corrupt) {
				t.Errorf("a closed log: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if n := readLog(t, dir); n != logEntries {
			t.Errorf("an open log: %d of %d entries", n, logEntries)
		}
	}
}
