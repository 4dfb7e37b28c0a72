package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"

	"supercluster/bench/measure"
	"supercluster/chaos/fleet"
	"supercluster/chaos/wan"
	"supercluster/internal/procs"
)

// withMirror puts the lag of etcdctl make-mirror beside ours on the line of 40 ms. The mirror runs beside its
// destination, which is best for it: it writes one revision after the other and waits for each.
func withMirror(ctx context.Context, opt options, rows []measure.Row) ([]measure.Row, error) {
	if problem := wan.Unavailable(); problem != nil {
		fmt.Printf("SKIP etcdctl make-mirror: it needs a shaped line for TCP, and %v\n", problem)
		if os.Getenv(wan.RequireEnv) != "" {
			return nil, problem
		}
		return rows, nil
	}
	oneRates, threeRates := federationRates(opt)
	for _, rate := range oneRates {
		lags, err := mirrorLags(ctx, opt, mirrors{rate: rate, nodes: 1, sinks: []string{"dc2"}})
		if err != nil {
			return nil, fmt.Errorf("make-mirror at %d a second: %w", rate, err)
		}
		beside(rows, "dc2", rate, 1, lags["dc2"])
	}
	if !opt.quick {
		lags, err := mirrorLags(ctx, opt, mirrors{rate: 300, nodes: 1, sinks: []string{"dc2"}, atSource: true})
		if err != nil {
			return nil, fmt.Errorf("make-mirror beside its source: %w", err)
		}
		rows = append(rows, measure.Row{
			Name: "make-mirror beside its source, 300/s, lag at the end", Unit: "ms max", Peer: ms(measure.Percentile(lags["dc2"], 100)), PeerName: "make-mirror",
		})
	}
	return withMirrors(ctx, opt, rows, 3, threeRates)
}

// withMirrors puts etcd in each region, and a mirror in each that has no writers, beside our regions: as many servers, and
// as many copies on disk, for the same processors.
func withMirrors(ctx context.Context, opt options, rows []measure.Row, nodes int, rates []int) ([]measure.Row, error) {
	for _, rate := range rates {
		lags, err := mirrorLags(ctx, opt, mirrors{rate: rate, nodes: nodes, sinks: []string{"dc2", "dc3"}})
		if err != nil {
			return nil, fmt.Errorf("make-mirror between regions of %d, at %d a second: %w", nodes, rate, err)
		}
		for sink, of := range lags {
			beside(rows, sink, rate, nodes, of)
		}
	}
	return rows, nil
}

// beside puts the lags of the mirror from dc1 to a region into the rows of ours.
func beside(rows []measure.Row, sink string, rate, nodes int, lags []time.Duration) {
	ours := lagRow(nodes, rate, "dc1", sink)
	for i := range rows {
		for _, one := range []struct {
			unit string
			p    float64
		}{{"ms p50", 50}, {"ms p99", 99}, {"ms max", 100}} {
			if rows[i].Name == ours && rows[i].Unit == one.unit {
				rows[i].Peer, rows[i].PeerName = ms(measure.Percentile(lags, one.p)), "make-mirror"
				rows[i].Ratio = rows[i].Peer / rows[i].Ours
			}
		}
	}
}

// mirrors is a load of etcd in dc1 and who mirrors it.
type mirrors struct {
	rate     int
	nodes    int // of etcd, in each region
	sinks    []string
	atSource bool // the mirrors run in dc1, which is worse for them
}

// mirrorLags runs etcd at both ends of the lines, make-mirror for each sink, and 16 writers at the source.
func mirrorLags(ctx context.Context, opt options, m mirrors) (map[string][]time.Duration, error) {
	w, err := newLines()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	group, err := procs.NewGroup()
	if err != nil {
		return nil, err
	}
	defer group.Close()
	if crowded(m.nodes) {
		group.OneProcessor()
	}
	length := 5 * opt.round
	if m.atSource {
		length = 2 * opt.round // it falls behind; it must also end
	}
	if opt.quick {
		length = time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, length+mirrorMax+30*time.Second)
	defer cancel()
	source, err := etcdAt(ctx, group, opt, w, "dc1", m.nodes)
	if err != nil {
		return nil, err
	}
	sinks := map[string]*grpc.ClientConn{}
	for _, sink := range m.sinks {
		conns, err := etcdAt(ctx, group, opt, w, sink, m.nodes)
		if err != nil {
			return nil, err
		}
		sinks[sink] = conns[0]
		at := sink
		if m.atSource {
			at = "dc1"
		}
		err = w.Inside(at, func() error {
			_, err := group.Start("make-mirror", filepath.Join(opt.peers, "etcdctl"), "--endpoints", "http://"+etcdClient(w, "dc1", 0), "make-mirror", "http://"+etcdClient(w, sink, 0))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return mirrored(ctx, source, sinks, m.rate, length)
}

// etcdClient is where member i of a site serves clients; its peers find it two ports above.
func etcdClient(w *wan.WAN, site string, i int) string {
	return fmt.Sprintf("%s:%d", w.IP(site), etcdPort+10*i)
}

const etcdPort = 2379

// etcdAt starts etcd at a site and gives a connection for each writer, spread over its members.
func etcdAt(ctx context.Context, group *procs.Group, opt options, w *wan.WAN, site string, nodes int) ([]*grpc.ClientConn, error) {
	var cluster []string
	peer := func(i int) string { return fmt.Sprintf("http://127.0.0.1:%d", etcdPort+1+10*i) }
	for i := range nodes {
		cluster = append(cluster, fmt.Sprintf("%s-%d=%s", site, i, peer(i)))
	}
	var members []*procs.Process
	for i := range nodes {
		name := fmt.Sprintf("%s-%d", site, i)
		err := w.Inside(site, func() error {
			p, err := group.Start("etcd-"+name, filepath.Join(opt.peers, "etcd"), "-name", name, "-data-dir", filepath.Join(group.Dir, "etcd-"+name),
				"-client", "http://"+etcdClient(w, site, i), "-peer", peer(i), "-cluster", strings.Join(cluster, ","))
			members = append(members, p)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	place := fleet.PlaceOf(w, site)
	var conns []*grpc.ClientConn
	for n := range writers {
		one, err := place.Connect(etcdClient(w, site, n%nodes), 1)
		if err != nil {
			return nil, err
		}
		conns = append(conns, one...)
	}
	for _, conn := range conns[:nodes] {
		err := procs.WaitUntil(ctx, "etcd at "+site, func(ctx context.Context) bool {
			_, err := etcdserverpb.NewKVClient(conn).Put(ctx, &etcdserverpb.PutRequest{Key: []byte("first"), Value: []byte("0")})
			return err == nil
		}, members...)
		if err != nil {
			return nil, err
		}
	}
	return conns, nil
}

// mirrored writes at a rate and gives how long after its acknowledgement each change was shown at each destination.
func mirrored(ctx context.Context, conns []*grpc.ClientConn, sinks map[string]*grpc.ClientConn, rate int, length time.Duration) (map[string][]time.Duration, error) {
	watches := map[string]*mirrorWatch{}
	for name, sink := range sinks {
		w, err := watchMirror(ctx, sink)
		if err != nil {
			return nil, err
		}
		watches[name] = w
	}
	// The mirrors must be watching: until a probe comes through each, nothing is measured.
	for _, w := range watches {
		for open := false; !open; {
			_, err := etcdserverpb.NewKVClient(conns[0]).Put(ctx, &etcdserverpb.PutRequest{Key: []byte("bench/probe"), Value: []byte("probe ")})
			if err != nil {
				return nil, fmt.Errorf("etcd does not take writes: %w", err)
			}
			select {
			case <-w.first:
				open = true
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
				return nil, fmt.Errorf("make-mirror brings nothing")
			}
		}
	}
	acked, err := etcdPuts(ctx, conns, rate, length)
	if err != nil {
		return nil, err
	}
	lags := map[string][]time.Duration{}
	for name, w := range watches {
		if lags[name], err = w.compare(ctx, acked); err != nil {
			return nil, err
		}
	}
	return lags, nil
}

// mirrorWatch is a watch of what a mirror brings.
type mirrorWatch struct {
	first chan struct{} // closed when anything came
	mu    sync.Mutex
	seen  map[string]time.Time
}

func watchMirror(ctx context.Context, sink *grpc.ClientConn) (*mirrorWatch, error) {
	stream, err := etcdserverpb.NewWatchClient(sink).Watch(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{
		CreateRequest: &etcdserverpb.WatchCreateRequest{Key: []byte("bench/"), RangeEnd: []byte("bench0")},
	}})
	if err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, err
	}
	w := &mirrorWatch{first: make(chan struct{}), seen: map[string]time.Time{}}
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			w.take(answer.GetEvents(), time.Now())
		}
	}()
	return w, nil
}

func (w *mirrorWatch) take(events []*mvccpb.Event, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		id, _, _ := strings.Cut(string(e.GetKv().GetValue()), " ")
		if len(w.seen) == 0 {
			close(w.first)
		}
		w.seen[id] = now
	}
}

// etcdPuts is the load of the other side, with the same sizes and starts.
func etcdPuts(ctx context.Context, conns []*grpc.ClientConn, rate int, length time.Duration) (map[string]time.Time, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed error
	)
	acked := map[string]time.Time{}
	interval := time.Second * time.Duration(len(conns)) / time.Duration(rate)
	begin := time.Now()
	for i, conn := range conns {
		wg.Go(func() {
			for n := 0; ; n++ {
				due := begin.Add(interval*time.Duration(i)/time.Duration(len(conns)) + interval*time.Duration(n))
				if due.Sub(begin) >= length || ctx.Err() != nil {
					return
				}
				time.Sleep(time.Until(due))
				id := fmt.Sprintf("%d-%d", i, n)
				value := id + " " + strings.Repeat("x", changeBytes-len(id)-1)
				_, err := etcdserverpb.NewKVClient(conn).Put(ctx, &etcdserverpb.PutRequest{Key: fmt.Appendf(nil, "bench/key-%d-%d", i, n%64), Value: []byte(value)})
				at := time.Now()
				mu.Lock()
				if acked[id] = at; err != nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return acked, failed
}

// compare waits until everything came, or the mirror had its time: what did not come by then counts as coming now.
func (w *mirrorWatch) compare(ctx context.Context, acked map[string]time.Time) ([]time.Duration, error) {
	missing := func() (n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for id := range acked {
			if _, ok := w.seen[id]; !ok {
				n++
			}
		}
		return n
	}
	for deadline := time.Now().Add(mirrorMax); missing() > 0 && time.Now().Before(deadline) && ctx.Err() == nil; {
		time.Sleep(10 * time.Millisecond)
	}
	if n := missing(); n > 0 {
		fmt.Printf("make-mirror: %d of %d changes did not come within %v after the last\n", n, len(acked), mirrorMax)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var lags []time.Duration
	for id, at := range acked {
		came, ok := w.seen[id]
		if !ok {
			came = time.Now()
		}
		lags = append(lags, came.Sub(at))
	}
	slices.Sort(lags)
	return lags, ctx.Err()
}
