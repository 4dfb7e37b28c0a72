package health

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"supercluster/health/check"
	"supercluster/region/record"
	"supercluster/registry"
)

const (
	// perWrite is how many transitions one operation holds: all tenants' checks share the log with other writes.
	perWrite = 64
	// writesAtOnce is how many operations are proposed at a time.
	writesAtOnce = 16
	writeTimeout = 5 * time.Second
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 2 * time.Second
)

// written tells that a transition is in the store.
type written struct {
	key      registry.CheckKey
	revision uint64
}

// writer brings transitions into the store. What gathers while a round is in flight becomes the next round; of one
// check only the newest counts. So at most one transition of each check is held, and no timer batches.
type writer struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	wake    chan struct{}
	// written is read by the loop; a check leaves flying only after the loop knows.
	written chan []written

	mu      sync.Mutex
	pending map[registry.CheckKey]check.State
	flying  map[registry.CheckKey]struct{}
}

func newWriter(cfg Config, m *metrics) *writer {
	return &writer{
		cfg: cfg, log: cfg.Log, metrics: m,
		wake: make(chan struct{}, 1), written: make(chan []written),
		pending: map[registry.CheckKey]check.State{}, flying: map[registry.CheckKey]struct{}{},
	}
}

// add queues transitions.
func (w *writer) add(ts ...transition) {
	if len(ts) == 0 {
		return
	}
	w.mu.Lock()
	for _, t := range ts {
		w.pending[t.key] = t.state
	}
	w.mu.Unlock()
	w.poke()
}

func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// forget drops what is queued for a check; a write in flight is not tried again.
func (w *writer) forget(k registry.CheckKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.pending, k)
	delete(w.flying, k)
}

// has reports whether a transition of the check is queued or in flight.
func (w *writer) has(k registry.CheckKey) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, queued := w.pending[k]
	_, flying := w.flying[k]
	return queued || flying
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context) error {
	backoff := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		}
		if w.round(ctx) {
			backoff = 0
			continue
		}
		backoff = min(max(2*backoff, minBackoff), maxBackoff)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
			w.poke()
		}
	}
}

// round writes everything queued; false: some of it has to be tried again.
func (w *writer) round(ctx context.Context) bool {
	batch := w.takeAll()
	groups := w.group(batch)
	left := make([][]item, len(groups))
	var g errgroup.Group
	g.SetLimit(writesAtOnce)
	for i, items := range groups {
		g.Go(func() error {
			left[i] = w.write(ctx, items)
			return nil
		})
	}
	_ = g.Wait() // the functions have no error
	ok := true
	for _, items := range left {
		if len(items) > 0 {
			ok = false
			w.putBack(items)
		}
	}
	return ok || ctx.Err() != nil
}

// item is one transition with the operation that writes it.
type item struct {
	transition
	op record.Op
}

func (w *writer) takeAll() []transition {
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := make([]transition, 0, len(w.pending))
	for k, s := range w.pending {
		batch = append(batch, transition{key: k, state: s})
		w.flying[k] = struct{}{}
	}
	clear(w.pending)
	return batch
}

// group makes the operations and sorts them into groups of one tenant. What has no check any more is dropped.
func (w *writer) group(batch []transition) [][]item {
	view := w.cfg.Views.View()
	var groups [][]item
	open := map[uint32]int{} // tenant to its group with room
	for _, t := range batch {
		in, ok := view.Instance(t.key.Instance)
		if !ok {
			w.land(t.key)
			continue
		}
		op, err := registry.CheckStatusOp(in, t.state.Status(t.key.ID, w.cfg.Node), registry.Write{
			Writer: record.Writer{Time: time.Now().UnixNano(), Actor: "health/" + w.cfg.Node},
		})
		if err != nil {
			w.log.Debug("health: a transition has no check any more", "check", t.key, "error", err)
			w.land(t.key)
			continue
		}
		i, ok := open[op.Tenant]
		if !ok || len(groups[i]) == perWrite {
			i = len(groups)
			open[op.Tenant] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], item{transition: t, op: op})
	}
	return groups
}

// write proposes a group as one operation; it answers what has to be tried again.
func (w *writer) write(ctx context.Context, items []item) []item {
	revision, err := w.propose(ctx, merge(items))
	switch {
	case err == nil:
		w.metrics.wrote(ctx, items)
		w.logWritten(items, revision)
		w.tell(ctx, items, revision)
		for _, it := range items {
			w.land(it.key)
		}
		return nil
	case !lasting(err):
		w.log.Debug("health: writing transitions will be tried again", "checks", len(items), "error", err)
		return items
	case len(items) > 1:
		// One of them lost its check, and the others with it: each for itself.
		var again []item
		for _, it := range items {
			again = append(again, w.write(ctx, []item{it})...)
		}
		return again
	default:
		w.log.Debug("health: a transition was not written, its check is gone", "check", items[0].key, "error", err)
		w.land(items[0].key)
		return nil
	}
}

func (w *writer) propose(ctx context.Context, op record.Op) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	res, err := w.cfg.Propose(ctx, op)
	if err == nil {
		err = registry.Outcome(op, res)
	}
	return res.Revision, err
}

// tell lets the loop know what is written, before the checks leave flight.
func (w *writer) tell(ctx context.Context, items []item, revision uint64) {
	done := make([]written, len(items))
	for i, it := range items {
		done[i] = written{key: it.key, revision: revision}
	}
	select {
	case w.written <- done:
	case <-ctx.Done():
	}
}

func (w *writer) logWritten(items []item, revision uint64) {
	for _, it := range items {
		w.log.Info("health: check changed", "service", it.key.Instance.Service.Name, "instance", it.key.Instance.ID,
			"check", it.key.ID, "health", word(it.state.Health.String(), "HEALTH_"), "output", it.state.Output, "revision", revision)
	}
}

// merge makes one transaction of several: it holds only if each of them would.
func merge(items []item) record.Op {
	op := items[0].op
	if len(items) == 1 {
		return op
	}
	txn := *op.Txn
	txn.Compare, txn.Then, txn.Else = nil, nil, nil
	for _, it := range items {
		txn.Compare = append(txn.Compare, it.op.Txn.Compare...)
		txn.Then = append(txn.Then, it.op.Txn.Then...)
		txn.Else = append(txn.Else, it.op.Txn.Else...)
	}
	op.Txn = &txn
	return op
}

// land takes a check out of flight.
func (w *writer) land(k registry.CheckKey) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.flying, k)
}

// putBack queues what failed, unless it was forgotten or something newer is queued.
func (w *writer) putBack(items []item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, it := range items {
		_, flying := w.flying[it.key]
		_, newer := w.pending[it.key]
		delete(w.flying, it.key)
		if flying && !newer {
			w.pending[it.key] = it.state
		}
	}
}
