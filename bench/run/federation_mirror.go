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
	for _, rate := range []int{300, 1000} {
		lags, err := mirrorLag(ctx, opt, rate, "dc2")
		if err != nil {
			return nil, fmt.Errorf("make-mirror at %d a second: %w", rate, err)
		}
		ours := fmt.Sprintf("lag n=1 %d/s dc1 to dc2, ", rate)
		for i := range rows {
			for _, one := range []struct {
				unit string
				p    float64
			}{{"ms p50", 50}, {"ms p99", 99}, {"ms max", 100}} {
				if strings.HasPrefix(rows[i].Name, ours) && rows[i].Unit == one.unit {
					rows[i].Peer, rows[i].PeerName = ms(measure.Percentile(lags, one.p)), "make-mirror"
					rows[i].Ratio = rows[i].Peer / rows[i].Ours
				}
			}
		}
	}
	lags, err := mirrorLag(ctx, opt, 300, "dc1")
	if err != nil {
		return nil, fmt.Errorf("make-mirror beside its source: %w", err)
	}
	return append(rows, measure.Row{
		Name: "make-mirror beside its source, 300/s, lag at the end", Unit: "ms max", Peer: ms(measure.Percentile(lags, 100)), PeerName: "make-mirror",
	}), nil
}

// mirrorLag runs etcd at both ends of the line of 40 ms, make-mirror at a site, and 16 writers at the source.
func mirrorLag(ctx context.Context, opt options, rate int, at string) ([]time.Duration, error) {
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
	length := 5 * opt.round
	if at == "dc1" {
		length = 2 * opt.round // it falls behind; it must also end
	}
	if opt.quick {
		length = time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, length+mirrorMax+30*time.Second)
	defer cancel()
	ends := map[string]string{"dc1": w.IP("dc1") + ":2379", "dc2": w.IP("dc2") + ":2379"}
	conns := map[string][]*grpc.ClientConn{}
	for site, address := range ends {
		if conns[site], err = etcdAt(ctx, group, opt, w, site, address); err != nil {
			return nil, err
		}
	}
	err = w.Inside(at, func() error {
		_, err := group.Start("make-mirror", filepath.Join(opt.peers, "etcdctl"), "--endpoints", "http://"+ends["dc1"], "make-mirror", "http://"+ends["dc2"])
		return err
	})
	if err != nil {
		return nil, err
	}
	return mirrored(ctx, conns["dc1"], conns["dc2"][0], rate, length)
}

// etcdAt starts one etcd at a site and gives a connection for each writer.
func etcdAt(ctx context.Context, group *procs.Group, opt options, w *wan.WAN, site, address string) ([]*grpc.ClientConn, error) {
	var p *procs.Process
	err := w.Inside(site, func() (err error) {
		p, err = group.Start("etcd-"+site, filepath.Join(opt.peers, "etcd"), "-name", site, "-data-dir", filepath.Join(group.Dir, "etcd-"+site),
			"-client", "http://"+address, "-peer", "http://127.0.0.1:2380")
		return err
	})
	if err != nil {
		return nil, err
	}
	place := fleet.PlaceOf(w, site)
	conns, err := place.Connect(address, writers)
	if err != nil {
		return nil, err
	}
	return conns, procs.WaitUntil(ctx, "etcd at "+site, func(ctx context.Context) bool {
		_, err := etcdserverpb.NewKVClient(conns[0]).Put(ctx, &etcdserverpb.PutRequest{Key: []byte("first"), Value: []byte("0")})
		return err == nil
	}, p)
}

// mirrored writes at a rate and gives how long after its acknowledgement each change was shown at the destination.
func mirrored(ctx context.Context, conns []*grpc.ClientConn, sink *grpc.ClientConn, rate int, length time.Duration) ([]time.Duration, error) {
	stream, err := etcdserverpb.NewWatchClient(sink).Watch(ctx)
	if err != nil {
		return nil, err
	}
	key := []byte("bench/")
	err = stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{
		CreateRequest: &etcdserverpb.WatchCreateRequest{Key: key, RangeEnd: []byte("bench0")},
	}})
	if err != nil {
		return nil, err
	}
	if _, err := stream.Recv(); err != nil {
		return nil, err
	}
	// The mirror must be watching: until a probe comes through, nothing is measured.
	probe := func(context.Context) bool {
		_, err := etcdserverpb.NewKVClient(conns[0]).Put(ctx, &etcdserverpb.PutRequest{Key: []byte("bench/probe"), Value: []byte("probe ")})
		return err == nil
	}
	var mu sync.Mutex
	seen, first := map[string]time.Time{}, make(chan struct{})
	go func() {
		for {
			answer, err := stream.Recv()
			if err != nil {
				return
			}
			now := time.Now()
			mu.Lock()
			for _, e := range answer.GetEvents() {
				id, _, _ := strings.Cut(string(e.GetKv().GetValue()), " ")
				if len(seen) == 0 {
					close(first)
				}
				seen[id] = now
			}
			mu.Unlock()
		}
	}()
	for open := false; !open; {
		if !probe(ctx) {
			return nil, fmt.Errorf("etcd does not take writes")
		}
		select {
		case <-first:
			open = true
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("make-mirror brings nothing")
		}
	}
	acked, err := etcdPuts(ctx, conns, rate, length)
	if err != nil {
		return nil, err
	}
	return compareSeen(ctx, acked, seen, &mu)
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

// compareSeen waits until everything came, or the mirror had its time: what did not come by then counts as coming now.
func compareSeen(ctx context.Context, acked, seen map[string]time.Time, mu *sync.Mutex) ([]time.Duration, error) {
	missing := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for id := range acked {
			if _, ok := seen[id]; !ok {
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
	mu.Lock()
	defer mu.Unlock()
	var lags []time.Duration
	for id, at := range acked {
		came, ok := seen[id]
		if !ok {
			came = time.Now()
		}
		lags = append(lags, came.Sub(at))
	}
	slices.Sort(lags)
	return lags, ctx.Err()
}
