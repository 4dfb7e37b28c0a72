package region

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Pace of the background work. Each of it is bounded and can be missed: it is done again.
const (
	dutyTimeout  = 5 * time.Second
	dutyRetry    = 200 * time.Millisecond
	refreshEvery = time.Second
	diskEvery    = 5 * time.Second
)

// duties is what a node does besides serving, until ctx ends. An error means that it must not go on.
func (r *Region) duties(ctx context.Context, p *parts) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.arrive(ctx, p) })
	g.Go(func() error { return r.lead(ctx, p) })
	g.Go(func() error { return r.remember(ctx, p) })
	g.Go(func() error { return r.refresh(ctx, p) })
	g.Go(func() error { return r.watchDisk(ctx, p) })
	return g.Wait()
}

// arrive catches up with the region, once: its id, then this node's own record. Then the node is ready.
func (r *Region) arrive(ctx context.Context, p *parts) error {
	id, ok := r.learnRegion(ctx, p)
	if !ok {
		return nil
	}
	if r.cfg.ID != [16]byte{} && id != r.cfg.ID {
		return fault.New(fault.Conflict, "the region has the id %x, and the identity of this node is that of %x", id, r.cfg.ID).
			WithHint("give every node of the region the same identity files, those with the id %x", id)
	}
	if err := p.folder.SetRegionID(id); err != nil {
		return err
	}
	r.wire.SetRegion(id, p.mayKnow)
	close(r.ready)
	r.log.Info("node is ready", "region", r.cfg.Region, "node", r.cfg.Node, "replica", p.folder.Replica())
	r.again(ctx, "writing this node's record", func(ctx context.Context) error { return r.writeNode(ctx, p) })
	return nil
}

// learnRegion waits until the state has the region's id; false when ctx ends first. Whoever sees none proposes one,
// and the first wins.
func (r *Region) learnRegion(ctx context.Context, p *parts) (id [16]byte, ok bool) {
	ok = r.again(ctx, "catching up with the region", func(ctx context.Context) error {
		if err := p.node.Linearize(ctx); err != nil {
			return err
		}
		sum, err := p.store.Summary()
		if err != nil {
			return err
		}
		id = sum.RegionID
		if id != [16]byte{} {
			return nil
		}
		if err := r.proposeIdentity(ctx, p); err != nil {
			return err
		}
		return errNoIdentity
	})
	return id, ok
}

var errNoIdentity = fault.New(fault.Unavailable, "the region has no id yet")

func (r *Region) proposeIdentity(ctx context.Context, p *parts) error {
	identity := &record.Identity{Name: r.cfg.Region, RegionID: r.cfg.ID}
	if identity.RegionID == [16]byte{} {
		if _, err := rand.Read(identity.RegionID[:]); err != nil {
			return fault.Wrap(fault.Internal, err, "no random bytes")
		}
	}
	op := record.Op{Type: record.OpIdentity, Identity: identity}
	result, err := p.node.Propose(ctx, op)
	if err != nil || result.Status == record.StatusExists {
		return err
	}
	return statusFault(&op, &result)
}

// writeNode puts this node's record, when it changed.
func (r *Region) writeNode(ctx context.Context, p *parts) error {
	want := &pb.Node{
		Name: r.cfg.Node, Replica: p.folder.Replica(), RaftAddress: r.cfg.Members[r.cfg.Node],
		GrpcAddress: r.cfg.GRPC, HttpAddress: r.cfg.HTTP, FederationAddress: r.cfg.Federation, ProbeAddress: r.cfg.Probe,
	}
	if have, ok := p.nodeRecord(r.cfg.Node); ok && proto.Equal(have, want) {
		return nil
	}
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(want)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the record of this node can not be encoded")
	}
	_, err = r.Propose(ctx, record.Op{Type: record.OpTxn, Txn: &record.Txn{
		Shard:  record.ShardSystem,
		Then:   []record.TxnOp{{Type: record.TxnPut, Key: NodeKey(r.cfg.Node), Value: value}},
		Writer: record.Writer{Time: time.Now().UnixNano(), Actor: "node " + r.cfg.Node, Message: "this node's addresses"},
	}})
	return err
}

// again does something until it succeeds; false when ctx ends first. The reason is logged when it is a new one.
func (r *Region) again(ctx context.Context, what string, do func(context.Context) error) bool {
	last := fault.Kind(255)
	for {
		attempt, cancel := context.WithTimeout(ctx, dutyTimeout)
		err := do(attempt)
		cancel()
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if errors.Is(err, errNoIdentity) {
			continue
		}
		if kind := fault.KindOf(err); kind != last {
			last = kind
			r.log.Info(what+" takes another attempt", "error", err)
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(dutyRetry):
		}
	}
}

// refresh keeps the age of local reads low while somebody asks.
func (r *Region) refresh(ctx context.Context, p *parts) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if now.UnixNano()-r.asked.Load() > int64(2*refreshEvery) || p.age() < refreshEvery/2 {
				continue
			}
			attempt, cancel := context.WithTimeout(ctx, refreshEvery)
			_ = p.node.Linearize(attempt) // the age itself tells that it did not work
			cancel()
		}
	}
}
