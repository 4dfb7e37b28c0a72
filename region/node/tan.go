package node

import (
	"errors"
	"math"
	"sync"
	"syscall"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"supercluster/internal/fault"
)

// tanFactory opens Tan behind a tanLog.
type tanFactory struct{ log *tanLog }

// Name is Tan's: the log on disk is Tan's own.
func (tanFactory) Name() string { return tan.Factory.Name() }

// Create opens the log.
func (f tanFactory) Create(cfg config.NodeHostConfig, busy config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	cfg.Expert.FS = newAheadFS(logFS(cfg.Expert.FS))
	log, err := tan.Factory.Create(cfg, busy, dirs, wals)
	if err != nil {
		return nil, err
	}
	f.log.ILogDB, f.log.dirs = log, dirs
	return f.log, nil
}

// Limits of one read of the log. Tan opens its file again for every run of entries: some 50 us each.
const (
	readEntries = 256
	readBytes   = 1 << 20
)

// tanLog is Tan with two of its habits changed.
//
// Dragonboat leaves the state of an update empty when it did not change. Tan remembers that empty state as the last
// one, and so takes the next update, which only moves the commit index, for a change of term or vote and syncs it:
// two fsyncs for one write. With the state filled in, Tan sees that only the commit index moved, which Raft can do
// without after a crash.
//
// A leader reads what a follower lacks in its one loop, up to 64 MiB at once and again for each heartbeat that the
// follower answers. While it does, it sends no heartbeats: after a follower had been away for some seconds of load, the
// others elected one leader after the other, and none got it to catch up. So one read gives a small part.
type tanLog struct {
	raftio.ILogDB
	dirs []string // where it is

	mu     sync.Mutex
	states map[raftio.NodeInfo]pb.State

	// fail stops this replica. Dragonboat answers an error of its log with a panic that tells nobody what to do. Nil leaves
	// it at that, for a log that is thrown away.
	fail func(error)
}

func newTanLog(fail func(error)) *tanLog {
	return &tanLog{states: map[raftio.NodeInfo]pb.State{}, fail: fail}
}

// SaveRaftState saves updates with their states filled in. The updates are the caller's and are left as they were.
func (l *tanLog) SaveRaftState(updates []pb.Update, worker uint64) error {
	var filled [8]int
	restore := filled[:0]
	l.mu.Lock()
	for i := range updates {
		u := &updates[i]
		info := raftio.NodeInfo{ShardID: u.ShardID, ReplicaID: u.ReplicaID}
		if !pb.IsEmptyState(u.State) {
			l.states[info] = u.State
			continue
		}
		if last, ok := l.states[info]; ok {
			u.State = last
			restore = append(restore, i)
		}
	}
	l.mu.Unlock()
	err := l.ILogDB.SaveRaftState(updates, worker)
	for _, i := range restore {
		updates[i].State = pb.State{}
	}
	l.stopOn(err, "the Raft log can not be written")
	return err
}

// stopOn stops this replica for an error of the log: its worker must not take another step.
func (l *tanLog) stopOn(err error, what string) {
	if err == nil || l.fail == nil {
		return
	}
	for _, dir := range l.dirs {
		what += emptied(dir)
	}
	failed := fault.Wrap(fault.Corrupt, err, "%s", what).WithHint(replaceHint)
	if errors.Is(err, syscall.ENOSPC) {
		failed = fault.Wrap(fault.Exhausted, err, "%s", what).WithHint("make room on the disk, then start the node again")
	}
	l.fail(failed)
	select {}
}

// ReadRaftState learns the state that is in force after a start.
func (l *tanLog) ReadRaftState(shard, replica, last uint64) (raftio.RaftState, error) {
	state, err := l.ILogDB.ReadRaftState(shard, replica, last)
	if err == nil && !pb.IsEmptyState(state.State) {
		l.mu.Lock()
		l.states[raftio.NodeInfo{ShardID: shard, ReplicaID: replica}] = state.State
		l.mu.Unlock()
	}
	return state, err
}

// last is the last entry of the log of a replica whose newest snapshot is at some entry.
func (l *tanLog) last(replica, snapshot uint64) (uint64, error) {
	state, err := l.ILogDB.ReadRaftState(shard, replica, snapshot)
	if errors.Is(err, raftio.ErrNoSavedLog) {
		return snapshot, nil
	}
	return snapshot + state.EntryCount, err
}

// IterateEntries reads the entries in [low, high), a small part of them at once: Dragonboat takes an answer for the part
// that fits in maxSize when its size is over that.
func (l *tanLog) IterateEntries(entries []pb.Entry, size, shard, replica, low, high, maxSize uint64) ([]pb.Entry, uint64, error) {
	part, most := high, maxSize
	if maxSize > 0 && maxSize < math.MaxUint64 {
		part, most = min(high, low+readEntries), min(maxSize, readBytes)
	}
	before := len(entries)
	entries, size, err := l.ILogDB.IterateEntries(entries, size, shard, replica, low, part, most)
	l.stopOn(err, "the Raft log can not be read")
	if err == nil && len(entries) > before && entries[len(entries)-1].Index+1 < high {
		size = max(size, maxSize+1)
	}
	return entries, size, err
}

// RemoveNodeData forgets a replica.
func (l *tanLog) RemoveNodeData(shard, replica uint64) error {
	l.forget(shard, replica)
	return l.ILogDB.RemoveNodeData(shard, replica)
}

// ImportSnapshot replaces the log of a replica by a snapshot.
func (l *tanLog) ImportSnapshot(snapshot pb.Snapshot, replica uint64) error {
	l.forget(snapshot.ShardID, replica)
	return l.ILogDB.ImportSnapshot(snapshot, replica)
}

func (l *tanLog) forget(shard, replica uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.states, raftio.NodeInfo{ShardID: shard, ReplicaID: replica})
}
