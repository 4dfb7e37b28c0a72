package server

import (
	"cmp"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/region/record"
)

// mark makes the progress mark of a watch that was given everything up to positions.
func (w watchService) mark(f *eventFilter, at record.Positions) *pb.WatchResponse {
	return &pb.WatchResponse{
		Revision: at.Of(f.shard), Progress: true, Incarnation: w.s.incarnation(), Sources: w.sourcePositions(f, at),
	}
}

// sourcePositions says how far the watch has come with the other regions. What this node has of them counts only once the watch
// was given all that the node had then; until it was, what counted before still holds.
func (w watchService) sourcePositions(f *eventFilter, at record.Positions) []*pb.SourcePosition {
	if w.s.cfg.Sources == nil || f.shard != record.ShardData {
		return nil
	}
	if f.next != nil && at.Covers(f.nextAt) {
		f.standing = f.next
	}
	now, had, err := w.s.cfg.Sources.Standing(federation.Watched{
		Tenant: f.tenant, Namespace: f.namespace, Kind: f.kind, Prefix: f.prefix,
	})
	if err == nil {
		f.next, f.nextAt = now, had
	}
	if at.Covers(f.nextAt) {
		f.standing = f.next
	}
	all := make([]*pb.SourcePosition, 0, len(f.standing))
	for i := range f.standing {
		all = append(all, w.sourcePosition(&f.standing[i]))
	}
	slices.SortFunc(all, func(a, b *pb.SourcePosition) int { return cmp.Compare(a.GetRegion(), b.GetRegion()) })
	return all
}

func (w watchService) sourcePosition(s *federation.Standing) *pb.SourcePosition {
	out := &pb.SourcePosition{
		Region:   w.s.cfg.Views.View().HomeOf(&record.Origin{Home: s.Region}),
		Revision: s.Revision, Incarnation: s.Incarnation,
	}
	if !s.Heard.IsZero() {
		out.Age = durationpb.New(max(time.Since(s.Heard), 0))
	}
	for _, c := range s.Channels {
		out.Channels = append(out.Channels, &pb.ChannelPosition{
			Class: c.Class, Name: c.Name, Incarnation: c.Incarnation, Sequence: c.Sequence,
		})
	}
	return out
}
