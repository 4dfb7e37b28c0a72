package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/registry"
)

// levelOfRead gives the read level of a request, or the method's own when it names none.
func levelOfRead(o *pb.ReadOptions, unspecified record.Level) record.Level {
	switch o.GetConsistency() {
	case pb.Consistency_CONSISTENCY_LOCAL:
		return record.LevelLocal
	case pb.Consistency_CONSISTENCY_LINEARIZABLE:
		return record.LevelLinearizable
	default:
		return unspecified
	}
}

// view gives the view for a read of the catalogue and the header of its answer. A linearizable read waits until
// the view covers what the region had acknowledged when it began.
func (s *Server) view(ctx context.Context, o *pb.ReadOptions) (*registry.View, *pb.ReadHeader, error) {
	if levelOfRead(o, record.LevelLocal) == record.LevelLinearizable {
		if err := s.catchUp(ctx); err != nil {
			return nil, nil, err
		}
		v := s.cfg.Views.View()
		return v, s.readHeader(record.Freshness{Positions: v.At()}), nil
	}
	v := s.cfg.Views.View()
	return v, s.readHeader(record.Freshness{Positions: v.At(), AgeNanos: s.cfg.Region.Freshness().AgeNanos}), nil
}

// catchUp waits until the view covers every write acknowledged before the call.
func (s *Server) catchUp(ctx context.Context) error {
	ctx, cancel := withDefaultDeadline(ctx, s.cfg.Limits.ReadTimeout)
	if cancel != nil {
		defer cancel()
	}
	at, err := s.cfg.Region.Linearize(ctx)
	if err != nil {
		return err
	}
	return s.cfg.Views.Wait(ctx, at)
}

// ownerOf is what answers call the region that owns a record.
func (s *Server) ownerOf(r *record.Record) string { return s.cfg.Views.View().RegionOf(r) }

func (s *Server) readHeader(f record.Freshness) *pb.ReadHeader {
	return &pb.ReadHeader{
		Region: s.cfg.RegionName, Node: s.cfg.Node, Revision: f.Positions.Data,
		Age: durationpb.New(time.Duration(f.AgeNanos)),
	}
}
