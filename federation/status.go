package federation

import (
	"context"
	"encoding/hex"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Status tells how this region stands.
func (f *Federation) Status(context.Context) (*pb.GetFederationResponse, error) {
	peers, err := f.Peers()
	if err != nil {
		return nil, err
	}
	out := &pb.GetFederationResponse{Region: f.fullDocument(), Fingerprint: f.cfg.Identity.Fingerprint, Peers: peers}
	out.Reachability = f.reach.message()
	err = f.pinned(func(r state.Reader) error {
		row, found, err := state.ReadFederation(r)
		if err != nil {
			return err
		}
		out.Fence = pb.Fence_FENCE_NONE
		if found {
			out.Incarnation, out.FenceReason = row.Incarnation, row.Reason
			out.Fence = pb.Fence(row.Fence) + pb.Fence_FENCE_NONE
		}
		if row.FencedAt != 0 {
			out.FencedAt = timestamppb.New(time.Unix(0, row.FencedAt))
		}
		if out.Healing, err = f.lastHealing(r, &row); err != nil {
			return err
		}
		out.Disagreements, err = f.disagreements(r)
		out.Disagreements = append(f.book.conflicts(), out.Disagreements...)
		return err
	})
	for _, p := range peers {
		out.Quarantined += p.GetQuarantined()
	}
	return out, err
}

// Peers lists the peers.
func (f *Federation) Peers() ([]*pb.Peer, error) {
	known, _ := f.book.list()
	var all []*pb.Peer
	err := f.pinned(func(r state.Reader) error {
		for _, p := range known {
			out := &pb.Peer{Region: p.doc, Alias: p.alias, Link: f.linkState(p.id)}
			if f.cfg.Identity.Fingerprints != nil {
				out.Fingerprints = f.cfg.Identity.Fingerprints(p.doc.GetCaCertificates())
			}
			if age, ok := f.ages.region(p.id); ok {
				out.Age = durationpb.New(age)
			}
			err := state.EachFeedState(r, p.alias, func(_ uint32, s *record.FeedState) error {
				out.Quarantined += s.Quarantined
				return nil
			})
			if err != nil {
				return err
			}
			all = append(all, out)
		}
		return nil
	})
	return all, err
}

func (f *Federation) linkState(region [16]byte) string {
	f.mu.Lock()
	u := f.uplinks[region]
	f.mu.Unlock()
	if u == nil {
		return ""
	}
	return u.link.Status().State.String()
}

// Links lists the links that this node holds.
func (f *Federation) Links() *pb.ListLinksResponse {
	out := &pb.ListLinksResponse{Node: f.cfg.Node}
	known, _ := f.book.list()
	for _, p := range known {
		f.mu.Lock()
		u := f.uplinks[p.id]
		f.mu.Unlock()
		if u == nil {
			continue
		}
		out.Links = append(out.Links, f.linkMessage(p, u.link.Status()))
	}
	return out
}

func (f *Federation) linkMessage(p *peer, s link.Status) *pb.Link {
	m := &pb.Link{
		Region: f.book.name(p.id), RegionId: hex.EncodeToString(p.id[:]), State: s.State.String(), Since: timestamppb.New(s.Since),
		Attempts: uint64(s.Attempts), Stalls: uint64(s.Stalls), Connections: uint32(s.Stats.Connections), Address: s.Address,
	}
	if s.Err != nil {
		m.LastError = s.Err.Error()
	}
	m.Server, m.Protocol, m.FeatureLevel = s.Peer.Server, uint32(s.Peer.Version), s.Peer.Level
	m.RoundTrip, m.BytesIn, m.BytesOut = durationpb.New(s.Stats.RTT), s.Stats.WireIn, s.Stats.WireOut
	return m
}

// ChannelList lists the channels of this region and those that are imported.
func (f *Federation) ChannelList() ([]*pb.ChannelStatus, error) {
	var all []*pb.ChannelStatus
	err := f.pinned(func(r state.Reader) error {
		docs, err := state.Channels(r)
		if err != nil {
			return err
		}
		own := map[uint32]*record.Channel{}
		for i := range docs {
			own[docs[i].ID] = &docs[i]
		}
		steps, err := channelStates(r)
		if err != nil {
			return err
		}
		for i := range steps {
			s := &steps[i]
			doc := own[s.channel]
			if s.region != f.cfg.Identity.RegionID {
				d, err := record.DecodeChannelDocument(s.state.Document)
				if err != nil {
					continue // nothing came yet
				}
				doc = &d.Channel
			}
			if doc == nil {
				continue
			}
			m, err := f.channelMessage(r, s, doc)
			if err != nil {
				return err
			}
			all = append(all, m)
		}
		return nil
	})
	return all, err
}

var classNames = [...]string{"", "control", "config", "services", "endpoints", "summaries"}

func className(c record.Class) string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "unknown"
}

func (f *Federation) channelMessage(r state.Reader, s *step, doc *record.Channel) (*pb.ChannelStatus, error) {
	p := s.state.Position
	m := &pb.ChannelStatus{
		Region: f.book.name(s.region), RegionId: hex.EncodeToString(s.region[:]), Own: s.region == f.cfg.Identity.RegionID,
		Channel: f.channelDoc(doc), Incarnation: p.Incarnation, Sequence: p.Sequence, Chain: hex.EncodeToString(p.Chain[:]),
		Digest: hex.EncodeToString(s.state.Digest[:]), Records: s.state.Records, Revision: s.state.Revision,
		LogFrom: s.state.FloorSequence + 1, LogBytes: s.state.LogBytes, Quarantined: s.state.Quarantined, Walking: s.state.Walking,
		HeadSequence: p.Sequence,
	}
	if m.Own {
		return m, nil
	}
	name := channelName{s.region, s.channel}
	if via, ok := f.routes.through(name); ok {
		m.Via = f.book.name(via)
	}
	m.Withdrawn = !doc.MayHave(f.cfg.Identity.RegionID)
	if newest, _ := f.routes.positions(name); newest.After(p) && !m.Withdrawn {
		m.HeadSequence = newest.Sequence
	}
	if age := f.ages.of(name); age < neverHeard {
		m.Age = durationpb.New(age)
	}
	alias, _, _, err := state.FindRegion(r, s.region)
	if err != nil {
		return nil, err
	}
	_, m.Resyncing, err = state.ReadResync(r, alias, s.channel)
	return m, err
}

func (f *Federation) channelDoc(c *record.Channel) *pb.Channel {
	m := &pb.Channel{Id: c.ID, Name: c.Name, Class: className(c.Class), Projection: projectionName(c.Projection), Generation: c.Generation}
	for _, t := range c.Selector {
		m.Selector = append(m.Selector, &pb.Term{Namespace: t.Namespace, Kind: kindName(t.Kind), Name: t.Name, Exact: t.Exact})
	}
	for _, a := range c.Audience {
		m.Audience = append(m.Audience, f.book.name(a))
	}
	return m
}

// Quarantine lists imported records that are kept and not shown.
func (f *Federation) Quarantine(limit int) (*pb.ListQuarantineResponse, error) {
	if limit <= 0 {
		limit = 100
	}
	out := &pb.ListQuarantineResponse{}
	known, _ := f.book.list()
	err := f.pinned(func(r state.Reader) error {
		for _, p := range known {
			err := state.EachFeedState(r, p.alias, func(channel uint32, s *record.FeedState) error {
				if out.Total += s.Quarantined; s.Quarantined == 0 || len(out.Records) >= limit {
					return nil
				}
				return state.EachQuarantined(r, p.alias, channel, func(k *record.FeedKey, row *record.Imported) bool {
					out.Records = append(out.Records, &pb.QuarantinedRecord{
						Region: f.book.name(p.id), Channel: channel, Namespace: k.Namespace, Kind: kindName(k.Kind), Name: k.Name,
						Reason: quarantineName(row.Quarantine), Sequence: row.Sequence,
					})
					return len(out.Records) < limit
				})
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func quarantineName(q record.Quarantine) string {
	switch q {
	case record.QuarantineCollision:
		return "collision"
	case record.QuarantineNotHome:
		return "not-home"
	default:
		return "malformed"
	}
}

// region gives the id of a region that is named by name, alias or id; this one too.
func (f *Federation) RegionID(name string) ([16]byte, error) { return f.book.named(name) }

// AwaitRegion waits until this node knows a region, or does not any more. It fails only with ctx.
func (f *Federation) AwaitRegion(ctx context.Context, region [16]byte, known bool) error {
	for {
		knows, changed := f.book.knows(region)
		if knows == known {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Name gives the name of a region.
func (f *Federation) Name(region [16]byte) string { return f.book.name(region) }

var errNoPeer = fault.New(fault.Invalid, "that is this region itself; name another one")
