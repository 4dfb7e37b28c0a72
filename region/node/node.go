package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/lni/dragonboat/v4"
	"github.com/lni/dragonboat/v4/config"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Config says what a replica is made of.
type Config struct {
	Node   string
	Dev    bool
	Folder *Folder
	// Transport carries Raft messages to members by name. Reachable lists the other members that could lead.
	Transport config.TransportFactory
	Reachable func() []string
	// Quiet asks the other members to Hold.
	Quiet func(ctx context.Context)
	// Machine is the state of this replica.
	Machine sm.IOnDiskStateMachine
	Tuning  Tuning

	Log   *slog.Logger
	Meter metric.Meter
}

// Node is one replica of the Raft group. It starts nothing before Run.
type Node struct {
	cfg     Config
	members *members
	leader  *leaderCell
	metrics *metrics
	grouper *grouper
	reads   *reads
	host    *dragonboat.NodeHost
	tan     *tanLog
	running chan struct{} // closed when the replica was started

	failing sync.Once
	failed  chan struct{}
	failure error
}

// New prepares a replica.
func New(cfg Config) (*Node, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	ids := cfg.Folder.Members()
	names := make([]string, 0, len(ids))
	for name := range ids {
		names = append(names, name)
	}
	n := &Node{
		cfg: cfg, members: newMembers(names), leader: newLeaderCell(), metrics: m,
		running: make(chan struct{}), failed: make(chan struct{}),
	}
	n.grouper = newGrouper(cfg.Folder.Replica(), cfg.Folder.Boot(), cfg.Tuning.Depth, cfg.Log, m, n.hasLeader)
	n.reads = newReads(n.hasLeader, m)
	n.tan = newTanLog(n.Fail)
	return n, nil
}

func (n *Node) hasLeader() bool {
	leader, _ := n.leader.get()
	return leader.Replica != 0
}

// Fail stops this replica for a reason that it can not go on with. Run returns it; the process must then end,
// because the replica's goroutines can not.
func (n *Node) Fail(err error) {
	n.failing.Do(func() {
		n.failure = err
		close(n.failed)
	})
}

// Propose has the group apply one operation and gives its result, whatever its status.
func (n *Node) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	return n.grouper.propose(ctx, op)
}

// ProposeRaw puts bytes into the log as they are and does not wait. It is for tests of what replicas do with entries
// that no version wrote.
func (n *Node) ProposeRaw(command []byte) error {
	<-n.running
	_, err := n.grouper.log.propose(command, patience)
	return err
}

// Linearize waits until the machine covers every write acknowledged before the call.
func (n *Node) Linearize(ctx context.Context) error { return n.reads.linearize(ctx) }

// Age says how long ago this node last knew that it was not behind; false when it never knew.
func (n *Node) Age() (time.Duration, bool) { return n.reads.age() }

// Run starts the replica and runs it until ctx ends, when a leader hands over first, or until it fails.
func (n *Node) Run(ctx context.Context) error {
	if err := refuseForeignSettings(); err != nil {
		return err
	}
	routeRaftLog(n.cfg.Log)
	if err := n.begin(); err != nil {
		return err
	}
	log := newHostLog(n.host)
	inner, cancel := context.WithCancel(context.Background())
	defer cancel()
	var parts sync.WaitGroup
	parts.Go(func() { n.grouper.run(inner, log) })
	parts.Go(func() { n.reads.run(inner, log) })
	close(n.running)
	select {
	case <-n.failed:
	case <-ctx.Done():
		n.leave()
	}
	cancel()
	parts.Wait()
	return n.close()
}

// begin starts the replica, or gives why it failed meanwhile: who fails in the log does not come back.
func (n *Node) begin() error {
	started := make(chan error, 1)
	go func() { started <- n.start() }()
	select {
	case err := <-started:
		return err
	case <-n.failed:
	}
	select {
	case <-started:
	case <-time.After(stuckTime):
	}
	return n.failure
}

// drainTime is how long writes on their way may take while this node stops.
const drainTime = 500 * time.Millisecond

// leave ends this node's part in the group without hurting the writes of others.
func (n *Node) leave() {
	draining, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	n.grouper.drain(draining)
	n.handOver()
}

// stuckTime is how long a failed replica is given to close: its worker may be waiting for the end of the process.
const stuckTime = time.Second

// close stops Dragonboat. After a failure it may not stop, and what matters is the failure.
func (n *Node) close() (err error) {
	closed := make(chan error, 1)
	go func() {
		defer func() {
			if cause := recover(); cause != nil {
				closed <- panicFault(n.cfg.Folder.RaftDir(), cause)
			}
		}()
		n.host.Close()
		closed <- syncLog(n.cfg.Folder.RaftDir())
	}()
	select {
	case err = <-closed:
	case <-n.failed:
		select {
		case <-closed:
		case <-time.After(stuckTime):
		}
	}
	select {
	case <-n.failed:
		return n.failure
	default:
		return err
	}
}

// start opens the log and starts the replica.
func (n *Node) start() (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicFault(n.cfg.Folder.RaftDir(), cause)
		}
	}()
	name, err := os.Hostname()
	if err == nil {
		err = adoptHost(n.cfg.Folder.RaftDir(), name)
	}
	if err == nil {
		err = checkLog(n.cfg.Folder.RaftDir())
	}
	if err != nil {
		return folderFault(n.cfg.Folder.RaftDir(), err)
	}
	host, err := dragonboat.NewNodeHost(n.hostConfig())
	if err != nil {
		return startFault(n.cfg.Folder.RaftDir(), err)
	}
	if host == nil { // Dragonboat swallows some panics
		return panicFault(n.cfg.Folder.RaftDir(), "its library gave no cause")
	}
	n.host = host
	replicas := map[uint64]string{}
	for name, id := range n.cfg.Folder.Members() {
		replicas[id] = hostID(name)
	}
	if n.cfg.Folder.Restored() > 0 {
		replicas = nil // they are in the snapshot that the log begins with
	}
	machine := func(uint64, uint64) sm.IOnDiskStateMachine {
		return &guard{IOnDiskStateMachine: n.cfg.Machine, tan: n.tan, replica: n.cfg.Folder.Replica(), fail: n.Fail}
	}
	if err := host.StartOnDiskReplica(replicas, false, machine, n.groupConfig()); err != nil {
		host.Close()
		return startFault(n.cfg.Folder.RaftDir(), err)
	}
	return n.cfg.Folder.begun()
}

// guard is the machine as Dragonboat sees it: Dragonboat answers an error of a machine with a panic, so that errors
// go to Run instead and Dragonboat's worker waits for the end.
type guard struct {
	sm.IOnDiskStateMachine
	tan     *tanLog
	replica uint64
	fail    func(error)
}

// Open opens the machine.
func (g *guard) Open(stop <-chan struct{}) (uint64, error) {
	index, err := g.IOnDiskStateMachine.Open(stop)
	if err == nil {
		err = g.reaches(index)
	}
	if err != nil {
		g.fail(err)
		<-stop
		return 0, sm.ErrOpenStopped
	}
	return index, nil
}

// reaches refuses a state that is older than the beginning of the log: what lies between is nowhere on this node. And one
// that is newer than the end of the log, which is written first: the log forgot what this node had acknowledged, and entries
// that are put in the place of those would count as applied.
func (g *guard) reaches(index uint64) error {
	snapshot, err := g.tan.GetSnapshot(shard, g.replica)
	if err != nil {
		return err
	}
	if index < snapshot.OnDiskIndex {
		return fault.New(fault.Corrupt, "the state ends at entry %d, and the Raft log begins after entry %d", index, snapshot.OnDiskIndex).
			WithHint(replaceHint)
	}
	last, err := g.tan.last(g.replica, snapshot.Index)
	if err != nil {
		return err
	}
	if index > last {
		return fault.New(fault.Corrupt, "the state ends at entry %d, and the Raft log at entry %d: the disk lost what it was told to keep", index, last).
			WithHint(replaceHint)
	}
	return nil
}

// Update applies entries.
func (g *guard) Update(entries []sm.Entry) ([]sm.Entry, error) {
	done, err := g.IOnDiskStateMachine.Update(entries)
	if err != nil {
		g.fail(err)
		select {} // the process is ending; this replica must not take another step
	}
	return done, nil
}

// RecoverFromSnapshot takes over a state that another replica sent. When it was only told to stop, it says so.
func (g *guard) RecoverFromSnapshot(r io.Reader, stop <-chan struct{}) error {
	err := g.IOnDiskStateMachine.RecoverFromSnapshot(r, stop)
	if err == nil || errors.Is(err, sm.ErrSnapshotStopped) {
		return err
	}
	g.fail(err)
	<-stop
	return sm.ErrSnapshotStopped
}

// Sync makes what was applied durable.
func (g *guard) Sync() error {
	if err := g.IOnDiskStateMachine.Sync(); err != nil {
		g.fail(err)
		select {}
	}
	return nil
}
