package live

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// region is the real machine of a region on its in-memory twin, with a stream of commits, as package region
// offers it.
type region struct {
	mu        sync.Mutex
	kv        *state.Memory
	index     uint64
	at        record.Positions
	commits   []record.Commit
	from      int // commits before this one are gone
	wake      chan struct{}
	failLoads []error       // answers of the next loads
	gate      chan struct{} // not nil: a batch waits for it
	loads     int
}

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{kv: state.NewMemory(), wake: make(chan struct{})}
	r.propose(t, record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"}})
	return r
}

func (r *region) propose(t *testing.T, op record.Op) record.Result {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.index++
	out, err := state.Apply(r.kv, r.index, &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: r.index, Ops: []record.Op{op}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range out.Commits {
		r.at = r.at.With(c.Position.Shard, c.Position.Revision)
	}
	r.commits = append(r.commits, out.Commits...)
	close(r.wake)
	r.wake = make(chan struct{})
	return out.Results[0]
}

// forget drops history up to now, as compaction does.
func (r *region) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from = len(r.commits)
}

func (r *region) Load(_ context.Context, fn func(record.Record) error, kinds ...record.Kind) (record.Positions, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loads++
	if len(r.failLoads) > 0 {
		err := r.failLoads[0]
		r.failLoads = r.failLoads[1:]
		return record.Positions{}, err
	}
	return r.at, state.Load(r.kv, kinds, fn)
}

func (r *region) Follow(ctx context.Context, from record.Positions, _ time.Duration,
	fn func(commits []record.Commit, at record.Positions) error,
) error {
	for {
		r.mu.Lock()
		at, wake, gate := r.at, r.wake, r.gate
		next := slices.IndexFunc(r.commits, func(c record.Commit) bool { return c.Position.Revision > from.Of(c.Position.Shard) })
		if next >= 0 && next < r.from {
			r.mu.Unlock()
			return fault.New(fault.Compacted, "history is gone").WithRevision(r.commits[r.from-1].Position.Revision)
		}
		var batch []record.Commit
		if next >= 0 {
			batch = r.commits[next:]
		}
		r.mu.Unlock()
		if len(batch) > 0 {
			if gate != nil {
				select {
				case <-gate:
				case <-ctx.Done():
					return nil
				}
			}
			if err := fn(batch, at); err != nil {
				return err
			}
			from = at
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		}
	}
}

func register(t *testing.T, r *region, v *registry.View, id string, trace record.Trace) record.Result {
	t.Helper()
	op, _, err := registry.RegisterOp(v, &pb.Instance{Service: "web", Id: id, Address: "10.0.0.1", Port: 80},
		registry.Write{Trace: trace, Writer: record.Writer{Time: time.Now().UnixNano()}})
	if err != nil {
		t.Fatal(err)
	}
	return r.propose(t, op)
}

// start runs a Runner until the test ends and waits for its first view.
func start(t *testing.T, r *region, cfg Config) *Runner {
	t.Helper()
	cfg.Source, cfg.Region = r, "dc1"
	runner := New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- runner.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	<-runner.Ready()
	return runner
}

func wait(t *testing.T, r *Runner, at record.Positions) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.Wait(ctx, at); err != nil {
		t.Fatalf("Wait(%+v): %v", at, err)
	}
}

func count(v *registry.View) int { return v.InstanceCount() }

func TestRunner_LoadsThenFollows(t *testing.T) {
	r := newRegion(t)
	runner := New(Config{Source: r, Region: "dc1"})
	if v := runner.View(); v == nil || count(v) != 0 {
		t.Fatalf("before Run: %v", v)
	}
	runner = start(t, r, Config{})
	if _, ok := runner.View().Tenant("default"); !ok {
		t.Fatal("the first view has no tenant default")
	}
	for n := range 50 {
		res := register(t, r, runner.View(), fmt.Sprint(n), record.Trace{})
		wait(t, runner, record.Positions{Data: res.Revision})
		if got := count(runner.View()); got != n+1 {
			t.Fatalf("after Wait the view has %d instances, want %d", got, n+1)
		}
	}
	if r.loads != 1 {
		t.Errorf("%d loads, want one", r.loads)
	}
}

func TestRunner_WaitEndsWithContext(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		runner := start(t, r, Config{})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := runner.Wait(ctx, record.Positions{Data: 1000}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		// Before the first view not even position 0 is covered.
		idle := New(Config{Source: r})
		if err := idle.Wait(ctx, record.Positions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait before Run: %v", err)
		}
	})
}

func TestRunner_RebuildsWhenHistoryIsGone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.gate = make(chan struct{})
		reader := sdkmetric.NewManualReader()
		runner := start(t, r, Config{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("t")})
		var all []bool
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = runner.Follow(ctx, func(_ *registry.View, c registry.Changes) error {
				all = append(all, c.All)
				return nil
			})
		}()
		register(t, r, runner.View(), "a", record.Trace{})
		synctest.Wait() // the runner holds a batch of one
		for _, id := range []string{"b", "c"} {
			register(t, r, runner.View(), id, record.Trace{})
		}
		r.forget()
		r.mu.Lock()
		gate := r.gate
		r.gate = nil
		r.mu.Unlock()
		close(gate)
		wait(t, runner, r.at)
		synctest.Wait()
		if count(runner.View()) != 3 || r.loads != 2 {
			t.Errorf("%d instances after %d loads", count(runner.View()), r.loads)
		}
		cancel()
		<-done
		if !slices.Equal(all, []bool{true, false, true}) {
			t.Errorf("the follower got All = %v", all)
		}
		if got := sum(t, reader, "supercluster.view.rebuilds"); got != 1 {
			t.Errorf("%d rebuilds counted", got)
		}
		if got := sum(t, reader, "supercluster.view.instances"); got != 3 {
			t.Errorf("%d instances counted", got)
		}
	})
}

func sum(t *testing.T, reader *sdkmetric.ManualReader, name string) int64 {
	t.Helper()
	var out metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	for _, scope := range out.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				return d.DataPoints[0].Value
			case metricdata.Gauge[int64]:
				return d.DataPoints[0].Value
			case metricdata.Histogram[float64]:
				return int64(d.DataPoints[0].Count)
			}
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestRunner_RetriesLoads(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		for range 8 {
			r.failLoads = append(r.failLoads, fault.New(fault.Unavailable, "no leader"))
		}
		began := time.Now()
		start(t, r, Config{})
		// 50 + 100 + 200 + 400 + 800 ms, then 1 s each.
		if took, want := time.Since(began), 1550*time.Millisecond+3*time.Second; took != want {
			t.Errorf("ready after %v, want %v", took, want)
		}
	})
}

func TestRunner_EndsWhereItCannotGoOn(t *testing.T) {
	r := newRegion(t)
	r.failLoads = []error{fault.New(fault.Corrupt, "a row is unreadable")}
	err := New(Config{Source: r}).Run(context.Background())
	if !fault.Is(err, fault.Corrupt) {
		t.Errorf("Run: %v", err)
	}
}

func TestRunner_StopsWhileItWaits(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		r.failLoads = slices.Repeat([]error{fault.New(fault.Busy, "later")}, 1000)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := New(Config{Source: r}).Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestFollow_Merges(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		runner := start(t, r, Config{})
		type call struct {
			instances int
			changes   registry.Changes
		}
		var calls []call
		hold := make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- runner.Follow(ctx, func(v *registry.View, c registry.Changes) error {
				calls = append(calls, call{count(v), c})
				<-hold
				return nil
			})
		}()
		synctest.Wait()
		for n := range 20 {
			register(t, r, runner.View(), fmt.Sprint(n), record.Trace{})
			synctest.Wait() // the view moves each time; the follower is busy
		}
		hold <- struct{}{}
		synctest.Wait()
		hold <- struct{}{}
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Follow: %v", err)
		}
		if len(calls) != 2 || !calls[0].changes.All || calls[0].instances != 0 {
			t.Fatalf("calls %+v", calls)
		}
		_, touched := calls[1].changes.Services[registry.ServiceOf("", "", "web")]
		if calls[1].instances != 20 || calls[1].changes.All || !touched || len(calls[1].changes.Services) != 1 {
			t.Errorf("what gathered meanwhile: %+v", calls[1])
		}
		if len(runner.followers) != 0 {
			t.Error("the follower is still there")
		}
	})
}

func TestFollow_EndsWithItsError(t *testing.T) {
	r := newRegion(t)
	runner := start(t, r, Config{})
	want := errors.New("enough")
	if err := runner.Follow(context.Background(), func(*registry.View, registry.Changes) error { return want }); !errors.Is(err, want) {
		t.Errorf("Follow: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := New(Config{Source: r}).Follow(ctx, nil); err != nil {
		t.Errorf("Follow before the first view: %v", err)
	}
}

// TestFollow_MissesNothing: whatever the interleaving, the sum of what a follower is told is what happened.
func TestFollow_MissesNothing(t *testing.T) {
	r := newRegion(t)
	runner := start(t, r, Config{})
	const writes = 200
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var followers sync.WaitGroup
	for range 3 {
		followers.Go(func() {
			var last record.Positions
			seen := 0
			err := runner.Follow(ctx, func(v *registry.View, c registry.Changes) error {
				if !v.At().Covers(last) {
					t.Errorf("the view went back from %+v to %+v", last, v.At())
				}
				if !c.All && len(c.Services) == 0 {
					t.Errorf("a call without a change: %+v", c)
				}
				last, seen = v.At(), count(v)
				return nil
			})
			if err != nil || seen != writes {
				t.Errorf("a follower saw %d instances, %v", seen, err)
			}
		})
	}
	var res record.Result
	for n := range writes {
		res = register(t, r, runner.View(), fmt.Sprint(n), record.Trace{})
	}
	wait(t, runner, record.Positions{Data: res.Revision})
	for { // followers are woken by then, but each in its own time
		runner.mu.Lock()
		idle := true
		for f := range runner.followers {
			idle = idle && len(f.wake) == 0 && f.pending.IsEmpty()
		}
		idle = idle && len(runner.followers) == 3
		runner.mu.Unlock()
		if idle {
			break
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	followers.Wait()
}

func TestRunner_SpansOfCommits(t *testing.T) {
	r := newRegion(t)
	recorder := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	reader := sdkmetric.NewManualReader()
	runner := start(t, r, Config{
		Tracer: provider.Tracer("t"), Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("t"),
	})
	register(t, r, runner.View(), "unsampled", record.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{2}})
	register(t, r, runner.View(), "untraced", record.Trace{})
	res := register(t, r, runner.View(), "traced", record.Trace{TraceID: [16]byte{7}, SpanID: [8]byte{8}, Flags: 1})
	wait(t, runner, record.Positions{Data: res.Revision})
	for range 5000 { // the span ends right after the view is published and its lag is counted
		if len(recorder.Ended()) > 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	spans := recorder.Ended()
	if len(spans) != 1 {
		t.Fatalf("%d spans, want that of the sampled write", len(spans))
	}
	s := spans[0]
	if s.Name() != "view.publish" || s.SpanContext().TraceID() != [16]byte{7} || s.Parent().SpanID() != [8]byte{8} || !s.Parent().IsRemote() {
		t.Errorf("span %s of trace %s, parent %s", s.Name(), s.SpanContext().TraceID(), s.Parent().SpanID())
	}
	if got := sum(t, reader, "supercluster.view.lag"); got == 0 {
		t.Error("no lag was recorded")
	}
}
