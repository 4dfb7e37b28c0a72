package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/bench/measure"
	"supercluster/chaos/fleet"
)

const (
	changeBytes    = 128
	aloneNamespace = "alone" // in one region, not federated
	settleWithin   = 20 * time.Second
)

// fedResult is what one load gave.
type fedResult struct {
	source  string
	took    time.Duration
	changes map[string]time.Time            // when each was acknowledged; for a flip, when its own region showed it
	seen    map[string]map[string]time.Time // region, change
	cpu     map[string]time.Duration
	bytes   map[[2]string]int64
	echo    map[string][]time.Duration // round trips, sorted, by region
	put     time.Duration              // p99 of a put, from its intended start
}

// lags gives how long after its acknowledgement each change was shown by a region, sorted.
func (r *fedResult) lags(region string) []time.Duration {
	var all []time.Duration
	for id, at := range r.changes {
		all = append(all, r.seen[region][id].Sub(at))
	}
	slices.Sort(all)
	return all
}

// fedWatch is a watch of one region.
type fedWatch struct {
	region string
	conn   *grpc.ClientConn
	mu     sync.Mutex
	seen   map[string]time.Time
	err    error
	ended  chan struct{}
}

func startWatch(ctx context.Context, r *fleet.Region, namespace string) (*fedWatch, error) {
	conns, err := r.Connect(0, 1)
	if err != nil {
		return nil, err
	}
	w := &fedWatch{region: r.Name, conn: conns[0], seen: map[string]time.Time{}, ended: make(chan struct{})}
	stream, err := pb.NewWatchServiceClient(conns[0]).Watch(ctx, &pb.WatchRequest{Namespace: namespace})
	if err == nil {
		_, err = stream.Header() // it is open: nothing from here on is missed
	}
	if err != nil {
		conns[0].Close()
		return nil, fmt.Errorf("watch of %s: %w", r.Name, err)
	}
	go func() {
		defer close(w.ended)
		for {
			message, err := stream.Recv()
			at := time.Now()
			w.mu.Lock()
			if err != nil {
				w.err = err
				w.mu.Unlock()
				return
			}
			for _, e := range message.GetEvents() {
				if id := changeOf(e); id != "" {
					w.seen[id] = at
				}
			}
			w.mu.Unlock()
		}
	}()
	return w, nil
}

// changeOf gives the change that an event shows.
func changeOf(e *pb.Event) string {
	switch {
	case e.GetConfig() != nil:
		id, _, _ := strings.Cut(string(e.GetConfig().GetValue()), " ")
		return id
	case e.GetInstance() != nil:
		return e.GetInstance().GetMetadata()["change"]
	case e.GetCheckStatus() != nil:
		return e.GetCheckStatus().GetOutput()
	default:
		return ""
	}
}

// fedWriter makes the changes of one client: puts, registrations and health flips in turn.
type fedWriter struct {
	region    string
	namespace string
	name      string
	number    int
	conn      *grpc.ClientConn
}

// flips registers the instance whose health the writer flips.
func (w *fedWriter) flips(ctx context.Context) error {
	_, err := pb.NewRegistryServiceClient(w.conn).RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{
		Namespace: w.namespace, Service: "flips", Id: fmt.Sprintf("%s-%d", w.region, w.number), Address: "10.0.0.1", Port: 80,
		Checks: []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: durationpb.New(time.Hour), Rise: 1, Fall: 1}},
	}})
	return err
}

// change makes change n. A flip is acknowledged before it is written; it says so.
func (w *fedWriter) change(ctx context.Context, n int, id string) (flip bool, err error) {
	registry := pb.NewRegistryServiceClient(w.conn)
	switch n % 3 {
	case 0:
		value := id + " " + strings.Repeat("x", changeBytes-len(id)-1)
		_, err = pb.NewConfigServiceClient(w.conn).PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{
			Namespace: w.namespace, Name: fmt.Sprintf("%s/key-%d-%d", w.region, w.number, n%64), Value: []byte(value), Format: pb.Format_FORMAT_TEXT,
		}})
		return false, err
	case 1:
		_, err = registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{
			Namespace: w.namespace, Service: fmt.Sprintf("service-%d", w.number%4), Id: fmt.Sprintf("%s-%d-%d", w.region, w.number, n%16),
			Address: "10.0.0.1", Port: uint32(8000 + w.number), Metadata: map[string]string{"change": id},
		}})
		return false, err
	default:
		health := pb.Health_HEALTH_PASSING
		if n/3%2 == 0 {
			health = pb.Health_HEALTH_CRITICAL
		}
		_, err = registry.Heartbeat(ctx, &pb.HeartbeatRequest{Targets: []*pb.HeartbeatTarget{{
			Namespace: w.namespace, Service: "flips", Instance: fmt.Sprintf("%s-%d", w.region, w.number), Health: health, Output: id,
		}}})
		return true, err
	}
}

// load makes changes at a rate in one region and watches all; alone: in a namespace that no other region has.
func (s *fedStage) load(ctx context.Context, source *fleet.Region, rate int, alone bool) (*fedResult, error) {
	ctx, cancel := context.WithTimeout(ctx, s.length+time.Minute)
	defer cancel()
	s.phase++
	namespace, watched := "", s.fleet.Regions
	if alone {
		namespace, watched = aloneNamespace, []*fleet.Region{source}
		if s.phase == 1 {
			_, err := pb.NewTenantServiceClient(source.Conns[0]).CreateNamespace(ctx, &pb.CreateNamespaceRequest{Namespace: &pb.Namespace{Tenant: "default", Name: namespace}})
			if err != nil {
				return nil, err
			}
		}
	}
	var all []*fedWriter
	for n := range writers {
		conns, err := source.Connect(n%s.nodes, 1)
		if err != nil {
			return nil, err
		}
		defer conns[0].Close()
		w := &fedWriter{region: source.Name, namespace: namespace, number: n, name: fmt.Sprintf("%d-%d", s.phase, n), conn: conns[0]}
		if err := w.flips(ctx); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	var watches []*fedWatch
	for _, r := range watched {
		w, err := startWatch(ctx, r, namespace)
		if err != nil {
			return nil, err
		}
		defer w.conn.Close()
		watches = append(watches, w)
	}
	return s.run(ctx, rate, all, watches)
}

func (s *fedStage) run(ctx context.Context, rate int, all []*fedWriter, watches []*fedWatch) (*fedResult, error) {
	source := all[0].region
	own := watches[slices.IndexFunc(watches, func(w *fedWatch) bool { return w.region == source })]
	r := &fedResult{source: source, changes: map[string]time.Time{}, seen: map[string]map[string]time.Time{}, cpu: map[string]time.Duration{}, bytes: map[[2]string]int64{}}
	stopEcho := s.echoes.start(source)
	before, begin := s.usage(), time.Now()
	acked, flips, err := s.write(ctx, rate, all, r)
	r.took = time.Since(begin)
	if err == nil {
		flips, err = settle(ctx, own, watches, acked, flips)
	}
	after := s.usage()
	r.echo = stopEcho()
	for name := range after.cpu {
		r.cpu[name] = after.cpu[name] - before.cpu[name]
	}
	for pair := range after.bytes {
		r.bytes[pair] = after.bytes[pair] - before.bytes[pair]
	}
	for _, w := range watches {
		w.mu.Lock()
		r.seen[w.region] = w.seen
		w.mu.Unlock()
	}
	for id, at := range acked {
		r.changes[id] = at
	}
	for _, id := range flips {
		r.changes[id] = r.seen[source][id]
	}
	return r, err
}

// write drives the writers, each at its share of the rate, from intended starts: one that is late catches up.
func (s *fedStage) write(ctx context.Context, rate int, all []*fedWriter, r *fedResult) (acked map[string]time.Time, flips []string, err error) {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		puts []time.Duration
	)
	acked = map[string]time.Time{}
	interval := time.Second * time.Duration(len(all)) / time.Duration(rate)
	begin := time.Now()
	for i, w := range all {
		wg.Go(func() {
			first := begin.Add(interval * time.Duration(i) / time.Duration(len(all)))
			for n := 0; ; n++ {
				due := first.Add(interval * time.Duration(n))
				if due.Sub(begin) >= s.length || ctx.Err() != nil {
					return
				}
				time.Sleep(time.Until(due))
				id := fmt.Sprintf("%s-%d", w.name, n)
				flip, failed := w.change(ctx, n+i, id)
				at := time.Now()
				mu.Lock()
				switch {
				case failed != nil:
					err = fmt.Errorf("change %s: %w", id, failed)
				case flip:
					flips = append(flips, id)
				default:
					acked[id] = at
					puts = append(puts, at.Sub(due))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(puts)
	r.put = measure.Percentile(puts, 99)
	return acked, flips, err
}

// settle waits until every watch has shown every change, and gives the flips that were changes: the health of a check is
// written when it differs from what was written last, so the region's own watch says which were.
func settle(ctx context.Context, own *fedWatch, watches []*fedWatch, acked map[string]time.Time, flips []string) ([]string, error) {
	var wanted []string
	for id := range acked {
		wanted = append(wanted, id)
	}
	if err := own.shows(ctx, wanted); err != nil {
		return nil, err
	}
	select { // a flip is written in the next round of the health runner
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	own.mu.Lock()
	flips = slices.DeleteFunc(flips, func(id string) bool { _, ok := own.seen[id]; return !ok })
	own.mu.Unlock()
	wanted = append(wanted, flips...)
	for _, w := range watches {
		if err := w.shows(ctx, wanted); err != nil {
			return nil, err
		}
	}
	return flips, nil
}

// shows waits until a watch has shown changes.
func (w *fedWatch) shows(ctx context.Context, wanted []string) error {
	for deadline := time.Now().Add(settleWithin); ; time.Sleep(5 * time.Millisecond) {
		w.mu.Lock()
		missing := slices.DeleteFunc(slices.Clone(wanted), func(id string) bool { _, ok := w.seen[id]; return ok })
		err := w.err
		w.mu.Unlock()
		switch {
		case len(missing) == 0:
			return nil
		case err != nil:
			return fmt.Errorf("the watch of %s ended: %w", w.region, err)
		case time.Now().After(deadline) || ctx.Err() != nil:
			return fmt.Errorf("%s did not show %d of %d changes within %v, such as %s", w.region, len(missing), len(wanted), settleWithin, missing[0])
		}
	}
}
