package server

import (
	"context"
	"strconv"
	"strings"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// settleTimeout bounds how long the answer of a write waits for the view of this node. The write is durable by
// then: a view that is later than this shows it later.
const settleTimeout = 2 * time.Second

// conflictRetries is how often a write that the client did not tie to a revision is made again from a newer view.
const conflictRetries = 3

// writeOf gives what goes with a write beside its content.
func (s *Server) writeOf(ctx context.Context, c *call, o *pb.WriteOptions) registry.Write {
	return registry.Write{
		RequestID: o.GetRequestId(),
		Seen:      o.GetSeenRevision(),
		Writer:    record.Writer{Time: c.started.UnixNano(), Actor: c.principal.Name, Message: o.GetMessage()},
		Trace:     s.traceOf(ctx),
	}
}

// propose has the region apply an operation and judges the result.
func (s *Server) propose(ctx context.Context, op record.Op) (record.Result, error) {
	res, err := s.cfg.Region.Propose(ctx, op)
	if err != nil && res.Status == record.StatusOK {
		return res, err
	}
	// What Apply refused, the registry says in its own words.
	err = registry.Outcome(op, res)
	if fault.Is(err, fault.NotHome) {
		err = s.namedHome(err)
	}
	return res, err
}

// namedHome says the name of the region that is the home of what a write is about; the store knows its id.
func (s *Server) namedHome(err error) error {
	e, ok := fault.As(err)
	at := strings.LastIndexByte(e.Message, ' ') + 1
	if !ok || at == 0 {
		return err
	}
	home := e.Message[at:]
	if r, known := s.cfg.Views.View().RegionNamed(home); known {
		home = r.Name
	}
	named := *e
	named.Message = e.Message[:at] + strconv.Quote(home)
	return named.WithHint("write it there: this region holds a copy")
}

// write builds an operation from the view, proposes it, and waits until this node's view shows it. An operation
// that names what this node's view does not know yet (a namespace made on another node a moment ago) is built once
// more from a view that is up to date.
func (s *Server) write(ctx context.Context, build func(v *registry.View) (record.Op, error)) (record.Result, error) {
	op, err := s.build(ctx, build)
	if err != nil {
		return record.Result{}, err
	}
	res, err := s.propose(ctx, op)
	if err == nil {
		s.settle(ctx, op, res)
	}
	return res, err
}

// rewrite is write for operations that the client did not tie to a revision but whose transaction compares one,
// because it was built from a view: when another write came between, it is built again.
func (s *Server) rewrite(ctx context.Context, build func(v *registry.View) (record.Op, error)) (record.Result, error) {
	for attempt := 1; ; attempt++ {
		res, err := s.write(ctx, build)
		if !fault.Is(err, fault.Conflict) || attempt == conflictRetries {
			return res, err
		}
		if err := s.catchUp(ctx); err != nil {
			return record.Result{}, err
		}
	}
}

func (s *Server) build(ctx context.Context, build func(v *registry.View) (record.Op, error)) (record.Op, error) {
	op, err := build(s.cfg.Views.View())
	if !fault.Is(err, fault.NotFound) {
		return op, err
	}
	if err := s.catchUp(ctx); err != nil {
		return op, err
	}
	return build(s.cfg.Views.View())
}

// settle waits, within bounds, until the view covers a write: whoever wrote through this node reads it here.
func (s *Server) settle(ctx context.Context, op record.Op, res record.Result) {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if err := s.cfg.Views.Wait(ctx, record.Positions{}.With(shardOf(op), res.Revision)); err != nil {
		s.log.Debug("the view is late", "revision", res.Revision, "error", err)
	}
}

// shardOf says in which shard an operation gets its revision.
func shardOf(op record.Op) uint32 {
	switch {
	case op.Txn != nil:
		return op.Txn.Shard
	case op.Compact != nil:
		return op.Compact.Shard
	default:
		return record.ShardSystem
	}
}

func writeHeader(res record.Result) *pb.WriteHeader {
	return &pb.WriteHeader{Revision: res.Revision, Duplicate: res.Duplicate}
}

// on names the resource of a request for the decision function, with the default names filled in.
func on(verb access.Verb, kind, tenant, namespace, name string) access.Request {
	ns := registry.NamespaceOf(tenant, namespace)
	return access.Request{Verb: verb, Kind: kind, Tenant: ns.Tenant, Namespace: ns.Namespace, Name: name}
}
