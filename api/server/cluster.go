package server

import (
	"context"
	"encoding/hex"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region"
	"supercluster/region/record"
	"supercluster/registry/access"
)

// clusterService tells how the region is.
type clusterService struct {
	pb.UnimplementedClusterServiceServer
	s *Server
}

func (k clusterService) GetStatus(ctx context.Context, req *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbGet, Kind: access.KindCluster}); err != nil {
		return nil, err
	}
	st := k.s.cfg.Region.Status()
	resp := &pb.GetStatusResponse{
		Region: st.Region, RegionId: hex.EncodeToString(st.RegionID[:]), Node: st.Node, Version: k.s.cfg.Version,
		Leader: st.Leader, Term: st.Term, AppliedIndex: st.Applied,
		Revision: st.Positions.Data, CompactedRevision: st.Compacted.Data, PurgedRevision: st.Purged.Data,
		Age: durationpb.New(st.Age), Keys: st.Keys, Bytes: st.Bytes,
		Started: timestamppb.New(k.s.started), Dev: k.s.cfg.Dev,
		Proxies: uint32(len(k.s.ownProxies())), FeatureLevel: st.FeatureLevel, Backup: k.s.backups.status(),
	}
	for _, a := range st.Alarms {
		resp.Alarms = append(resp.Alarms, alarmText(a, k.s.cfg.Region.Nodes()))
	}
	if req.GetStateHash() {
		return resp, k.s.hashState(ctx, resp)
	}
	return resp, nil
}

func (k clusterService) ListMembers(ctx context.Context, _ *pb.ListMembersRequest) (*pb.ListMembersResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbList, Kind: access.KindCluster}); err != nil {
		return nil, err
	}
	connected := map[string]uint32{}
	for _, p := range k.s.allProxies(ctx) {
		connected[p.GetNode()]++
	}
	resp := &pb.ListMembersResponse{}
	for _, n := range k.s.cfg.Region.Nodes() {
		resp.Members = append(resp.Members, &pb.Member{
			Node: &pb.Node{
				Name: n.Name, Replica: n.Replica, GrpcAddress: n.GRPC, HttpAddress: n.HTTP, RaftAddress: n.Raft,
			},
			Leader: n.Leader, Alive: n.Alive, LastHeard: durationpb.New(n.LastHeard), Proxies: connected[n.Name], Self: n.Self,
		})
	}
	return resp, nil
}

func (k clusterService) Compact(ctx context.Context, req *pb.CompactRequest) (*pb.CompactResponse, error) {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbAdmin, Kind: access.KindCluster, Name: "compact"}); err != nil {
		return nil, err
	}
	op := record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: record.ShardData, Revision: req.GetRevision()}}
	if _, err := k.s.cfg.Region.Propose(ctx, op); err != nil {
		if e, ok := fault.As(err); ok && e.Field == "" && (e.Kind == fault.Compacted || e.Kind == fault.FutureRevision) {
			named := *e
			named.Field = "revision"
			return nil, &named
		}
		return nil, err
	}
	return &pb.CompactResponse{CompactedRevision: req.GetRevision()}, nil
}

// alarmText names an alarm and the node that raised it.
func alarmText(a record.Alarm, nodes []region.NodeStatus) string {
	what := "unknown alarm"
	if a.Kind == record.AlarmNoSpace {
		what = "no space: growth is refused, deletes and compaction still work"
	}
	for _, n := range nodes {
		if n.Replica == a.Replica {
			return what + " (raised by " + n.Name + ")"
		}
	}
	return what
}
