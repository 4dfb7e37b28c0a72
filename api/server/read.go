package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/registry"
)

// view gives the view for a read of the catalogue and the header of its answer. A linearizable read waits until
// the view covers what the region had acknowledged when it began. classes are those of the channels that bring what is
// read from other regions; all when none is named.
func (s *Server) view(ctx context.Context, o *pb.ReadOptions, classes ...record.Class) (*registry.View, *pb.ReadHeader, error) {
	if len(classes) == 0 {
		classes = catalogueClasses[:]
	}
	level, err := s.level(ctx, o, record.LevelLocal, classes...)
	if err != nil {
		return nil, nil, err
	}
	if level == record.LevelLinearizable {
		if err := s.catchUp(ctx); err != nil {
			return nil, nil, err
		}
		v := s.cfg.Views.View()
		return v, s.readHeader(record.Freshness{Positions: v.At()}), nil
	}
	began, age := time.Now(), s.cfg.Region.Freshness().AgeNanos // before the view is taken, which may be newer than that, never older
	v := s.cfg.Views.View()
	return v, s.readHeader(record.Freshness{Positions: v.At(), AgeNanos: age + int64(time.Since(began))}), nil
}

// catalogueClasses are the channels that bring services and their instances.
var catalogueClasses = [...]record.Class{record.ClassServices, record.ClassEndpoints}

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
		Age: durationpb.New(time.Duration(f.AgeNanos)), Incarnation: s.incarnation(),
	}
}
