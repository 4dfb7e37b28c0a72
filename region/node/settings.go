package node

import (
	"os"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/raftio"

	"supercluster/internal/fault"
)

// shard is the Raft group: it keeps both revision shards of the store.
const shard = 1

// Times of the Raft group. An election takes one to two election times; a follower notices a dead leader after one.
const (
	serverTick = 20 * time.Millisecond // x 10: elections within 0.2 to 0.4 s, a heartbeat every 40 ms
	serverVote = 10
	devTick    = 5 * time.Millisecond // x 10: one node elects itself within 50 to 100 ms
	devVote    = 10
)

// Sizes. The log keeps logTail entries behind a snapshot, so that a node that was away shortly catches up from it.
const (
	snapshotEvery = 50_000
	logTail       = 20_000
	maxLogMemory  = 128 << 20
	maxQueueBytes = 64 << 20
	tanBuffer     = 256 << 10 // of each of Tan's 16 write buffers
)

// foreignSettings are files in the working directory with which Dragonboat overrides its own internals.
var foreignSettings = []string{"dragonboat-soft-settings.json", "dragonboat-hard-settings.json"}

// refuseForeignSettings keeps such files from mattering: Dragonboat has read them before main.
func refuseForeignSettings() error {
	for _, name := range foreignSettings {
		if _, err := os.Stat(name); err == nil {
			return fault.New(fault.Conflict, "%s in the working directory changes the Raft log's internals", name).
				WithHint("remove it, or start in another directory")
		}
	}
	return nil
}

// Tuning changes what tests need changed; zero values keep the settings above.
type Tuning struct {
	SnapshotEvery uint64
	LogTail       uint64
	Depth         int
	// FS is the file system of the log.
	FS config.IFS
}

func (n *Node) tick() time.Duration {
	if n.cfg.Dev {
		return devTick
	}
	return serverTick
}

// hostConfig is what Dragonboat's host is told.
func (n *Node) hostConfig() config.NodeHostConfig {
	log := config.GetTinyMemLogDBConfig()
	log.KVWriteBufferSize = tanBuffer
	return config.NodeHostConfig{
		NodeHostID:          hostID(n.cfg.Node),
		NodeHostDir:         n.cfg.Folder.RaftDir(),
		RTTMillisecond:      uint64(n.tick().Milliseconds()),
		RaftAddress:         n.cfg.Node,
		RaftEventListener:   n,
		EnableMetrics:       true, // counts elections and what was dropped: nothing on the way of a write
		MaxSendQueueSize:    maxQueueBytes,
		MaxReceiveQueueSize: maxQueueBytes,
		Expert: config.ExpertConfig{
			LogDBFactory:        tanFactory{n.tan},
			TransportFactory:    n.cfg.Transport,
			NodeRegistryFactory: n.members,
			// Exec is written into the log: it can never change.
			Engine: config.EngineConfig{ExecShards: 4, CommitShards: 2, ApplyShards: 2, SnapshotShards: 2, CloseShards: 2},
			LogDB:  log,
			FS:     n.cfg.Tuning.FS,
		},
	}
}

// groupConfig is what the replica is told.
func (n *Node) groupConfig() config.Config {
	c := config.Config{
		ShardID:             shard,
		ReplicaID:           n.cfg.Folder.Replica(),
		CheckQuorum:         true,
		PreVote:             true,
		OrderedConfigChange: true,
		ElectionRTT:         serverVote,
		HeartbeatRTT:        2,
		SnapshotEntries:     snapshotEvery,
		CompactionOverhead:  logTail,
		MaxInMemLogSize:     maxLogMemory,
	}
	if n.cfg.Dev {
		c.ElectionRTT = devVote
	}
	if n.cfg.Tuning.SnapshotEvery > 0 {
		c.SnapshotEntries, c.CompactionOverhead = n.cfg.Tuning.SnapshotEvery, n.cfg.Tuning.LogTail
	}
	return c
}

// LeaderUpdated is called by Dragonboat when it learns of a leader, or of having none.
func (n *Node) LeaderUpdated(info raftio.LeaderInfo) {
	if info.ShardID != shard {
		return
	}
	n.leader.set(Leader{Replica: info.LeaderID, Term: info.Term})
	n.grouper.wake()
	n.reads.wake()
}
