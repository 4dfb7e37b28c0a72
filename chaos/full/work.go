package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/fleet"
	"supercluster/chaos/history"
)

const (
	perRegion = 3
	registers = 8 // clients of the registers, in the region of three nodes
	keys      = 12
	tryFor    = time.Second
	giveUp    = 15 * time.Second
	pace      = 8 * time.Millisecond
	backOff   = 20 * time.Millisecond
)

// work is all clients of a run.
type work struct {
	fleet    *fleet.Fleet
	seed     uint64
	history  *history.Recorder
	authors  []*author
	watchers []*watcher
	checked  atomic.Int64 // reads that were judged at once

	mu       sync.Mutex
	problems []string
}

func newWork(f *fleet.Fleet, seed uint64) *work {
	w := &work{fleet: f, seed: seed, history: history.NewRecorder()}
	for _, r := range f.Regions {
		w.authors = append(w.authors, &author{region: r, Live: map[string]string{}, Gone: map[string]bool{}, Instances: map[string]bool{}})
		w.watchers = append(w.watchers, newWatcher(r))
	}
	return w
}

// run works until ctx ends.
func (w *work) run(ctx context.Context) {
	var all sync.WaitGroup
	for i, a := range w.authors {
		for c := range perRegion {
			all.Go(func() { a.run(ctx, c) })
		}
		all.Go(func() { w.read(ctx, w.fleet.Regions[i]) })
	}
	for c := range registers {
		all.Go(func() { w.register(ctx, c) })
	}
	all.Wait()
}

func (w *work) problem(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// operations is how many operations have a judgement.
func (w *work) operations() int {
	n := w.history.Len() + int(w.checked.Load())
	for _, a := range w.authors {
		n += int(a.acked.Load())
	}
	return n
}

// save writes what clients were told.
func (w *work) save(path string) error {
	if w == nil {
		return nil
	}
	text, err := json.MarshalIndent(map[string]any{"authors": w.authors, "problems": w.problems, "registers": w.history.Operations()}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// attempt repeats a request on any node of a region until it is answered or its time is over.
func attempt(r *fleet.Region, limit time.Duration, do func(context.Context, *grpc.ClientConn) error) error {
	deadline := time.Now().Add(limit)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), tryFor)
		err := do(ctx, r.Conns[rand.IntN(len(r.Conns))])
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(backOff)
	}
}

func put(name, value string) *pb.TxnOp {
	return &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: name, Value: []byte(value), Format: pb.Format_FORMAT_TEXT}}}
}

func txn(r *fleet.Region, limit time.Duration, id string, request *pb.TxnRequest) (swapped bool, err error) {
	request.Options = &pb.WriteOptions{RequestId: id}
	err = attempt(r, limit, func(ctx context.Context, conn *grpc.ClientConn) error {
		answer, err := pb.NewConfigServiceClient(conn).Txn(ctx, request)
		swapped = answer.GetSucceeded()
		return err
	})
	return swapped, err
}

// register is one client of the registers: puts, reads and compare-and-swaps, all in the history.
func (w *work) register(ctx context.Context, client int) {
	random := rand.New(rand.NewPCG(w.seed, uint64(client)))
	region := w.fleet.Regions[0]
	for n := 0; ctx.Err() == nil; n++ {
		in := history.Input{Key: fmt.Sprintf("dc1/register/%d", random.IntN(keys)), Value: fmt.Sprintf("%d-%d", client, n)}
		switch random.IntN(5) {
		case 0, 1:
			in.Kind = history.Put
		case 2:
			in.Kind = history.CompareAndSwap
			if value, ok := w.get(client, region, in.Key); ok {
				in.Expected = value
			}
		default:
			w.get(client, region, in.Key)
			sleep(ctx, pace)
			continue
		}
		w.write(client, region, in)
		sleep(ctx, pace)
	}
}

func (w *work) write(client int, region *fleet.Region, in history.Input) {
	request := &pb.TxnRequest{Then: []*pb.TxnOp{put(in.Key, in.Value)}}
	switch {
	case in.Kind == history.CompareAndSwap && in.Expected == "":
		request.Compare = []*pb.Compare{{Name: in.Key, Target: pb.Compare_TARGET_CREATE_REVISION, Operator: pb.Compare_OPERATOR_EQUAL}}
	case in.Kind == history.CompareAndSwap:
		request.Compare = []*pb.Compare{{Name: in.Key, Target: pb.Compare_TARGET_VALUE, Operator: pb.Compare_OPERATOR_EQUAL, Value: []byte(in.Expected)}}
	}
	call := w.history.Now()
	swapped, err := txn(region, giveUp/2, "register-"+in.Value, request)
	w.history.Add(client, in, history.Output{Swapped: swapped, Unknown: err != nil}, call, w.history.Now())
}

func (w *work) get(client int, region *fleet.Region, key string) (value string, ok bool) {
	call := w.history.Now()
	err := attempt(region, giveUp/2, func(ctx context.Context, conn *grpc.ClientConn) error {
		answer, err := pb.NewConfigServiceClient(conn).GetConfig(ctx, &pb.GetConfigRequest{Name: key, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}})
		value = string(answer.GetConfig().GetValue())
		if status.Code(err) == codes.NotFound {
			return nil
		}
		return err
	})
	if err != nil {
		return "", false
	}
	w.history.Add(client, history.Input{Kind: history.Get, Key: key}, history.Output{Value: value}, call, w.history.Now())
	return value, true
}

// read judges local reads in a region as they come: both halves of a transaction, whose records they are, and lookups.
func (w *work) read(ctx context.Context, r *fleet.Region) {
	found := map[string]bool{}
	for n := 0; ctx.Err() == nil; n++ {
		home := sites[n%len(sites)]
		conn := r.Conns[n%len(r.Conns)]
		asking, cancel := context.WithTimeout(ctx, tryFor)
		w.readPairs(asking, r, conn, home)
		w.lookup(asking, r, conn, home, found)
		cancel()
		sleep(ctx, pace)
	}
}

func (w *work) readPairs(ctx context.Context, r *fleet.Region, conn *grpc.ClientConn, home string) {
	answer, err := pb.NewConfigServiceClient(conn).ListConfigs(ctx, &pb.ListConfigsRequest{
		Prefix: home + "/pair/", Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL},
	})
	if err != nil {
		return
	}
	w.checked.Add(1)
	halves := map[string]string{}
	for _, c := range answer.GetConfigs() {
		pair, half := c.GetName()[:len(c.GetName())-1], c.GetName()[len(c.GetName())-1:]
		if source := c.GetSource().GetRegion(); source != home {
			w.problem("%s calls %s a record of %q", r.Name, c.GetName(), source)
		}
		if other, ok := halves[pair]; half == "b" && (!ok || other != string(c.GetValue())) {
			w.problem("%s shows half of a transaction: %s is %q, its other half %q", r.Name, c.GetName(), c.GetValue(), other)
		}
		halves[pair] = string(c.GetValue())
	}
}

// lookup demands that a service that was found once is never answered empty: its instances only grow.
func (w *work) lookup(ctx context.Context, r *fleet.Region, conn *grpc.ClientConn, home string, found map[string]bool) {
	answer, err := pb.NewRegistryServiceClient(conn).Lookup(ctx, &pb.LookupRequest{Service: service(home), AllRegions: true, Read: &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}})
	if err != nil {
		return
	}
	w.checked.Add(1)
	key := home + conn.Target()
	if n := len(answer.GetEndpoints()); n > 0 {
		found[key] = true
	} else if found[key] {
		w.problem("%s answers that service %s has no endpoints; it had some", r.Name, service(home))
	}
}

func service(region string) string { return "of-" + region }
