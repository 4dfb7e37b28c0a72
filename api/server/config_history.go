package server

import (
	"context"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

func (s configService) ListConfigHistory(ctx context.Context, req *pb.ListConfigHistoryRequest) (*pb.ListConfigHistoryResponse, error) {
	if err := decide(callFrom(ctx), on(access.VerbList, access.KindConfig, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if _, err := s.s.level(ctx, req.GetRead(), record.LevelLinearizable, record.ClassConfig); err != nil {
		return nil, err
	}
	key, err := s.key(ctx, ns.Config(req.GetName()))
	if err != nil {
		return nil, err
	}
	v := s.s.reading()
	versions, fresh, err := s.history(ctx, key, int(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	if err := v.bounded(req.GetRead(), func(t touched) {
		s.s.homesTouched(t, ns.Tenant, ns.Namespace, req.GetName(), false)
		for i := range versions {
			t.add(&versions[i].Origin)
		}
	}); err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		e := fault.New(fault.NotFound, "there is no history of a config entry %q", req.GetName())
		e.Field = "name"
		return nil, e
	}
	resp := &pb.ListConfigHistoryResponse{Header: v.header(fresh)}
	left := maxAnswer
	for i := range versions {
		if left -= len(versions[i].Value); left < 0 && !req.GetKeysOnly() {
			return nil, fault.New(fault.TooLarge, "the versions of %q have more than %d bytes together", req.GetName(), maxAnswer).
				WithHint("ask for fewer with limit, or without their values with keys_only")
		}
		resp.Versions = append(resp.Versions, &pb.ConfigVersion{
			Config: configEntry(v, ns, versions[i], req.GetKeysOnly()), Deleted: versions[i].Deleted,
		})
	}
	return resp, nil
}

func (s configService) RollbackConfig(ctx context.Context, req *pb.RollbackConfigRequest) (*pb.RollbackConfigResponse, error) {
	c := callFrom(ctx)
	if err := decide(c, on(access.VerbPut, access.KindConfig, req.GetTenant(), req.GetNamespace(), req.GetName())); err != nil {
		return nil, err
	}
	key := registry.NamespaceOf(req.GetTenant(), req.GetNamespace()).Config(req.GetName())
	old, err := s.version(ctx, key, req.GetToRevision())
	if err != nil {
		return nil, err
	}
	w := s.s.writeOf(ctx, c, req.GetOptions())
	var answer *pb.Config
	res, err := s.put(ctx, func(v *registry.View) (op record.Op, err error) {
		op, answer, err = registry.RollbackConfigOp(v, key, old, req.GetExpectRevision(), w)
		return op, err
	})
	if err != nil {
		return nil, err
	}
	return &pb.RollbackConfigResponse{Header: s.finishAnswer(answer, w, res), Config: answer}, nil
}

// history reads the kept versions, newest first, as new as every write acknowledged before the call.
func (s configService) history(ctx context.Context, key record.Key, limit int) ([]record.Record, record.Freshness, error) {
	ctx, cancel := withDefaultDeadline(ctx, s.s.cfg.Limits.ReadTimeout)
	if cancel != nil {
		defer cancel()
	}
	if _, err := s.s.cfg.Region.Linearize(ctx); err != nil {
		return nil, record.Freshness{}, err
	}
	return s.s.cfg.Region.History(ctx, key, limit)
}

// version finds a kept version by its modify revision. It looks in the history and not in the past, because the
// versions of an entry outlive compaction.
func (s configService) version(ctx context.Context, key registry.ConfigKey, revision uint64) (record.Record, error) {
	storeKey, err := s.key(ctx, key)
	if err != nil {
		return record.Record{}, err
	}
	versions, _, err := s.history(ctx, storeKey, 0)
	if err != nil {
		return record.Record{}, err
	}
	for _, v := range versions {
		if v.ModifyRevision != revision {
			continue
		}
		if v.Deleted {
			return v, fault.Field("to_revision", "revision %d deleted %q: there is no content to write again", revision, key.Name)
		}
		return v, nil
	}
	e := fault.New(fault.NotFound, "no version of %q with revision %d is kept", key.Name, revision).
		WithHint("list the kept versions: supercluster config history %s", key.Name)
	e.Field = "to_revision"
	return record.Record{}, e
}

func (s configService) Txn(ctx context.Context, req *pb.TxnRequest) (*pb.TxnResponse, error) {
	c := callFrom(ctx)
	for _, r := range txnRequests(req) {
		if err := decide(c, r); err != nil {
			return nil, err
		}
	}
	res, err := s.txn(ctx, func(v *registry.View) (record.Op, error) {
		return registry.ConfigTxnOp(v, req, s.s.writeOf(ctx, c, req.GetOptions()))
	})
	if err != nil {
		return nil, err
	}
	answer := registry.ConfigTxnAnswer(s.s.cfg.RegionName, req, res)
	s.txnSources(answer, res)
	return answer, nil
}

// txnSources says of each entry that a transaction put or read where it was written. What is read may still be another
// region's, from before it had its home here.
func (s configService) txnSources(answer *pb.TxnResponse, res record.Result) {
	v := s.s.written()
	for i, result := range answer.GetResults() {
		c, origin := result.GetConfig(), &record.Origin{}
		if c == nil {
			continue
		}
		if read := res.Txn.Ops[i].Records; len(read) > 0 {
			origin = &read[0].Origin
		}
		c.Source = v.placed(origin, c.GetMeta().GetModifyRevision())
	}
}

// txn is put without the judgement of the result: a comparison that does not hold is an answer here.
func (s configService) txn(ctx context.Context, build func(v *registry.View) (record.Op, error)) (record.Result, error) {
	op, err := s.s.build(ctx, build)
	if err != nil {
		return record.Result{}, err
	}
	res, err := s.s.cfg.Region.Propose(ctx, op)
	if res.Status != record.StatusOK {
		return res, registry.Outcome(op, res)
	}
	return res, err
}

// txnRequests lists what a transaction may touch, in either of its branches: a comparison reads.
func txnRequests(req *pb.TxnRequest) []access.Request {
	var all []access.Request
	add := func(verb access.Verb, name string) {
		all = append(all, on(verb, access.KindConfig, req.GetTenant(), req.GetNamespace(), name))
	}
	for _, cmp := range req.GetCompare() {
		add(access.VerbGet, cmp.GetName())
	}
	for _, list := range [][]*pb.TxnOp{req.GetThen(), req.GetElse()} {
		for _, op := range list {
			switch op := op.GetOp().(type) {
			case *pb.TxnOp_Put_:
				add(access.VerbPut, op.Put.GetName())
			case *pb.TxnOp_Get_:
				add(access.VerbGet, op.Get.GetName())
			case *pb.TxnOp_Delete_:
				add(access.VerbDelete, op.Delete.GetName())
			}
		}
	}
	return all
}
