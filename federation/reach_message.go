package federation

import (
	"context"
	"encoding/hex"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/liveness"
	"supercluster/federation/plan"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// maxRows bounds what one word about regions may hold.
const maxRows = 1024

// message shows everything that is known. It is what `federation status` prints, and what the nodes of a region tell each
// other.
func (r *reach) message() *pb.Reachability {
	r.mu.Lock()
	defer r.mu.Unlock()
	picture := r.machine.Picture(r.stamp())
	out := &pb.Reachability{Island: picture.Island, For: durationpb.New(picture.For)}
	for i := range picture.Regions {
		m := standingMessage(&picture.Regions[i])
		m.ProbeError = r.failures[picture.Regions[i].ID]
		m.ClockOffset = r.clocks.offset(picture.Regions[i].ID)
		out.Regions = append(out.Regions, m)
	}
	for _, row := range picture.Rows {
		m := rowMessage(row.Seen, row.Age, r.f.book.name)
		m.Region, m.RegionId = r.f.book.name(row.From), hex.EncodeToString(row.From[:])
		out.Rows = append(out.Rows, m)
	}
	out.Nodes = r.clocks.message()
	return out
}

func standingMessage(s *liveness.Standing) *pb.RegionReach {
	return &pb.RegionReach{
		Region: s.Name, RegionId: hex.EncodeToString(s.ID[:]), State: pb.ReachState(s.State) + pb.ReachState_REACH_STATE_UP,
		For: durationpb.New(s.For), Why: s.Why, Cost: known(s.Shown), CostSet: s.Peer.Cost >= 0, RoundTrip: optional(s.RoundTrip),
		Probed: known(s.Probed), Heard: known(s.Heard), Feed: known(s.Feed), Falls: uint32(s.Falls), Confirmed: s.Confirmed,
		Known: durationpb.New(s.Known), Fell: known(s.Fell), Steady: known(s.Steady),
	}
}

func rowMessage(seen []liveness.Seen, age time.Duration, name func([16]byte) string) *pb.ReachRow {
	m := &pb.ReachRow{Age: durationpb.New(age)}
	for _, s := range seen {
		m.Seen = append(m.Seen, &pb.ReachSeen{
			Region: name(s.ID), RegionId: hex.EncodeToString(s.ID[:]), Reached: s.Reached, RoundTrip: optional(s.RoundTrip),
		})
	}
	return m
}

// known is a duration that is absent when it is negative, and optional one that is absent when it is 0.
func known(d time.Duration) *durationpb.Duration {
	if d < 0 {
		return nil
	}
	return durationpb.New(d)
}

func optional(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

// ageIn is the reverse of known.
func ageIn(d *durationpb.Duration) time.Duration {
	if d == nil {
		return -1
	}
	return max(d.AsDuration(), 0)
}

func regionID(text string) (id [16]byte, ok bool) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return [16]byte(b), true
}

// seenOf reads what a region says that it reaches. What is no region is left out.
func seenOf(row *pb.ReachRow) (all []liveness.Seen) {
	for _, s := range row.GetSeen()[:min(len(row.GetSeen()), maxRows)] {
		if id, ok := regionID(s.GetRegionId()); ok {
			all = append(all, liveness.Seen{ID: id, Reached: s.GetReached(), RoundTrip: max(s.GetRoundTrip().AsDuration(), 0)})
		}
	}
	return all
}

// told is what the leader tells the other nodes.
type told struct {
	picture  liveness.Picture
	failures map[[16]byte]string
	clocks   clocks
}

// decodeReachability is the reverse of message.
func decodeReachability(b []byte) (t told, err error) {
	m := &pb.Reachability{}
	if proto.Unmarshal(b, m) != nil {
		return t, fault.New(fault.Invalid, "the leader sent something that does not say which regions are reached")
	}
	t.failures, t.clocks = map[[16]byte]string{}, clocksOf(m)
	p := &t.picture
	p.Island, p.For = m.GetIsland(), m.GetFor().AsDuration()
	for _, g := range m.GetRegions() {
		id, ok := regionID(g.GetRegionId())
		if !ok {
			continue
		}
		t.failures[id] = g.GetProbeError()
		p.Regions = append(p.Regions, standingOf(id, g))
	}
	for _, row := range m.GetRows() {
		if id, ok := regionID(row.GetRegionId()); ok {
			p.Rows = append(p.Rows, liveness.Row{From: id, Age: ageIn(row.GetAge()), Seen: seenOf(row)})
		}
	}
	return t, nil
}

func standingOf(id [16]byte, g *pb.RegionReach) liveness.Standing {
	s := liveness.Standing{
		Peer: liveness.Peer{ID: id, Name: g.GetRegion(), Cost: -1}, State: stateOf(g.GetState()), Why: g.GetWhy(),
		For: g.GetFor().AsDuration(), Known: g.GetKnown().AsDuration(), Confirmed: g.GetConfirmed(),
		Probed: ageIn(g.GetProbed()), Heard: ageIn(g.GetHeard()), Feed: ageIn(g.GetFeed()),
		RoundTrip: g.GetRoundTrip().AsDuration(), Shown: ageIn(g.GetCost()), Falls: int(g.GetFalls()), Fell: ageIn(g.GetFell()), Steady: ageIn(g.GetSteady()),
	}
	if g.GetCostSet() {
		s.Peer.Cost = g.GetCost().AsDuration()
	}
	return s
}

func stateOf(s pb.ReachState) plan.State {
	switch s {
	case pb.ReachState_REACH_STATE_SUSPECT:
		return plan.StateSuspect
	case pb.ReachState_REACH_STATE_AWAY:
		return plan.StateAway
	default:
		return plan.StateUp
	}
}

// maxCosts bounds the costs that are set.
const maxCosts = 256

// SetCost says what it costs to reach a region; nil: the round trip counts again. It gives every cost that is set.
func (f *Federation) SetCost(ctx context.Context, name string, cost *time.Duration, w record.Writer) ([]*pb.RegionCost, error) {
	id, err := f.book.named(name)
	if err != nil {
		return nil, err
	}
	if id == f.cfg.Identity.RegionID {
		return nil, errNoPeer
	}
	text := hex.EncodeToString(id[:])
	doc, err := f.changeSelf(ctx, w, func(doc *pb.Region) error {
		doc.Costs = slices.DeleteFunc(doc.Costs, func(c *pb.RegionCost) bool { return c.GetRegion() == text })
		if cost != nil {
			doc.Costs = append(doc.Costs, &pb.RegionCost{Region: text, Cost: durationpb.New(*cost)})
		}
		if len(doc.Costs) > maxCosts {
			return fault.New(fault.TooLarge, "costs are set for %d regions; there may be %d", len(doc.Costs), maxCosts).
				WithHint("`supercluster region cost unset REGION` ends one")
		}
		return nil
	})
	return doc.GetCosts(), err
}
