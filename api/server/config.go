package server

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// configService holds config entries. Its writes do not wait for the view, as entries are read from the store,
// which shows a write before it is answered.
type configService struct {
	pb.UnimplementedConfigServiceServer
	s *Server
}

func (s configService) PutConfig(ctx context.Context, req *pb.PutConfigRequest) (*pb.PutConfigResponse, error) {
	c, in := callFrom(ctx), req.GetConfig()
	if err := decide(c, on(access.VerbPut, access.KindConfig, in.GetTenant(), in.GetNamespace(), in.GetName())); err != nil {
		return nil, err
	}
	cond := registry.Condition{ExpectRevision: req.GetExpectRevision(), CreateOnly: req.GetCreateOnly()}
	w := s.s.writeOf(ctx, c, req.GetOptions())
	var answer *pb.Config
	res, err := s.put(ctx, func(v *registry.View) (op record.Op, err error) {
		op, answer, err = registry.PutConfigOp(v, in, cond, w)
		return op, err
	})
	if err != nil {
		return nil, err
	}
	return &pb.PutConfigResponse{Header: s.finishAnswer(answer, w, res), Config: answer}, nil
}

// put is Server.write without the wait for the view.
func (s configService) put(ctx context.Context, build func(v *registry.View) (record.Op, error)) (record.Result, error) {
	op, err := s.s.build(ctx, build)
	if err != nil {
		return record.Result{}, err
	}
	return s.s.propose(ctx, op)
}

// finishAnswer fills in what the writer and the result of a put tell, and gives the header. When the entry was created and
// its version are known to the store alone, which does not read them for every put.
func (s configService) finishAnswer(answer *pb.Config, w registry.Write, res record.Result) *pb.WriteHeader {
	// The parts are one allocation: puts come by the ten thousand.
	var parts struct {
		header pb.WriteHeader
		meta   pb.Meta
		source pb.Source
		age    durationpb.Duration
		time   timestamppb.Timestamp
	}
	header, meta, source, at := &parts.header, &parts.meta, &parts.source, &parts.time
	header.Revision, header.Duplicate = res.Revision, res.Duplicate
	meta.ModifyRevision, meta.Region = res.Revision, s.s.cfg.RegionName
	source.Revision, source.Region, source.Incarnation = res.Revision, s.s.cfg.RegionName, s.s.incarnation()
	source.Age = &parts.age
	answer.Author, answer.Message, answer.Meta, answer.Source = w.Writer.Actor, w.Writer.Message, meta, source
	if !res.Duplicate {
		written := time.Unix(0, w.Writer.Time)
		at.Seconds, at.Nanos = written.Unix(), int32(written.Nanosecond())
		answer.Time = at
	}
	return header
}

func (s configService) GetConfig(ctx context.Context, req *pb.GetConfigRequest) (*pb.GetConfigResponse, error) {
	if err := decide(callFrom(ctx), on(access.VerbGet, access.KindConfig, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	key := registry.NamespaceOf(req.GetTenant(), req.GetNamespace()).Config(req.GetName())
	level, err := s.s.level(ctx, req.GetRead(), record.LevelLinearizable, record.ClassConfig)
	if err != nil {
		return nil, err
	}
	v := s.s.reading()
	rec, fresh, err := s.read(ctx, key, req.GetRevision(), level)
	if err == nil || fault.Is(err, fault.NotFound) {
		if old := v.bounded(req.GetRead(), func(t touched) {
			t.add(&rec.Origin)
			s.s.homesTouched(t, key.Tenant, key.Namespace, key.Name, false)
		}); old != nil {
			err = old
		}
	}
	if err != nil {
		return nil, err
	}
	header := v.header(fresh)
	return &pb.GetConfigResponse{Header: header, Config: configAnswer(v, key, &rec)}, nil
}

// configAnswer shows a record, and where it was written.
func configAnswer(v *reading, key registry.ConfigKey, rec *record.Record) *pb.Config {
	answer := registry.ConfigAnswer(key, v.RegionOf(rec), *rec)
	answer.Source = v.placed(&rec.Origin, rec.ModifyRevision)
	return answer
}

// read reads one entry; one that does not exist is an error that says so.
func (s configService) read(ctx context.Context, key registry.ConfigKey, revision uint64, level record.Level) (record.Record, record.Freshness, error) {
	storeKey, err := s.key(ctx, key)
	if err != nil {
		return record.Record{}, record.Freshness{}, err
	}
	if level == record.LevelLinearizable {
		var cancel context.CancelFunc
		if ctx, cancel = withDefaultDeadline(ctx, s.s.cfg.Limits.ReadTimeout); cancel != nil {
			defer cancel()
		}
	}
	rec, found, fresh, err := s.s.cfg.Region.Get(ctx, storeKey, revision, level)
	if err != nil {
		return rec, fresh, err
	}
	if !found {
		e := fault.New(fault.NotFound, "there is no config entry %q", key.Name)
		if revision != 0 {
			e = fault.New(fault.NotFound, "there was no config entry %q at revision %d", key.Name, revision)
		}
		e.Field = "name"
		return rec, fresh, e
	}
	return rec, fresh, nil
}

// key gives the store's key of an entry. A namespace that this node's view does not know is looked for once more
// in a view that is up to date.
func (s configService) key(ctx context.Context, k registry.ConfigKey) (record.Key, error) {
	key, err := registry.ConfigRecordKey(s.s.cfg.Views.View(), k)
	if !fault.Is(err, fault.NotFound) {
		return key, err
	}
	if err := s.s.catchUp(ctx); err != nil {
		return key, err
	}
	return registry.ConfigRecordKey(s.s.cfg.Views.View(), k)
}

func (s configService) ListConfigs(ctx context.Context, req *pb.ListConfigsRequest) (*pb.ListConfigsResponse, error) {
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if err := decide(callFrom(ctx), on(access.VerbList, access.KindConfig, ns.Tenant, ns.Namespace, req.GetPrefix())); err != nil {
		return nil, err
	}
	p, err := pageOf(req.GetPageSize(), req.GetPageToken(), "configs", ns.Tenant, ns.Namespace, req.GetPrefix())
	if err != nil {
		return nil, err
	}
	rng, err := registry.ConfigRange(s.s.cfg.Views.View(), ns.Tenant, ns.Namespace, req.GetPrefix())
	if err != nil {
		return nil, err
	}
	revision := req.GetRevision()
	level, err := s.s.level(ctx, req.GetRead(), record.LevelLinearizable, record.ClassConfig)
	if err != nil {
		return nil, err
	}
	if p.revision != 0 {
		if revision != 0 && revision != p.revision {
			return nil, badToken("it continues a list at another revision")
		}
		// The first page decided the revision: the others show the same moment, whatever was written since.
		revision, rng.From = p.revision, p.after+"\x00"
	}
	// Past revisions need no read of the log: they do not change.
	if p.revision != 0 {
		level = record.LevelLocal
	}
	rng.Limit, rng.KeysOnly, rng.CountOnly, rng.MaxBytes = p.size, req.GetKeysOnly(), req.GetCountOnly(), maxAnswer
	ctx, cancel := withDefaultDeadline(ctx, s.s.cfg.Limits.ReadTimeout)
	if cancel != nil {
		defer cancel()
	}
	v := s.s.reading()
	res, fresh, err := s.s.cfg.Region.Range(ctx, rng, revision, level)
	if err != nil {
		return nil, err
	}
	if revision != 0 {
		fresh.Positions.Data = revision
	}
	if err := v.bounded(req.GetRead(), func(t touched) {
		s.s.homesTouched(t, ns.Tenant, ns.Namespace, req.GetPrefix(), true)
		for i := range res.Records {
			t.add(&res.Records[i].Origin)
		}
	}); err != nil {
		return nil, err
	}
	resp := &pb.ListConfigsResponse{Header: v.header(fresh), Count: res.Count}
	for i := range res.Records {
		resp.Configs = append(resp.Configs, configEntry(v, ns, res.Records[i], req.GetKeysOnly()))
	}
	if res.More && len(res.Records) > 0 {
		resp.NextPageToken = p.next(fresh.Positions.Data, res.Records[len(res.Records)-1].Key.Name)
	}
	return resp, nil
}

// configEntry shows a record of a list. Without its value there is nothing to digest.
func configEntry(v *reading, ns registry.NamespaceKey, rec record.Record, keysOnly bool) *pb.Config {
	answer := configAnswer(v, ns.Config(rec.Key.Name), &rec)
	if keysOnly {
		answer.Value, answer.Digest = nil, ""
	}
	return answer
}

func (s configService) DeleteConfig(ctx context.Context, req *pb.DeleteConfigRequest) (*pb.DeleteConfigResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbDelete, access.KindConfig, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	key := registry.NamespaceOf(req.GetTenant(), req.GetNamespace()).Config(req.GetName())
	res, err := s.put(ctx, func(v *registry.View) (record.Op, error) {
		return registry.DeleteConfigOp(v, key, req.GetExpectRevision(), s.s.writeOf(ctx, c, req.GetOptions()))
	})
	if err != nil {
		return nil, err
	}
	return &pb.DeleteConfigResponse{Header: writeHeader(res)}, nil
}
