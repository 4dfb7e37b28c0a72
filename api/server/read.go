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
func (s *Server) view(ctx context.Context, o *pb.ReadOptions, classes ...record.Class) (*reading, *pb.ReadHeader, error) {
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
		v := s.reading()
		return v, v.header(record.Freshness{Positions: v.At()}), nil
	}
	began, age := time.Now(), s.cfg.Region.Freshness().AgeNanos // before the view is taken, which may be newer than that, never older
	v := s.reading()
	return v, v.header(record.Freshness{Positions: v.At(), AgeNanos: age + int64(time.Since(began))}), nil
}

// reading is what a read shows of the catalogue, and how old what it shows of other regions is.
type reading struct {
	*registry.View
	server *Server
	ages   func(region [16]byte) (time.Duration, bool) // nil: nobody knows
	// own is how old what the read shows of this region is, as the header of the answer has it; nil before that is known. All
	// records of an answer share it.
	own *durationpb.Duration
}

// reading begins a read. The ages are those before the view is taken: what is heard of a region afterwards says nothing of
// what the view shows. So a read of the store begins with it too.
func (s *Server) reading() *reading {
	r := &reading{server: s}
	if s.cfg.Sources != nil {
		r.ages = s.cfg.Sources.Ages()
	}
	r.View = s.cfg.Views.View()
	return r
}

// written begins the reading from which a write is answered: of what this region just wrote nobody has anything newer.
func (s *Server) written() *reading {
	r := s.reading()
	r.own = new(durationpb.Duration)
	return r
}

// header makes the header of the answer, which tells how new the read is: so old is what is shown of this region from now on.
func (r *reading) header(f record.Freshness) *pb.ReadHeader {
	h := r.server.readHeader(f)
	r.own = h.GetAge()
	return h
}

// age says how old the copy of a region is that the read shows; false: nobody knows.
func (r *reading) age(region [16]byte) (time.Duration, bool) {
	if r.ages == nil {
		return 0, false
	}
	return r.ages(region)
}

// placed says where a record with one home was written.
func (r *reading) placed(origin *record.Origin, revision uint64) *pb.Source {
	out := &pb.Source{Region: r.HomeOf(origin), Revision: revision}
	if origin == nil || origin.Home == ([16]byte{}) {
		out.Incarnation, out.Age = r.server.incarnation(), r.own
		return out
	}
	out.Revision, out.Incarnation = origin.HomeRevision, origin.Incarnation
	if age, ok := r.age(origin.Home); ok {
		out.Age = durationpb.New(age)
	}
	return out
}

// source says where an instance was written: a revision, and the incarnation that it is of.
func (r *reading) source(alias uint32, region string, revision, incarnation uint64) *pb.Source {
	out := &pb.Source{Region: region, Revision: revision, Incarnation: incarnation}
	if alias == record.ScopeRegion {
		out.Incarnation, out.Age = r.server.incarnation(), r.own
		return out
	}
	if from, ok := r.RegionAt(alias); ok {
		if age, ok := r.age(from.ID); ok {
			out.Age = durationpb.New(age)
		}
	}
	return out
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
