package federation

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
)

// clocks is how far those of other regions, and of the other nodes of this one, are ahead. Nothing is decided by it: a clock
// that is wrong is shown, so that somebody sets it right.
type clocks struct {
	regions map[[16]byte]time.Duration
	nodes   map[string]time.Duration
}

func newClocks() clocks {
	return clocks{regions: map[[16]byte]time.Duration{}, nodes: map[string]time.Duration{}}
}

// ahead is how far a clock that showed a time is ahead of this one, which showed two others before and after. It is off by
// half the time between at most.
func ahead(shown, before, after time.Time) time.Duration {
	return shown.Sub(before.Add(after.Sub(before) / 2))
}

// ofRegion takes in what a region answered; one of an earlier version says nothing.
func (c *clocks) ofRegion(id [16]byte, asked, answered time.Time, shown *timestamppb.Timestamp) {
	if shown.IsValid() {
		c.regions[id] = ahead(shown.AsTime(), asked, answered)
	}
}

// ofNode is ofRegion for a node of this region.
func (c *clocks) ofNode(node string, asked, answered time.Time, shown []byte) {
	if len(shown) == clockBytes {
		c.nodes[node] = ahead(time.Unix(0, int64(binary.BigEndian.Uint64(shown))), asked, answered)
	}
}

const clockBytes = 8

// encodeClock is how a node tells the leader its time.
func encodeClock(now time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))
}

// offset is that of a region; nil: not known.
func (c *clocks) offset(id [16]byte) *durationpb.Duration {
	d, known := c.regions[id]
	if !known {
		return nil
	}
	return durationpb.New(d)
}

// message lists the nodes by name.
func (c *clocks) message() (all []*pb.NodeClock) {
	for _, node := range slices.Sorted(maps.Keys(c.nodes)) {
		all = append(all, &pb.NodeClock{Node: node, Offset: durationpb.New(c.nodes[node])})
	}
	return all
}

// clocksOf reads what the leader knows of clocks. Those of nodes are seen from the leader, so a node that leads next begins
// without them.
func clocksOf(m *pb.Reachability) clocks {
	c := newClocks()
	for _, g := range m.GetRegions() {
		if id, ok := regionID(g.GetRegionId()); ok && g.GetClockOffset() != nil {
			c.regions[id] = g.GetClockOffset().AsDuration()
		}
	}
	return c
}
