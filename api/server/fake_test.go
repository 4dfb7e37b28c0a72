package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region"
	"supercluster/region/backup"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// fakeRegion is a region of one node without a log: the real state machine over the in-memory twin of the store.
type fakeRegion struct {
	mu      sync.Mutex
	mem     *state.Memory
	index   uint64
	commits []record.Commit
	moved   chan struct{} // closed and replaced by each entry

	linearized int
	// proposeErr, when set, is what Propose answers without doing anything.
	proposeErr error
	// peers are further nodes and their answers on the node channel.
	peers map[string][]byte
	// leader is who leads, when it is not n1; ask is what it does with what is asked of it.
	leader string
	ask    func(ctx context.Context, from string, payload []byte) ([]byte, error)
}

func newFakeRegion(t testing.TB) *fakeRegion {
	t.Helper()
	r := &fakeRegion{mem: state.NewMemory(), moved: make(chan struct{}), peers: map[string][]byte{}}
	if _, err := r.Propose(t.Context(), record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *fakeRegion) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proposeErr != nil {
		return record.Result{}, r.proposeErr
	}
	if err := ctx.Err(); err != nil {
		return record.Result{}, err
	}
	return r.apply(op)
}

// apply runs an operation; further events join its commit, past the state machine. The mutex is held.
func (r *fakeRegion) apply(op record.Op, further ...record.Event) (record.Result, error) {
	r.index++
	out, err := state.Apply(r.mem, r.index, &record.Entry{
		Replica: 1, Boot: 1, Sequence: r.index, Time: time.Now().UnixNano(), Ops: []record.Op{op},
	})
	if err != nil {
		return record.Result{}, err
	}
	for i := range further {
		e := &further[i].Record
		e.CreateRevision, e.ModifyRevision, e.Version = out.Commits[0].Position.Revision, out.Commits[0].Position.Revision, 1
		out.Commits[0].Events = append(out.Commits[0].Events, further[i])
	}
	r.commits = append(r.commits, out.Commits...)
	close(r.moved)
	r.moved = make(chan struct{})
	res := out.Results[0]
	if res.Status != record.StatusOK {
		return res, fault.New(fault.Internal, "status %d: %s", res.Status, res.Detail)
	}
	return res, nil
}

func (r *fakeRegion) summary() state.Summary {
	s, err := state.Summarize(r.mem)
	if err != nil {
		panic(err) // of a test's own memory
	}
	return s
}

func (r *fakeRegion) Linearize(context.Context) (record.Positions, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.linearized++
	return r.summary().Positions, nil
}

func (r *fakeRegion) freshness(level record.Level) record.Freshness {
	f := record.Freshness{Positions: r.summary().Positions, AgeNanos: int64(time.Millisecond)}
	if level == record.LevelLinearizable {
		f.AgeNanos = 0
	}
	return f
}

func (r *fakeRegion) Get(_ context.Context, k record.Key, revision uint64, level record.Level) (record.Record, bool, record.Freshness, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, found, err := state.Get(r.mem, k, revision)
	return rec, found, r.freshness(level), err
}

func (r *fakeRegion) Range(_ context.Context, rng record.Range, revision uint64, level record.Level) (record.RangeResult, record.Freshness, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	res, err := state.ReadRange(r.mem, rng, revision)
	return res, r.freshness(level), err
}

func (r *fakeRegion) History(_ context.Context, k record.Key, limit int) ([]record.Record, record.Freshness, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, err := state.History(r.mem, k, limit)
	return all, r.freshness(record.LevelLinearizable), err
}

func (r *fakeRegion) Load(_ context.Context, fn func(record.Record) error, kinds ...record.Kind) (record.Positions, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.summary().Positions, state.Load(r.mem, kinds, fn)
}

func (r *fakeRegion) Follow(ctx context.Context, from record.Positions, idle time.Duration, fn func([]record.Commit, record.Positions) error) error {
	at := from
	for {
		r.mu.Lock()
		sum := r.summary()
		if at.Data < sum.Compacted.Data {
			r.mu.Unlock()
			return fault.New(fault.Compacted, "revision %d is no longer kept", at.Data+1).WithRevision(sum.Compacted.Data)
		}
		var batch []record.Commit
		for _, c := range r.commits {
			if c.Position.Revision > at.Of(c.Position.Shard) {
				batch = append(batch, c)
			}
		}
		moved := r.moved
		r.mu.Unlock()
		if len(batch) > 0 {
			at = sum.Positions
			if err := fn(batch, at); err != nil {
				return err
			}
			continue
		}
		var tick <-chan time.Time
		if idle > 0 {
			tick = time.After(idle)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-tick:
			if err := fn(nil, at); err != nil {
				return err
			}
		}
	}
}

func (r *fakeRegion) Freshness() record.Freshness {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.freshness(record.LevelLocal)
}

func (r *fakeRegion) Status() region.Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.summary()
	return region.Status{
		Region: "dc1", RegionID: s.RegionID, Node: "n1", Replica: 1, Leader: cmp.Or(r.leader, "n1"), Term: 3, Applied: s.AppliedIndex,
		Positions: s.Positions, Compacted: s.Compacted, Purged: s.Purged, Keys: s.Keys, Bytes: s.Bytes, FeatureLevel: s.FeatureLevel,
		Alarms: []record.Alarm{{Kind: record.AlarmNoSpace, Replica: 1, Raised: true}}, Age: time.Millisecond,
	}
}

func (r *fakeRegion) Nodes() []region.NodeStatus {
	return []region.NodeStatus{
		{Name: "n1", Replica: 1, Raft: "127.0.0.1:8300", GRPC: "127.0.0.1:8502", HTTP: "127.0.0.1:8500", Alive: true, Leader: true, Self: true},
		{Name: "n2", Replica: 2, Raft: "127.0.0.1:8310", GRPC: "127.0.0.1:8512", HTTP: "127.0.0.1:8510"},
	}
}

func (r *fakeRegion) Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error) {
	if method == MethodAsk && node == r.leader && r.ask != nil {
		return r.ask(ctx, "n1", payload)
	}
	answer, ok := r.peers[node]
	if !ok || method != MethodProxies {
		<-ctx.Done() // a node that does not answer
		return nil, ctx.Err()
	}
	return answer, nil
}

func (r *fakeRegion) Backup(ctx context.Context, w io.Writer, version string, at time.Time) (backup.Trailer, error) {
	if err := ctx.Err(); err != nil {
		return backup.Trailer{}, err
	}
	out, err := backup.NewWriter(w, &backup.Header{Region: "dc1", RegionID: strings.Repeat("0a", 16), Version: version, Time: at})
	if err != nil {
		return backup.Trailer{}, err
	}
	for range 64 { // noise: more than the stream holds by itself
		block := make([]byte, 256<<10)
		_, _ = rand.Read(block)
		if _, err := out.Write(block); err != nil {
			return backup.Trailer{}, err
		}
	}
	return out.Close(0, [32]byte{1})
}

func (r *fakeRegion) StateHash(context.Context) (region.Hashes, error) {
	return region.Hashes{State: [32]byte{0xab}, Content: [32]byte{0xcd}, Applied: 7, Revision: 5}, nil
}

func (r *fakeRegion) Alive() []string {
	alive := []string{"n1"}
	for name := range r.peers {
		alive = append(alive, name)
	}
	slices.Sort(alive)
	return alive
}

// fakeViews shows the view of a fakeRegion, always up to date unless held.
type fakeViews struct {
	r    *fakeRegion
	mu   sync.Mutex
	last *registry.View
	seen int
	held bool
}

func (f *fakeViews) View() *registry.View {
	f.r.mu.Lock()
	commits := f.r.commits
	f.r.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last == nil {
		// A fresh store is at revision 1 of its data, which no commit tells.
		f.last = registry.Build("dc1", record.Positions{Data: 1}, func(func(record.Record) bool) {})
	}
	if !f.held && f.seen < len(commits) {
		f.last, _ = f.last.Next(commits[f.seen:])
		f.seen = len(commits)
	}
	return f.last
}

// hold stops the view where it is, as on a node that is behind.
func (f *fakeViews) hold(held bool) {
	f.View()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = held
}

func (f *fakeViews) Wait(ctx context.Context, at record.Positions) error {
	f.mu.Lock()
	f.held = false // a view that is behind catches up when it is waited for
	f.mu.Unlock()
	if !f.View().At().Covers(at) {
		return fmt.Errorf("the fake view is at %v, the fake region gave %v", f.View().At(), at)
	}
	return ctx.Err()
}

// Follow begins again with everything when what it stands at was compacted, as the real one does.
func (f *fakeViews) Follow(ctx context.Context, fn func(*registry.View, registry.Changes) error) error {
	for {
		now := f.View()
		if err := fn(now, registry.Changes{All: true}); err != nil {
			return err
		}
		err := f.r.Follow(ctx, now.At(), 0, func([]record.Commit, record.Positions) error {
			return fn(f.View(), registry.Changes{All: true})
		})
		if !fault.Is(err, fault.Compacted) {
			return err
		}
	}
}
