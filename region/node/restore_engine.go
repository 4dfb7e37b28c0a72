package node

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/internal/fault"
)

// prepare runs a log of one member in a folder until it stands where a restore begins, and exports a snapshot; false: it
// came to another place.
func (f *Folder) prepare(ctx context.Context, cfg RestoreConfig, dir, export string) (same bool, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicFault(dir, cause)
		}
	}()
	host, err := dragonboat.NewNodeHost(f.quietHost(dir))
	if err != nil {
		return false, startFault(dir, err)
	}
	if host == nil { // Dragonboat swallows some panics
		return false, fault.New(fault.Internal, "the Raft log in %s can not be opened", dir)
	}
	defer host.Close()
	m := &restoredMachine{write: cfg.Write}
	const alone = 1
	group := (&Node{cfg: Config{Folder: &Folder{id: identity{Replica: alone}}}}).groupConfig()
	group.SnapshotEntries = 0 // but the one that is asked for
	create := func(uint64, uint64) sm.IOnDiskStateMachine { return m }
	if err := host.StartOnDiskReplica(map[uint64]string{alone: hostID(cfg.Node)}, false, create, group); err != nil {
		return false, startFault(dir, err)
	}
	if err := m.fill(ctx, host); err != nil {
		return false, err
	}
	_, term, known, err := host.GetLeaderID(shard)
	if err != nil || !known || term != restoreTerm || m.applied.Load() != restoreIndex {
		return false, nil
	}
	writing, cancel := context.WithTimeout(ctx, restoreLimit)
	defer cancel()
	index, err := host.SyncRequestSnapshot(writing, shard, dragonboat.SnapshotOption{Exported: true, ExportPath: export})
	if cause := m.failure.Load(); cause != nil {
		return false, *cause
	}
	if err != nil {
		return false, fault.Wrap(fault.Unavailable, err, "the state can not be put into a snapshot in %s", export).
			WithHint("the disk of the data folder needs room for twice the state")
	}
	return index == restoreIndex, nil
}

// restoredMachine is a machine whose state is that of a backup whatever is applied: only its snapshot matters.
type restoredMachine struct {
	write   func(w io.Writer, applied uint64) error
	applied atomic.Uint64
	failure atomic.Pointer[error]
}

// fill puts entries into the log up to the one that a restore begins at.
func (m *restoredMachine) fill(ctx context.Context, host *dragonboat.NodeHost) error {
	session := host.GetNoOPSession(shard)
	for m.applied.Load() < restoreIndex {
		attempt, cancel := context.WithTimeout(ctx, restorePatience)
		_, err := host.SyncPropose(attempt, session, []byte{0})
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && judge(err) == refusedForGood && !errors.Is(err, dragonboat.ErrTimeout) {
			return fault.Wrap(fault.Internal, err, "the log to restore from takes no entry")
		}
		if err != nil { // its member has not elected itself yet
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(serverTick):
			}
		}
	}
	return nil
}

// Open implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) Open(<-chan struct{}) (uint64, error) { return 0, nil }

// Update implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) Update(entries []sm.Entry) ([]sm.Entry, error) {
	m.applied.Store(entries[len(entries)-1].Index)
	return entries, nil
}

// Lookup implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) Lookup(any) (any, error) { return nil, nil }

// Sync implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) Sync() error { return nil }

// PrepareSnapshot implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) PrepareSnapshot() (any, error) { return m.applied.Load(), nil }

// SaveSnapshot implements statemachine.IOnDiskStateMachine. Dragonboat would end the process for an error that is not one of
// its own, so the error waits for prepare.
func (m *restoredMachine) SaveSnapshot(applied any, w io.Writer, _ <-chan struct{}) error {
	at, _ := applied.(uint64)
	if err := m.write(w, at); err != nil {
		m.failure.Store(&err)
		return sm.ErrSnapshotAborted
	}
	return nil
}

// RecoverFromSnapshot implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) RecoverFromSnapshot(io.Reader, <-chan struct{}) error {
	return fault.New(fault.Internal, "a restore begins with no snapshot")
}

// Close implements statemachine.IOnDiskStateMachine.
func (m *restoredMachine) Close() error { return nil }

// deafTransport is for a log of one member.
type deafTransport struct{}

// Create gives the transport.
func (deafTransport) Create(config.NodeHostConfig, raftio.MessageHandler, raftio.ChunkHandler) raftio.ITransport {
	return deafTransport{}
}

// Validate takes every name.
func (deafTransport) Validate(string) bool { return true }

// Name names it in logs.
func (deafTransport) Name() string { return "none" }

// Start has nothing to do.
func (deafTransport) Start() error { return nil }

// Close has nothing to do.
func (deafTransport) Close() error { return nil }

// GetConnection finds nobody.
func (deafTransport) GetConnection(context.Context, string) (raftio.IConnection, error) {
	return deafConnection{}, errNobody
}

// GetSnapshotConnection finds nobody.
func (deafTransport) GetSnapshotConnection(context.Context, string) (raftio.ISnapshotConnection, error) {
	return deafConnection{}, errNobody
}

var errNobody = fault.New(fault.Unavailable, "a log of one member has nobody to talk to")

// deafConnection is what an error comes with.
type deafConnection struct{}

// Close has nothing to do.
func (deafConnection) Close() {}

// SendMessageBatch sends nothing.
func (deafConnection) SendMessageBatch(pb.MessageBatch) error { return errNobody }

// SendChunk sends nothing.
func (deafConnection) SendChunk(pb.Chunk) error { return errNobody }
