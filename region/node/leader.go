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

// Leadership is handed over within handOverTime; one attempt is given up after transferTime, about when Raft does.
const (
	handOverTime = 1200 * time.Millisecond
	transferTime = 250 * time.Millisecond
	// quietTime is how long the others' writes on their way may take before leadership is handed over, and holdTime
	// how long the others wait for the next leader at most.
	quietTime = 100 * time.Millisecond
	holdTime  = 300 * time.Millisecond
)

// Hold lets no write begin on this node until there is another leader, for a moment at most, and waits until those
// on their way are answered. The leader asks for it before it hands over: a member that has not yet applied what it
// knows to be committed does not take leadership.
func (n *Node) Hold(ctx context.Context) { n.grouper.hold(ctx, holdTime) }

// handOver makes another member leader before this node stops, so that writes go on without an election. A member
// may be unable just now, while it applies what it has; then it is asked again.
func (n *Node) handOver() {
	if leader, _ := n.leader.get(); leader.Replica != n.cfg.Folder.Replica() {
		return
	}
	quiet, cancel := context.WithTimeout(context.Background(), quietTime)
	n.cfg.Quiet(quiet)
	cancel()
	for until := time.Now().Add(handOverTime); time.Now().Before(until); {
		others := n.cfg.Reachable()
		for _, name := range others {
			if leader, _ := n.leader.get(); leader.Replica != n.cfg.Folder.Replica() {
				return
			}
			if err := n.host.RequestLeaderTransfer(shard, n.cfg.Folder.Members()[name]); err != nil {
				n.cfg.Log.Debug("leadership could not be handed over", "to", name, "error", err)
			}
			if n.ledByOther(transferTime) {
				n.cfg.Log.Info("leadership handed over", "to", name)
				return
			}
		}
		if len(others) == 0 {
			return
		}
	}
}

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
