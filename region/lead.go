package region

import (
	"context"
	"sync"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Default compaction: history is answered for at least keepTime and at least keepRevisions, whichever is more.
const (
	compactEvery  = time.Minute
	keepTime      = time.Hour
	keepRevisions = 100_000

	purgeChanges = 2_000                  // of one purge step
	purgeEvery   = 100 * time.Millisecond // between steps, while there is something to purge
	purgeIdle    = 3 * time.Second        // between looks at whether there is
)

// lead does what only the leader does, each time this node becomes it, until ctx ends.
func (r *Region) lead(ctx context.Context, p *parts) error {
	for {
		leader, changed := p.node.Leader()
		if leader.Replica == p.folder.Replica() {
			term, end := context.WithCancel(ctx)
			stop := context.AfterFunc(ctx, end)
			go func() {
				select {
				case <-changed:
					end()
				case <-term.Done():
				}
			}()
			r.reign(term, p, leader.Term)
			stop()
			end()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// reign claims the state clock, then compacts and purges for as long as this node leads.
func (r *Region) reign(ctx context.Context, p *parts, term uint64) {
	claim := record.Op{Type: record.OpClaim, Claim: &record.Claim{Term: term, Replica: p.folder.Replica()}}
	if !r.again(ctx, "claiming the state clock", func(ctx context.Context) error {
		result, err := p.node.Propose(ctx, claim)
		if err == nil && result.Status != record.StatusOK && result.Status != record.StatusStale {
			return statusFault(&claim, &result)
		}
		return err
	}) {
		return
	}
	compact := time.NewTicker(compactEvery)
	defer compact.Stop()
	purge := time.NewTimer(0)
	defer purge.Stop()
	began := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-compact.C:
			r.compact(ctx, p, now)
			r.disarm(ctx, p, now.Sub(began))
		case <-purge.C:
			if r.purge(ctx, p) {
				purge.Reset(purgeEvery)
			} else {
				purge.Reset(purgeIdle)
			}
		}
	}
}

// remember notes which revision is current when, on every node, so that a new leader knows what is old.
func (r *Region) remember(ctx context.Context, p *parts) error {
	tick := time.NewTicker(compactEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if published, ok := p.store.Published(); ok {
				p.history.note(now, published.Positions)
			}
		}
	}
}

// compact raises the compacted revision of each shard to what is old enough.
func (r *Region) compact(ctx context.Context, p *parts, now time.Time) {
	sum, err := p.store.Summary()
	if err != nil {
		return
	}
	for _, shard := range []uint32{record.ShardSystem, record.ShardData} {
		floor := p.history.floor(shard, now, sum.Positions.Of(shard))
		if floor <= sum.Compacted.Of(shard) {
			continue
		}
		op := record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: shard, Revision: floor}}
		r.duty(ctx, "compacting history", op)
	}
}

// purge removes one bounded step of compacted history; it says whether there may be more.
func (r *Region) purge(ctx context.Context, p *parts) (more bool) {
	sum, err := p.store.Summary()
	if err != nil {
		return false
	}
	for _, shard := range []uint32{record.ShardSystem, record.ShardData} {
		if sum.Purged.Of(shard) >= sum.Compacted.Of(shard) {
			continue
		}
		op := record.Op{Type: record.OpPurge, Purge: &record.Purge{Shard: shard, Changes: purgeChanges}}
		if r.duty(ctx, "purging history", op) {
			more = true
		}
	}
	if !more {
		return false
	}
	after, err := p.store.Summary()
	return err == nil && after.Purged != sum.Purged
}

// duty proposes one operation of background work. That it failed is said once and made up for by the next one.
func (r *Region) duty(ctx context.Context, what string, op record.Op) bool {
	ctx, cancel := context.WithTimeout(ctx, dutyTimeout)
	defer cancel()
	_, err := r.Propose(ctx, op)
	if err != nil && ctx.Err() == nil && !fault.Is(err, fault.Compacted) {
		r.log.Warn(what+" failed; it is tried again later", "error", err)
	}
	return err == nil
}

// history remembers which revision was current when, as far back as compaction needs, since this process began.
type history struct {
	mu    sync.Mutex
	marks []mark
}

type mark struct {
	at        time.Time
	positions record.Positions
}

// note adds a mark. Of those older than keepTime only the newest is kept.
func (h *history) note(now time.Time, at record.Positions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.marks = append(h.marks, mark{now, at})
	for len(h.marks) > 1 && now.Sub(h.marks[1].at) >= keepTime {
		h.marks = h.marks[1:]
	}
}

// floor is the newest revision known to be both old enough and far enough back; 0 when there is none.
func (h *history) floor(shard uint32, now time.Time, current uint64) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.marks) == 0 || now.Sub(h.marks[0].at) < keepTime || current <= keepRevisions {
		return 0
	}
	return min(h.marks[0].positions.Of(shard), current-keepRevisions)
}
