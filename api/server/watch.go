package server

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

// Bounds of the time between progress marks.
const (
	minProgress     = time.Second
	maxProgress     = 10 * time.Minute
	defaultProgress = 30 * time.Second
)

// watchService streams changes.
type watchService struct {
	pb.UnimplementedWatchServiceServer
	s *Server
}

// Watch follows the region's one stream of events with a cursor of its own. It keeps nothing between two commits:
// a client that is slow holds back its cursor and nobody else's.
func (w watchService) Watch(req *pb.WatchRequest, stream grpc.ServerStreamingServer[pb.WatchResponse]) error {
	ctx := stream.Context()
	c := callFrom(ctx)
	ns := registry.NamespaceOf(req.GetTenant(), req.GetNamespace())
	if err := decide(c, on(access.VerbWatch, access.KindEvents, ns.Tenant, ns.Namespace, req.GetPrefix())); err != nil {
		return err
	}
	filter, err := w.filter(ctx, ns, req)
	if err != nil {
		return err
	}
	if err := w.s.watches.enter(c.principal.Name); err != nil {
		return err
	}
	defer w.s.watches.leave(c.principal.Name)

	w.look(filter, record.Positions{})
	from, first, err := w.start(ctx, req.GetFromRevision(), filter.shard)
	if err != nil {
		return err
	}
	ended, err := w.sameLife(ctx, req)
	if err != nil {
		return err
	}
	// The header tells the client that the watch stands before anything happens.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := w.s.untilStop(ctx, ended)
	defer cancel()
	out := newSender(ctx, stream, w.s.cfg.Limits.SendTimeout, first)
	defer out.close()
	err = w.s.cfg.Region.Follow(ctx, from, filter.progress, func(commits []record.Commit, at record.Positions) error {
		return w.deliver(ctx, out, filter, first, commits, at)
	})
	if errors.Is(context.Cause(ctx), errLifeEnded) {
		err = otherLife(out.resume)
	}
	return w.end(stream.Context(), out, err)
}

// errLifeEnded is why a watch ends that began in an incarnation of the region which is over.
var errLifeEnded = errors.New("a new incarnation began")

// otherLife refuses to go on from a revision of an incarnation that is over.
func otherLife(revision uint64) error {
	return fault.New(fault.Compacted, "this region was put back in time and began a new incarnation since: what it was before revision %d may be lost",
		revision).WithHint("read the current state, then watch from the revision after it, with the incarnation of that answer")
}

// sameLife judges whether the region still is in the incarnation in which the client saw what is before the revision that it
// goes on from, and gives what is closed when that is over; nil for a client that did not name one. Until a region finds
// that it was put back in time its incarnation is that of the lost life: a watch that went on meanwhile ends with it.
func (w watchService) sameLife(ctx context.Context, req *pb.WatchRequest) (<-chan struct{}, error) {
	known := req.GetFromIncarnation()
	switch {
	case known == 0:
		return nil, nil
	case req.GetFromRevision() == 0:
		return nil, fault.Field("from_incarnation", "goes with from_revision").WithHint("leave both out to start after the newest")
	case w.s.cfg.Homes == nil:
		return nil, otherLife(req.GetFromRevision())
	}
	ctx, cancel := withDefaultDeadline(ctx, w.s.cfg.Limits.ReadTimeout)
	if cancel != nil {
		defer cancel()
	}
	now, ended, err := w.s.cfg.Homes.Life(ctx)
	if err == nil && now < known { // this node may be behind
		if _, err = w.s.cfg.Region.Linearize(ctx); err == nil {
			now, ended, err = w.s.cfg.Homes.Life(ctx)
		}
	}
	if err == nil && now != known {
		err = otherLife(req.GetFromRevision())
	}
	return ended, err
}

// start gives where to follow from and the first revision to send. A start in the future of this node is waited
// for: another node may have shown it to the client.
func (w watchService) start(ctx context.Context, fromRevision uint64, shard uint32) (record.Positions, uint64, error) {
	now := w.s.cfg.Region.Freshness().Positions
	if fromRevision == 0 {
		// "After the newest" means after what the region had acknowledged when the watch began.
		ctx, cancel := withDefaultDeadline(ctx, w.s.cfg.Limits.ReadTimeout)
		if cancel != nil {
			defer cancel()
		}
		at, err := w.s.cfg.Region.Linearize(ctx)
		return at, at.Of(shard) + 1, err
	}
	// Follow judges too, when it reads; a refusal before the header is one that HTTP has a status for.
	if floor := w.s.cfg.Region.Status().Compacted.Of(shard); fromRevision < floor {
		return now, 0, fault.New(fault.Compacted, "revision %d is no longer kept", fromRevision).WithRevision(floor).
			WithHint("read the current state, then watch from the revision after it; the oldest kept is %d", floor)
	}
	return now.With(shard, min(fromRevision-1, now.Of(shard))), fromRevision, nil
}

func progressOf(req *pb.WatchRequest) (time.Duration, error) {
	if req.GetProgress() == nil {
		return defaultProgress, nil
	}
	d := req.GetProgress().AsDuration()
	if d < minProgress || d > maxProgress {
		return 0, fault.Field("progress", "%s is not between %s and %s", d, minProgress, maxProgress)
	}
	return d, nil
}

// deliver sends the commits that the watch selects, one message for each revision, or a progress mark when the
// region was idle. Positions that bring nothing the watch selects move its cursor without a message.
func (w watchService) deliver(ctx context.Context, out *sender, f *eventFilter, first uint64, commits []record.Commit, at record.Positions) error {
	w.look(f, at)
	for i := range commits {
		commit := &commits[i]
		if commit.Position.Shard != f.shard || commit.Position.Revision < first {
			continue
		}
		msg, err := w.message(ctx, f, commit)
		if err != nil {
			return err
		}
		if msg == nil {
			continue
		}
		if err := out.send(msg); err != nil {
			return err
		}
	}
	if len(commits) > 0 && time.Since(out.last) < f.progress {
		return nil
	}
	if at.Of(f.shard)+1 < first {
		return nil // this node is behind what another one has shown: where the client could resume is further on
	}
	// Idle, or nothing selected for so long that the client should learn where it could resume.
	return out.send(w.mark(f, at))
}

// end says why a watch ended: the client left, this node stops, the client was too slow, or history is gone.
func (w watchService) end(client context.Context, out *sender, err error) error {
	switch {
	case client.Err() != nil:
		return client.Err()
	case fault.Is(err, fault.SlowConsumer):
		w.s.metrics.slow.Add(client, 1)
		return err
	case err == nil || errors.Is(err, context.Canceled):
		return fault.New(fault.Unavailable, "this node is stopping").
			WithHint("watch again on another node from revision %d", out.resume).WithRevision(out.resume)
	default:
		return err
	}
}

// untilStop gives a context that also ends when the server begins to stop, or the incarnation in which the watch began is
// over.
func (s *Server) untilStop(ctx context.Context, ended <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-s.stopping:
			cancel(nil)
		case <-ended:
			cancel(errLifeEnded)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
