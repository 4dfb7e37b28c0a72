package federation

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// twin is the store of a region without Raft: the real machine on its in-memory rows. Several nodes share it.
type twin struct {
	t testing.TB

	mu       sync.Mutex
	rows     *state.Memory
	index    uint64
	changed  chan struct{}
	leader   string
	both     bool          // every node takes itself for the leader
	cutOff   bool          // no node knows whether it is behind
	moved    chan struct{} // closed when the leader changes
	nodes    map[string]*Federation
	ready    chan struct{}
	view     *registry.View            // of the rows; nil: nobody looks at it
	refuse   func(op *record.Op) error // fails a proposal before it is applied
	lateness func(op *record.Op)       // runs after an operation was applied, before it is answered

	// What the entries did.
	ops     map[record.OpType]int
	taken   int // records imported by batches
	chunked int // records that came in chunks of snapshots
	events  map[record.Key]int
	largest int // bytes of the largest entry

	ahead atomic.Int64 // nanoseconds by which the clocks of the region are ahead
}

// now is what the clocks of the region show.
func (s *twin) now() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }

func newTwin(t testing.TB) *twin {
	s := &twin{
		t: t, rows: state.NewMemory(), changed: make(chan struct{}), moved: make(chan struct{}), ready: make(chan struct{}),
		nodes: map[string]*Federation{}, ops: map[record.OpType]int{}, events: map[record.Key]int{},
	}
	close(s.ready)
	return s
}

// apply sends an operation through its encoding, as the log does.
func (s *twin) apply(op record.Op) (record.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ops := []record.Op{op}
	b, err := record.AppendEntry(nil, &record.Entry{Level: record.LevelNeeded(ops), Time: s.now().UnixNano(), Ops: ops})
	if err != nil {
		return record.Result{}, err
	}
	e, err := record.DecodeEntry(b)
	if err != nil {
		return record.Result{}, err
	}
	s.index++
	out, err := state.Apply(s.rows, s.index, e)
	if err != nil {
		s.t.Errorf("an entry stopped the region: %v", err)
		return record.Result{}, err
	}
	s.largest = max(s.largest, len(b))
	s.count(&op, &out)
	if s.view != nil {
		s.view, _ = s.view.Next(out.Commits)
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return out.Results[0], statusFault(&op, &out.Results[0])
}

func (s *twin) count(op *record.Op, out *state.Outcome) {
	if out.Results[0].Status != record.StatusOK {
		return
	}
	s.ops[op.Type]++
	switch op.Type {
	case record.OpImport:
		s.taken += len(op.Import.Records)
	case record.OpReplace:
		s.chunked += len(op.Replace.Items)
	}
	for i := range out.Commits {
		for j := range out.Commits[i].Events {
			k := out.Commits[i].Events[j].Record.Key
			k.Name = keyName(k)
			s.events[k]++
		}
	}
}

func keyName(k record.Key) string { return string([]byte(k.Name)) }

// statusFault is what package region makes of a status.
func statusFault(op *record.Op, r *record.Result) error {
	kinds := map[record.Status]fault.Kind{
		record.StatusInvalid: fault.Invalid, record.StatusTooLarge: fault.TooLarge, record.StatusNotFound: fault.NotFound,
		record.StatusExists: fault.Exists, record.StatusNotEmpty: fault.Conflict, record.StatusCompacted: fault.Compacted,
		record.StatusFuture: fault.FutureRevision, record.StatusNoSpace: fault.Exhausted,
		record.StatusIdempotencyExpired: fault.IdempotencyExpired, record.StatusStale: fault.OutcomeUnknown,
		record.StatusQuota: fault.Exhausted, record.StatusDenied: fault.Denied, record.StatusNotHome: fault.NotHome,
		record.StatusFenced: fault.Unavailable,
	}
	kind, known := kinds[r.Status]
	switch {
	case r.Status == record.StatusOK:
		return nil
	case !known:
		kind = fault.Internal
	case r.Status == record.StatusStale && op.Type >= record.OpPeer:
		kind = fault.Conflict
	}
	return fault.New(kind, "%s", r.Detail).WithRevision(r.Revision)
}

// pin gives the rows as they are.
func (s *twin) pin() *state.Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rows.Snapshot()
}

// cut makes the nodes unable to tell whether they are behind.
func (s *twin) cut(off bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cutOff = off
}

// lead makes a node the leader.
func (s *twin) lead(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leader = node
	close(s.moved)
	s.moved = make(chan struct{})
}

// restore puts an old copy of the rows in place, as a restored disk does. Nothing may use the store.
func (s *twin) restore(rows *state.Memory) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows = rows.Snapshot()
}

func (s *twin) counted(t record.OpType) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ops[t]
}

// replica is a node's view of its region's store.
type replica struct {
	*twin
	name string
}

func (r replica) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	if err := ctx.Err(); err != nil {
		return record.Result{}, fault.Wrap(fault.KindOf(err), err, "not proposed")
	}
	r.mu.Lock()
	refuse, late := r.refuse, r.lateness
	r.mu.Unlock()
	if refuse != nil {
		if err := refuse(&op); err != nil {
			return record.Result{}, err
		}
	}
	result, err := r.apply(op)
	if late != nil {
		late(&op)
	}
	return result, err
}

func (r replica) Linearize(context.Context) (record.Positions, error) {
	r.mu.Lock()
	cutOff := r.cutOff
	r.mu.Unlock()
	if cutOff {
		return record.Positions{}, fault.New(fault.Unavailable, "no leader")
	}
	s, err := state.Summarize(r.pin())
	return s.Positions, err
}

func (r replica) Busy() bool { return false }

func (r replica) Pin() (state.Reader, func(), error) { return r.pin(), func() {}, nil }

func (r replica) Changed() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r replica) Leads() (bool, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.both || r.leader == r.name, r.moved
}

func (r replica) Leader() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leader
}

func (r replica) Alive() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	for n := range r.nodes {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (r replica) Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error) {
	r.mu.Lock()
	f := r.nodes[node]
	r.mu.Unlock()
	switch {
	case f == nil:
		return nil, fault.New(fault.Unavailable, "node %s is gone", node)
	case method == MethodAges:
		return f.HandleAges(ctx, r.name, payload)
	case method == MethodReach:
		return f.HandleReach(ctx, r.name, payload)
	case method == MethodForward:
		return f.HandleForward(ctx, r.name, payload)
	}
	return nil, fmt.Errorf("method %d", method)
}

func (r replica) Ready() <-chan struct{} { return r.ready }
