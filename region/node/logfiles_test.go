package node

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"

	"supercluster/internal/fault"
)

const logEntries = 60

func openLog(t *testing.T, dir string) raftio.ILogDB {
	t.Helper()
	cfg := config.NodeHostConfig{Expert: config.ExpertConfig{FS: vfs.Default, LogDB: config.GetTinyMemLogDBConfig()}}
	cfg.Expert.LogDB.KVWriteBufferSize = tanBuffer
	wrapped := newTanLog(func(err error) { t.Error(err) })
	log, err := tanFactory{wrapped}.Create(cfg, nil, []string{dir}, []string{dir})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// writeLog makes a log of some entries in a folder that closed without a word, as a kill leaves it, or in order.
func writeLog(t *testing.T, dir string, inOrder bool) {
	t.Helper()
	log := openLog(t, dir)
	if err := log.SaveBootstrapInfo(shard, 1, pb.Bootstrap{Addresses: map[uint64]string{1: "a"}}); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= logEntries; i++ {
		entry := pb.Entry{Index: i, Term: 1, Cmd: bytes.Repeat([]byte{byte(i)}, int(i)*30)}
		update := pb.Update{ShardID: shard, ReplicaID: 1, State: pb.State{Term: 1, Vote: 1, Commit: i}, EntriesToSave: []pb.Entry{entry}}
		if err := log.SaveRaftState([]pb.Update{update}, 1); err != nil {
			t.Fatal(err)
		}
	}
	killed := t.TempDir()
	if !inOrder {
		copyFolder(t, dir, killed)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if !inOrder {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		copyFolder(t, killed, dir)
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func readLog(t *testing.T, dir string) int {
	t.Helper()
	log := openLog(t, dir)
	defer log.Close()
	entries, _, err := log.IterateEntries(nil, 0, shard, 1, 1, logEntries+1, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestCheckLog_TakesWhatIsWhole(t *testing.T) {
	for _, inOrder := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "raft")
		writeLog(t, dir, inOrder)
		if err := checkLog(dir); err != nil {
			t.Fatal(err)
		}
		for _, path := range logFiles(t, dir) {
			if info, err := os.Stat(path); err != nil || info.Sys().(*syscall.Stat_t).Blocks*512 > info.Size()+1<<20 {
				t.Errorf("%s keeps room that it never uses: %v", path, err)
			}
		}
		if n := readLog(t, dir); n != logEntries {
			t.Errorf("in order %v: %d entries", inOrder, n)
		}
	}
	if err := checkLog(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Error("no log at all:", err)
	}
}

// logFiles gives the files that say something.
func logFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() != "LOCK" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Tan itself would take many of these as the end of the log.
func TestCheckLog_RefusesAChangedByte(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, inOrder := range []bool{true, false} {
		dir := filepath.Join(t.TempDir(), "raft")
		writeLog(t, dir, inOrder)
		for _, path := range logFiles(t, dir) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			end := len(data)
			if strings.HasSuffix(path, ".log") {
				end = int(recordsOf(t, path)) // behind it nothing is read
			}
			step := 1 + end/400
			for i := 0; i < end; i += 1 + random.IntN(step) {
				broken := bytes.Clone(data)
				broken[i] ^= 1 << random.IntN(8)
				if err := os.WriteFile(path, broken, 0o600); err != nil {
					t.Fatal(err)
				}
				err := checkLog(dir)
				if !fault.Is(err, fault.Corrupt) || !strings.Contains(fmt.Sprint(err), "keep this node stopped") {
					t.Errorf("%s, byte %d of %d: %v", filepath.Base(path), i, len(data), err)
				}
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A file with nothing in it is named: Tan ends on some of them without a cause, and takes others for the beginning of a log.
func TestCheckLog_NamesAnEmptyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	writeLog(t, dir, true)
	for _, name := range []string{"NODEHOST.ID", hostFlag} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("something"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range logFiles(t, dir) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, nothing := range [][]byte{nil, make([]byte, len(data))} {
			if err := os.WriteFile(path, nothing, 0o600); err != nil {
				t.Fatal(err)
			}
			err := checkLog(dir)
			if strings.HasSuffix(path, ".log") { // nothing may have been written to it: it is named when it does not read
				err = startFault(dir, fault.Wrap(fault.Corrupt, err, "unexpected EOF"))
			}
			if hosts := filepath.Dir(path) == dir; hosts && len(nothing) > 0 || strings.HasSuffix(path, ".log") && len(nothing) > 0 {
				continue
			}
			text := fmt.Sprint(err)
			if _, known := fault.As(err); !known || !strings.Contains(text, path) || !strings.Contains(text, "is empty") || !strings.Contains(text, "keep this node stopped") {
				t.Errorf("%s with %d zeros: %v", filepath.Base(path), len(nothing), err)
			}
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := checkLog(dir); err != nil || emptied(dir) != "" {
		t.Errorf("a log that is whole: %v%s", err, emptied(dir))
	}
}

// A list of files that was begun when the power went is not the one in force, and may be empty.
func TestCheckLog_TakesAListThatWasBegun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "raft")
	writeLog(t, dir, false)
	for _, path := range logFiles(t, dir) {
		if strings.HasPrefix(filepath.Base(path), "MANIFEST-") {
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "MANIFEST-000077"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := checkLog(dir); err != nil {
		t.Fatal(err)
	}
	if n := readLog(t, dir); n != logEntries {
		t.Errorf("%d of %d entries", n, logEntries)
	}
}

// The write that the power cut short is gone, and everything before it is there.
func TestCheckLog_CutsATornWrite(t *testing.T) {
	for _, tail := range [][]byte{[]byte("torn"), append([]byte("\x01\x02\x03\x04\x00\x08\x01xyz"), make([]byte, 2048)...)} {
		dir := filepath.Join(t.TempDir(), "raft")
		writeLog(t, dir, false)
		for _, path := range logFiles(t, dir) {
			if !strings.HasSuffix(path, ".log") {
				continue
			}
			data, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, append(bytes.Clone(data), tail...), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := checkLog(dir); err != nil {
			t.Fatal(err)
		}
		if n := readLog(t, dir); n != logEntries {
			t.Errorf("%d of %d entries", n, logEntries)
		}
	}
}
