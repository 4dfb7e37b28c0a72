package node

import (
	"math"
	"testing"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"github.com/lni/vfs"
)

// openTan opens the log in memory with n entries of so many bytes, from index 1.
func openTan(t *testing.T, n, bytes int) raftio.ILogDB {
	t.Helper()
	memory := config.GetTinyMemLogDBConfig()
	memory.KVWriteBufferSize = tanBuffer
	cfg := config.NodeHostConfig{NodeHostDir: "/raft", Expert: config.ExpertConfig{LogDB: memory, FS: vfs.NewMem()}}
	log, err := tanFactory{newTanLog(func(err error) { t.Error(err) })}.Create(cfg, nil, []string{"/raft"}, []string{"/raft"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := 1; i <= n; i++ {
		entry := pb.Entry{Index: uint64(i), Term: 1, Cmd: make([]byte, bytes)}
		update := pb.Update{ShardID: shard, ReplicaID: 1, State: pb.State{Term: 1, Commit: uint64(i)}, EntriesToSave: []pb.Entry{entry}}
		if err := log.SaveRaftState([]pb.Update{update}, 1); err != nil {
			t.Fatal(err)
		}
	}
	return log
}

// What a follower lacks is read in small parts, each of which Dragonboat takes for the part that fits in a message.
func TestTan_ReadsInParts(t *testing.T) {
	const limit = 64 << 20 // Dragonboat's of one message
	for _, row := range []struct {
		name             string
		entries, bytes   int
		mostEntries      int
		mostBytes, parts int
	}{
		{"small entries", 1000, 100, readEntries, readBytes, 4},
		{"large entries", 100, 100 << 10, readEntries, readBytes + 101<<10, 10},
		{"one that is larger than a part", 3, 3 * readBytes, 1, 4 * readBytes, 3},
	} {
		t.Run(row.name, func(t *testing.T) {
			log := openTan(t, row.entries, row.bytes)
			next, parts, end := uint64(1), 0, uint64(row.entries+1)
			for next < end {
				got, size, err := log.IterateEntries(nil, 0, shard, 1, next, end, limit)
				if err != nil || len(got) == 0 {
					t.Fatalf("from %d: %d entries, %v", next, len(got), err)
				}
				held := 0
				for _, e := range got {
					if e.Index != next || len(e.Cmd) != row.bytes {
						t.Fatalf("entry %d with %d bytes where %d was due", e.Index, len(e.Cmd), next)
					}
					held += len(e.Cmd)
					next++
				}
				if len(got) > row.mostEntries || held > row.mostBytes {
					t.Errorf("a read gave %d entries of %d bytes", len(got), held)
				}
				if part := next < end; part != (size > limit) {
					t.Errorf("a read up to %d of %d said that it has %d bytes", next, end, size)
				}
				parts++
			}
			if parts != row.parts {
				t.Errorf("%d parts, want %d", parts, row.parts)
			}
			all, _, err := log.IterateEntries(nil, 0, shard, 1, 1, end, math.MaxUint64)
			if err != nil || len(all) != row.entries {
				t.Errorf("without a limit: %d of %d entries, %v", len(all), row.entries, err)
			}
		})
	}
}

// What was saved is there after a loss of power, whatever the disk had not been told to keep.
func TestTan_SavedIsOnTheDisk(t *testing.T) {
	const entries = 20
	disk := vfs.NewStrictMem()
	open := func() (raftio.ILogDB, error) {
		memory := config.GetTinyMemLogDBConfig()
		memory.KVWriteBufferSize = tanBuffer
		cfg := config.NodeHostConfig{NodeHostDir: "/raft", Expert: config.ExpertConfig{LogDB: memory, FS: disk}}
		return tanFactory{newTanLog(nil)}.Create(cfg, nil, []string{"/raft"}, []string{"/raft"})
	}
	log, err := open()
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= entries; i++ {
		update := pb.Update{ShardID: shard, ReplicaID: 1, State: pb.State{Term: 1, Commit: i - 1}, EntriesToSave: []pb.Entry{{Index: i, Term: 1, Cmd: []byte("put")}}}
		if err := log.SaveRaftState([]pb.Update{update}, 1); err != nil {
			t.Fatal(err)
		}
	}
	disk.SetIgnoreSyncs(true) // the power fails
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	disk.ResetToSyncedState()
	disk.SetIgnoreSyncs(false)
	if log, err = open(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	state, err := log.ReadRaftState(shard, 1, 0)
	if err != nil || state.EntryCount != entries {
		t.Errorf("%d of %d saved entries are left, %v", state.EntryCount, entries, err)
	}
}
