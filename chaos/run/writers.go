package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
	"supercluster/chaos/insist"
	"supercluster/internal/procs"
)

const (
	registers = 12                    // keys that several writers share
	tryFor    = 1 * time.Second       // one question about a server
	giveUp    = 8 * time.Second       // after it the outcome of a write is unknown
	backOff   = 20 * time.Millisecond // between streams of the proxy
	pause     = 4 * time.Millisecond  // between operations of one writer: the run is about faults, not load
)

// writers are the clients of a run.
type writers struct {
	servers *insist.Servers
	history *history.Recorder

	mu    sync.Mutex
	acked []string // names of unique entries whose write was acknowledged

	// lastAcked is the newest start, in the time of the history, of a write that was acknowledged.
	lastAcked atomic.Int64
	unknown   atomic.Int64
}

func newWriters(region *procs.Region) (*writers, error) {
	conns, err := region.ConnectEach()
	return &writers{servers: &insist.Servers{Conns: conns, GiveUp: giveUp}, history: history.NewRecorder()}, err
}

// close ends the connections; nobody drives the clients any more.
func (w *writers) close() {
	for _, conn := range w.servers.Conns {
		_ = conn.Close()
	}
}

// run drives n clients until ctx ends.
func (w *writers) run(ctx context.Context, n int) {
	var wg sync.WaitGroup
	for c := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			random := rand.New(rand.NewPCG(uint64(c), 1))
			for i := 0; ctx.Err() == nil; i++ {
				w.one(c, i, random)
				select {
				case <-ctx.Done():
				case <-time.After(pause):
				}
			}
		}()
	}
	wg.Wait()
}

// one runs one operation to its end, whatever happens to the servers.
func (w *writers) one(client, i int, random *rand.Rand) {
	key := fmt.Sprintf("register/%d", random.IntN(registers))
	value := fmt.Sprintf("%d-%d", client, i)
	switch random.IntN(10) {
	case 0, 1, 2:
		w.put(client, key, value, random)
	case 3, 4, 5:
		w.get(client, key, random)
	case 6, 7:
		if current, ok := w.get(client, key, random); ok {
			w.swap(client, key, current, value, random)
		}
	default:
		name := "acked/" + value
		if w.write(random, insist.Put(name, value, requestID(client, i, "u"))) == nil {
			w.mu.Lock()
			w.acked = append(w.acked, name)
			w.mu.Unlock()
		}
	}
}

func requestID(client, i int, what string) string {
	return fmt.Sprintf("chaos-%d-%d-%s", client, i, what)
}

func (w *writers) put(client int, key, value string, random *rand.Rand) {
	in := history.Input{Kind: history.Put, Key: key, Value: value}
	call := w.history.Now()
	err := w.write(random, insist.Put(key, value, "put-"+value))
	w.history.Add(client, in, history.Output{Unknown: err != nil}, call, w.history.Now())
}

// swap replaces a value if it is still there, as a transaction.
func (w *writers) swap(client int, key, expected, value string, random *rand.Rand) {
	in := history.Input{Kind: history.CompareAndSwap, Key: key, Expected: expected, Value: value}
	call := w.history.Now()
	swapped := false
	compare := &pb.Compare{Name: key, Target: pb.Compare_TARGET_VALUE, Operator: pb.Compare_OPERATOR_EQUAL, Value: []byte(expected)}
	if expected == "" {
		compare = &pb.Compare{Name: key, Target: pb.Compare_TARGET_CREATE_REVISION, Operator: pb.Compare_OPERATOR_EQUAL}
	}
	err := w.write(random, func(ctx context.Context, conn *grpc.ClientConn) error {
		answer, err := pb.NewConfigServiceClient(conn).Txn(ctx, &pb.TxnRequest{
			Compare: []*pb.Compare{compare},
			Then:    []*pb.TxnOp{{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: key, Value: []byte(value), Format: pb.Format_FORMAT_TEXT}}}},
			Options: &pb.WriteOptions{RequestId: "cas-" + value},
		})
		swapped = answer.GetSucceeded()
		return err
	})
	w.history.Add(client, in, history.Output{Swapped: swapped, Unknown: err != nil}, call, w.history.Now())
}

// get reads linearizably; false when no node answered in time.
func (w *writers) get(client int, key string, random *rand.Rand) (string, bool) {
	call := w.history.Now()
	value := ""
	err := w.servers.Ask(random.IntN, func(ctx context.Context, conn *grpc.ClientConn) error {
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

// write asks for a write until it is answered or its time is over, and notes when it was sent.
func (w *writers) write(random *rand.Rand, do func(context.Context, *grpc.ClientConn) error) error {
	call := w.history.Now()
	if err := w.servers.Ask(random.IntN, do); err != nil {
		w.unknown.Add(1)
		return err
	}
	for last := w.lastAcked.Load(); call > last && !w.lastAcked.CompareAndSwap(last, call); last = w.lastAcked.Load() {
	}
	return nil
}
