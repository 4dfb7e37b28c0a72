package node

import (
	"context"
	"sync"
	"time"
)

// Leader is who leads the Raft group as far as this node knows; Replica 0 is nobody.
type Leader struct {
	Replica uint64
	Term    uint64
}

// leaderCell holds the leader and tells of changes.
type leaderCell struct {
	mu      sync.Mutex
	leader  Leader
	changed chan struct{}
}

func newLeaderCell() *leaderCell { return &leaderCell{changed: make(chan struct{})} }

func (c *leaderCell) set(l Leader) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l.Term < c.leader.Term || l == c.leader {
		return
	}
	c.leader = l
	close(c.changed)
	c.changed = make(chan struct{})
}

// get gives the leader and a channel that is closed when that changes.
func (c *leaderCell) get() (Leader, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leader, c.changed
}

// Leader says who leads, and gives a channel that is closed when that changes.
func (n *Node) Leader() (Leader, <-chan struct{}) { return n.leader.get() }

// handOver makes another member leader before this node stops, so that writes go on without an election.
func (n *Node) handOver() {
	self := n.cfg.Folder.Replica()
	ids := n.cfg.Folder.Members()
	for _, name := range n.cfg.Alive() {
		leader, _ := n.leader.get()
		if leader.Replica != self {
			return
		}
		if ids[name] == self {
			continue
		}
		if err := n.host.RequestLeaderTransfer(shard, ids[name]); err != nil {
			n.cfg.Log.Warn("leadership could not be handed over", "to", name, "error", err)
			continue
		}
		if n.ledByOther(transferTime) {
			n.cfg.Log.Info("leadership handed over", "to", name)
			return
		}
	}
}

const transferTime = 500 * time.Millisecond

func (n *Node) ledByOther(within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	self := n.cfg.Folder.Replica()
	for {
		leader, changed := n.leader.get()
		if leader.Replica != self && leader.Replica != 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
