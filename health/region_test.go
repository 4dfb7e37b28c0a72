package health

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// region is a region in memory: real operations, the real state machine, the real view; and a set of live nodes that
// talk to each other by function calls.
type region struct {
	t testing.TB

	mu        sync.Mutex
	mem       *state.Memory
	index     uint64
	view      *registry.View
	followers map[*follower]struct{}
	// fail is what Propose answers; nil: it works.
	fail error
	// proposals and statuses count operations, and transitions in them.
	proposals, statuses int
	nodes               map[string]*Runner
	alive               []string
	cut                 map[string]bool // nodes that cannot be called
	calls               int
}

type follower struct {
	changes registry.Changes
	wake    chan struct{}
}

func newRegion(t testing.TB) *region {
	r := &region{
		t: t, mem: state.NewMemory(), view: registry.Empty("dc1"), followers: map[*follower]struct{}{},
		nodes: map[string]*Runner{}, cut: map[string]bool{},
	}
	if _, err := r.Propose(t.Context(), record.Op{
		Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"},
	}); err != nil {
		t.Fatal(err)
	}
	r.counts()
	return r
}

func (r *region) View() *registry.View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view
}

func (r *region) Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error {
	f := &follower{changes: registry.Changes{All: true}, wake: make(chan struct{}, 1)}
	f.wake <- struct{}{}
	r.mu.Lock()
	r.followers[f] = struct{}{}
	r.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		}
		r.mu.Lock()
		v, c := r.view, f.changes
		f.changes = registry.Changes{}
		r.mu.Unlock()
		if err := fn(v, c); err != nil {
			return err
		}
	}
}

func (r *region) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	if err := ctx.Err(); err != nil {
		return record.Result{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proposals++
	if r.fail != nil {
		return record.Result{}, r.fail
	}
	r.index++
	out, err := state.Apply(r.mem, r.index, &record.Entry{Level: 1, Ops: []record.Op{op}})
	if err != nil {
		return record.Result{}, err
	}
	for _, c := range out.Commits {
		for _, e := range c.Events {
			if e.Record.Key.Kind == record.KindCheckStatus && e.Type == record.EventPut {
				r.statuses++
			}
		}
	}
	r.publish(out.Commits)
	return out.Results[0], nil
}

// publish takes the view to some commits.
func (r *region) publish(commits []record.Commit) {
	next, changes := r.view.Next(commits)
	r.view = next
	for f := range r.followers {
		f.changes.Merge(changes)
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// imported adds records of the region with alias 2 to the view, in the commit of a write of our own.
func (r *region) imported(records ...record.Record) {
	r.t.Helper()
	op, _, err := registry.PutRouteOp(r.View(), &pb.Route{Name: "any", Hosts: []string{"*"}, Service: "any"}, 0, registry.Write{})
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index++
	out, err := state.Apply(r.mem, r.index, &record.Entry{Level: 1, Ops: []record.Op{op}})
	if err != nil || len(out.Commits) != 1 {
		r.t.Fatal(err, out)
	}
	for _, rec := range records {
		rec.Key.Shard, rec.Key.Tenant, rec.Key.Namespace, rec.Key.Scope = record.ShardData, 1, 1, 2
		rec.CreateRevision, rec.ModifyRevision, rec.Version = out.Commits[0].Position.Revision, out.Commits[0].Position.Revision, 1
		rec.Origin = record.Origin{Home: [16]byte{2}, HomeRevision: 9}
		out.Commits[0].Events = append(out.Commits[0].Events, record.Event{Type: record.EventPut, Record: rec})
	}
	r.publish(out.Commits)
}

func (r *region) setFail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// counts answers operations and transitions since the last call.
func (r *region) counts() (proposals, statuses int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	proposals, statuses = r.proposals, r.statuses
	r.proposals, r.statuses = 0, 0
	return proposals, statuses
}

func (r *region) must(op record.Op, err error) {
	r.t.Helper()
	if err == nil {
		var res record.Result
		if res, err = r.Propose(context.Background(), op); err == nil {
			err = registry.Outcome(op, res)
		}
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.proposals--
	r.mu.Unlock()
}

func (r *region) register(in *pb.Instance) {
	r.t.Helper()
	op, _, err := registry.RegisterOp(r.View(), in, registry.Write{})
	r.must(op, err)
}

func (r *region) deregister(service, id string) {
	r.t.Helper()
	op, err := registry.DeregisterOp(r.View(), key(service, id), registry.Write{})
	r.must(op, err)
}

func (r *region) drain(service, id string) {
	r.t.Helper()
	op, err := registry.DrainOp(r.View(), key(service, id), time.Now().Add(time.Hour), registry.Write{})
	r.must(op, err)
}

// health is what the view says of an instance; unspecified: there is none.
func (r *region) health(service, id string) pb.Health {
	in, ok := r.View().Instance(key(service, id))
	if !ok {
		return pb.Health_HEALTH_UNSPECIFIED
	}
	return in.Health
}

// output is what the last transition of an instance's first check said.
func (r *region) output(service, id string) string {
	in, ok := r.View().Instance(key(service, id))
	if !ok || in.Status[0] == nil {
		return ""
	}
	return in.Status[0].GetOutput()
}

// node makes a Runner of the region; nothing runs yet.
func (r *region) node(name string) *Runner {
	n := New(Config{
		Views: r, Propose: r.Propose, Node: name,
		Alive: func() []string {
			r.mu.Lock()
			defer r.mu.Unlock()
			return slices.Clone(r.alive)
		},
		Call: func(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error) {
			r.mu.Lock()
			to, cut := r.nodes[node], r.cut[node]
			r.calls++
			r.mu.Unlock()
			if to == nil || cut || method != HeartbeatMethod {
				return nil, fault.New(fault.Unavailable, "node %s does not answer", node)
			}
			return to.HandleHeartbeat(ctx, name, payload)
		},
	})
	r.mu.Lock()
	r.nodes[name] = n
	r.alive = slices.Sorted(maps.Keys(r.nodes))
	r.mu.Unlock()
	return n
}

// kill makes a node unreachable; forget is when the others notice.
func (r *region) kill(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut[name] = true
}

func (r *region) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.nodes, name)
	r.alive = slices.Sorted(maps.Keys(r.nodes))
}

// run runs a node until the function that it answers is called.
func run(t testing.TB, n *Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func key(service, id string) registry.InstanceKey {
	return registry.ServiceOf("", "", service).Instance(id)
}

func seconds(n float64) *durationpb.Duration {
	return durationpb.New(time.Duration(n * float64(time.Second)))
}

// tcpInstance is an instance with one active check.
func tcpInstance(service, id string, interval float64) *pb.Instance {
	return &pb.Instance{
		Service: service, Id: id, Address: "10.0.0.1", Port: 80,
		Checks: []*pb.Check{{Id: "tcp", Type: pb.CheckType_CHECK_TYPE_TCP, Interval: seconds(interval), Fall: 2, Rise: 1}},
	}
}

// ttlInstance is an instance with one TTL check.
func ttlInstance(service, id string, ttl float64) *pb.Instance {
	return &pb.Instance{
		Service: service, Id: id, Address: "10.0.0.1", Port: 80,
		Checks: []*pb.Check{{Id: "ttl", Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: seconds(ttl)}},
	}
}

const (
	passing  = pb.Health_HEALTH_PASSING
	warning  = pb.Health_HEALTH_WARNING
	critical = pb.Health_HEALTH_CRITICAL
)
