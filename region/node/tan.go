package node

import (
	"errors"
	"sync"
	"syscall"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/plugin/tan"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"

	"supercluster/internal/fault"
)

// tanFactory opens Tan behind stateKeeper.
type tanFactory struct{ keeper *stateKeeper }

// Name is Tan's: the log on disk is Tan's own.
func (tanFactory) Name() string { return tan.Factory.Name() }

// Create opens the log.
func (f tanFactory) Create(cfg config.NodeHostConfig, busy config.LogDBCallback, dirs, wals []string) (raftio.ILogDB, error) {
	log, err := tan.Factory.Create(cfg, busy, dirs, wals)
	if err != nil {
		return nil, err
	}
	f.keeper.ILogDB = log
	return f.keeper, nil
}

// stateKeeper gives every update of the log the Raft state it leaves in force.
//
// Dragonboat leaves the state of an update empty when it did not change. Tan remembers that empty state as the last
// one, and so takes the next update, which only moves the commit index, for a change of term or vote and syncs it:
// two fsyncs for one write. With the state filled in, Tan sees that only the commit index moved, which Raft can do
// without after a crash.
type stateKeeper struct {
	raftio.ILogDB

	mu     sync.Mutex
	states map[raftio.NodeInfo]pb.State

	// fail stops this replica. Dragonboat answers an error of its log with a panic that tells nobody what to do.
	fail func(error)
}

// SaveRaftState saves updates with their states filled in. The updates are the caller's and are left as they were.
func (k *stateKeeper) SaveRaftState(updates []pb.Update, worker uint64) error {
	var filled [8]int
	restore := filled[:0]
	k.mu.Lock()
	for i := range updates {
		u := &updates[i]
		info := raftio.NodeInfo{ShardID: u.ShardID, ReplicaID: u.ReplicaID}
		if !pb.IsEmptyState(u.State) {
			k.states[info] = u.State
			continue
		}
		if last, ok := k.states[info]; ok {
			u.State = last
			restore = append(restore, i)
		}
	}
	k.mu.Unlock()
	err := k.ILogDB.SaveRaftState(updates, worker)
	for _, i := range restore {
		updates[i].State = pb.State{}
	}
	k.stopOn(err, "the Raft log can not be written")
	return err
}

// IterateEntries reads entries.
func (k *stateKeeper) IterateEntries(entries []pb.Entry, size, shard, replica, low, high, limit uint64) ([]pb.Entry, uint64, error) {
	entries, size, err := k.ILogDB.IterateEntries(entries, size, shard, replica, low, high, limit)
	k.stopOn(err, "the Raft log can not be read")
	return entries, size, err
}

// stopOn stops this replica for an error of the log: its worker must not take another step.
func (k *stateKeeper) stopOn(err error, what string) {
	if err == nil {
		return
	}
	failed := fault.Wrap(fault.Corrupt, err, "%s", what).WithHint(replaceHint)
	if errors.Is(err, syscall.ENOSPC) {
		failed = fault.Wrap(fault.Exhausted, err, "%s", what).WithHint("make room on the disk, then start the node again")
	}
	k.fail(failed)
	select {}
}

// ReadRaftState learns the state that is in force after a start.
func (k *stateKeeper) ReadRaftState(shard, replica, last uint64) (raftio.RaftState, error) {
	state, err := k.ILogDB.ReadRaftState(shard, replica, last)
	if err == nil && !pb.IsEmptyState(state.State) {
		k.mu.Lock()
		k.states[raftio.NodeInfo{ShardID: shard, ReplicaID: replica}] = state.State
		k.mu.Unlock()
	}
	return state, err
}

// RemoveNodeData forgets a replica.
func (k *stateKeeper) RemoveNodeData(shard, replica uint64) error {
	k.forget(shard, replica)
	return k.ILogDB.RemoveNodeData(shard, replica)
}

// ImportSnapshot replaces the log of a replica by a snapshot.
func (k *stateKeeper) ImportSnapshot(snapshot pb.Snapshot, replica uint64) error {
	k.forget(snapshot.ShardID, replica)
	return k.ILogDB.ImportSnapshot(snapshot, replica)
}

func (k *stateKeeper) forget(shard, replica uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.states, raftio.NodeInfo{ShardID: shard, ReplicaID: replica})
}
