package region

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/node"
	"supercluster/region/record"
)

// Status is what this node knows of its region.
type Status struct {
	Region   string
	RegionID [16]byte
	Node     string
	Replica  uint64
	// Leader is the name of the leader, empty when none is known.
	Leader string
	Term   uint64
	// Applied is the index of the last log entry that this node's store contains.
	Applied   uint64
	Positions record.Positions
	Compacted record.Positions
	Purged    record.Positions
	Alarms    []record.Alarm
	// Keys and Bytes are of live records, HistoryBytes of older versions and tombstones.
	Keys         uint64
	Bytes        uint64
	HistoryBytes uint64
	// FeatureLevel is the replicated format level.
	FeatureLevel uint32
	// Clock is the replicated state clock.
	Clock time.Duration
	// Age is how long ago this node last knew that it was not behind.
	Age time.Duration
}

// NodeStatus is what this node knows of one node of the region.
type NodeStatus struct {
	Name    string
	Replica uint64
	Raft    string
	GRPC    string
	HTTP    string
	// Alive: heard within 2 s, or self. LastHeard is how long ago, 0 for self and when never.
	Alive     bool
	LastHeard time.Duration
	Leader    bool
	Self      bool
}

// Status says what this node knows of its region. Before it runs, that is its names.
func (r *Region) Status() Status {
	s := Status{Region: r.cfg.Region, Node: r.cfg.Node, Age: neverFresh}
	p := r.parts.Load()
	if p == nil {
		return s
	}
	r.asked.Store(time.Now().UnixNano())
	s.Replica = p.folder.Replica()
	leader, _ := p.node.Leader()
	s.Leader, s.Term, s.Age = p.nameOf(leader), leader.Term, p.age()
	sum, err := p.store.Summary()
	if err != nil { // not open yet
		return s
	}
	s.RegionID, s.Applied, s.Positions = sum.RegionID, sum.AppliedIndex, sum.Positions
	s.Compacted, s.Purged = sum.Compacted, sum.Purged
	for _, a := range sum.Alarms {
		s.Alarms = append(s.Alarms, record.Alarm{Kind: a.Kind, Replica: a.Replica, Raised: true})
	}
	s.Keys, s.Bytes, s.HistoryBytes = sum.Keys, sum.Bytes, sum.HistoryBytes
	s.FeatureLevel, s.Clock = sum.FeatureLevel, time.Duration(sum.Clock.Now)
	return s
}

func (p *parts) nameOf(leader node.Leader) string {
	for name, id := range p.folder.Members() {
		if id == leader.Replica {
			return name
		}
	}
	return ""
}

// Nodes lists the nodes of the region by name: the members, with the addresses that they wrote into their records.
func (r *Region) Nodes() []NodeStatus {
	nodes := make([]NodeStatus, 0, len(r.cfg.Members))
	p := r.parts.Load()
	leader := ""
	if p != nil {
		l, _ := p.node.Leader()
		leader = p.nameOf(l)
	}
	for name, raft := range r.cfg.Members {
		n := NodeStatus{Name: name, Raft: raft, Self: name == r.cfg.Node, Leader: name == leader}
		if ago, ok := r.wire.LastHeard(name); ok {
			n.LastHeard, n.Alive = ago, ago < wireDead
		}
		if p != nil {
			n.Replica = p.folder.Members()[name]
			if rec, ok := p.nodeRecord(name); ok {
				n.GRPC, n.HTTP = rec.GetGrpcAddress(), rec.GetHttpAddress()
			}
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b NodeStatus) int { return cmp.Compare(a.Name, b.Name) })
	return nodes
}

// wireDead is after how long without a sign of life a node counts as gone.
const wireDead = 2 * time.Second

// NodeKey is the key of a node's record.
func NodeKey(name string) record.Key {
	return record.Key{Shard: record.ShardSystem, Kind: record.KindNode, Scope: record.ScopeRegion, Name: name}
}

// nodeRecord reads what a node wrote about itself.
func (p *parts) nodeRecord(name string) (*pb.Node, bool) {
	rec, found, _, err := p.store.Get(NodeKey(name), 0)
	if err != nil || !found {
		return nil, false
	}
	n := &pb.Node{}
	return n, proto.Unmarshal(rec.Value, n) == nil
}

// mayKnow reports whether the region has seen a node before, under the id that it has now: a restored region does not know
// the members that it goes on with. While the store can not be read yet, it may have: a node that lost its disk must not
// begin again only because the others are starting, too. The nodes of a region that was just restored start together.
func (p *parts) mayKnow(name string) bool {
	_, found, _, err := p.store.Get(NodeKey(name), 0)
	if err != nil {
		return !p.folder.JustRestored()
	}
	n, ok := p.nodeRecord(name)
	return found && (!ok || n.GetReplica() == p.folder.Members()[name])
}
