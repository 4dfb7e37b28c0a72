package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"supercluster/chaos/drive"
	"supercluster/chaos/schedule"
	"supercluster/internal/fault"
	"supercluster/region"
	"supercluster/region/record"
)

// ring is how many recent changes a node keeps in memory for its watches; 0 is its own setting.
func (w *world) ring() (events int) {
	for i := range w.run.Plan.Nemeses {
		if n := int(w.run.Plan.Nemeses[i].Parameters["ring"]); n > 0 && (events == 0 || n < events) {
			events = n
		}
	}
	return events
}

// keptImports bounds the imports that are kept to be proposed once more.
const keptImports = 64

// hooks is what nemeses do to the exchange of a region.
type hooks struct {
	mu      sync.Mutex
	stall   time.Duration // imports wait so long for the log, and are not taken if that lasts
	stalled int
	untaken int
	back    int // imports are followed by the one so many before; 0: they are not
	recent  []record.Op
	again   int // imports that were proposed once more
	refused int
	forging bool
	forged  int // heads that were read and were not what was signed
}

// storeHook is the store of a region as its exchange sees it.
type storeHook struct {
	*region.Region
	hooks *hooks
}

// Propose proposes, late or once more if a nemesis wants it.
func (s *storeHook) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	if op.Import == nil || len(op.Import.Records) == 0 {
		return s.Region.Propose(ctx, op)
	}
	stall, old := s.hooks.imports(op)
	if stall > 0 {
		if !drive.Pause(ctx, stall) {
			return record.Result{}, ctx.Err()
		}
		if s.hooks.refuses() {
			return record.Result{}, fault.New(fault.Unavailable, "the log took no import in time")
		}
	}
	result, err := s.Region.Propose(ctx, op)
	if err == nil && old != nil {
		_, late := s.Region.Propose(ctx, *old)
		s.hooks.mu.Lock()
		defer s.hooks.mu.Unlock()
		if s.hooks.again++; late != nil {
			s.hooks.refused++
		}
	}
	return result, err
}

// imports notes an import and says what happens to it.
func (h *hooks) imports(op record.Op) (stall time.Duration, old *record.Op) {
	kept := *op.Import
	kept.Records = slices.Clone(kept.Records)
	op.Import, op.RequestID = &kept, ""
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stall > 0 {
		h.stalled++
	}
	if h.back > 0 {
		old = h.before(&kept)
	}
	if h.recent = append(h.recent, op); len(h.recent) > keptImports {
		h.recent = h.recent[1:]
	}
	return h.stall, old
}

// refuses reports whether imports still wait for the log: then one that has waited fails, as a proposal does that has no leader.
func (h *hooks) refuses() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stall > 0 {
		h.untaken++
	}
	return h.stall > 0
}

// before finds the import of the same channel that is so many back; nil when there was none.
func (h *hooks) before(of *record.Import) *record.Op {
	left := h.back
	for i := len(h.recent) - 1; i >= 0; i-- {
		o := h.recent[i].Import
		if o.RegionID != of.RegionID || o.Channel != of.Channel {
			continue
		}
		if left--; left == 0 {
			op := h.recent[i]
			return &op
		}
	}
	return nil
}

// importedAgain has a region propose imports once more, late.
func (w *world) importedAgain(ctx context.Context, n *schedule.Nemesis) effect {
	h := w.find(n.Targets[0]).hooks
	set := func(back int) (again, refused int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.back = back
		return h.again, h.refused
	}
	before, refusedBefore := set(int(n.Parameters["back"]))
	drive.Last(ctx, n, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.again > before })
	again, refused := set(0)
	return effect{Seen: again > before, Evidence: fmt.Sprintf("%d imports were proposed once more, %d of them refused", again-before, refused-refusedBefore)}
}

// importsStalled keeps imports of a region from its log for a while.
func (w *world) importsStalled(ctx context.Context, n *schedule.Nemesis) effect {
	h := w.find(n.Targets[0]).hooks
	set := func(d time.Duration) (stalled, untaken int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.stall = d
		return h.stalled, h.untaken
	}
	late := time.Duration(n.Parameters["delay_ms"]) * time.Millisecond
	before, untakenBefore := set(late)
	drive.Last(ctx, n, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.untaken > untakenBefore })
	after, untaken := set(0)
	return effect{
		Seen:     untaken > untakenBefore,
		Evidence: fmt.Sprintf("%d imports waited %v for the log, %d of them in vain", after-before, late, untaken-untakenBefore),
	}
}

// trimmed slows the watches of a region down, and compacts and purges all that they have seen.
func (w *world) trimmed(ctx context.Context, n *schedule.Nemesis) effect {
	trimming, stop := context.WithCancel(ctx)
	ended := make(chan int)
	go func() { ended <- w.trims(trimming, w.find(n.Targets[0])) }()
	e := w.slowWatches(ctx, n)
	stop()
	steps := <-ended
	return effect{Seen: e.Seen && steps > 0, Evidence: fmt.Sprintf("%s; %d steps of a purge", e.Evidence, steps)}
}

// trims compacts what all watches of a region have seen, and purges, until ctx ends.
func (w *world) trims(ctx context.Context, s *site) (steps int) {
	for drive.Pause(ctx, 20*time.Millisecond) {
		l := s.nodes[0].live()
		if l == nil {
			continue
		}
		if seen := w.run.Site(s.name).Seen(); seen > 1 { // fails when it is there already
			_, _ = l.region.Propose(ctx, record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: record.ShardData, Revision: seen}})
		}
		if _, err := l.region.Propose(ctx, record.Op{Type: record.OpPurge, Purge: &record.Purge{Shard: record.ShardData, Changes: 2000}}); err == nil {
			steps++
		}
	}
	return steps
}
