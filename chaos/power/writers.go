package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
)

const (
	writers = 6
	tryFor  = 700 * time.Millisecond
	backOff = 10 * time.Millisecond
)

// ledger is what was acknowledged: entries that are written once, and one for each writer that is written again and again.
type ledger struct {
	mu     sync.Mutex
	once   map[string]string
	again  map[string]int // the newest number that was acknowledged
	issued map[string]int // and the newest that was sent
	// dark: the power goes. What is answered from here on counts as unknown: a client of a machine without power hears
	// nothing, and a sync that is under way while a file system shuts down may end well.
	dark bool
}

func newLedger() *ledger {
	return &ledger{once: map[string]string{}, again: map[string]int{}, issued: map[string]int{}}
}

// cut says that the power goes, or is back.
func (l *ledger) cut(dark bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dark = dark
}

func (l *ledger) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.once)
}

// value is long enough to fill files, and says where it belongs.
func value(name string) string { return strings.Repeat(name+"|", 1+300/len(name)) }

// write lets the writers write to any node until ctx ends.
func (l *ledger) write(ctx context.Context, round int, conns []*grpc.ClientConn) {
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if !l.one(fmt.Sprintf("r%d/w%d/%d", round, w, n), w, conns[(w+n)%len(conns)]) {
					time.Sleep(backOff)
				}
			}
		})
	}
	all.Wait()
}

// one writes an entry of its own and the one that is written again and again, in one transaction.
func (l *ledger) one(name string, w int, conn *grpc.ClientConn) bool {
	counter := fmt.Sprintf("again/%d", w)
	l.mu.Lock()
	l.issued[counter]++
	n := l.issued[counter]
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), tryFor)
	defer cancel()
	put := func(name, value string) *pb.TxnOp {
		return &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: name, Value: []byte(value), Format: pb.Format_FORMAT_TEXT}}}
	}
	_, err := pb.NewConfigServiceClient(conn).Txn(ctx, &pb.TxnRequest{Then: []*pb.TxnOp{put(name, value(name)), put(counter, fmt.Sprint(n))}})
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dark {
		return true
	}
	l.once[name] = value(name)
	l.again[counter] = max(l.again[counter], n)
	return true
}

// compare says what a node shows that is not as it was acknowledged; "" when all is well.
func (l *ledger) compare(ctx context.Context, conn *grpc.ClientConn, level pb.Consistency) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, token := map[string]string{}, ""
	for {
		answer, err := pb.NewConfigServiceClient(conn).ListConfigs(ctx, &pb.ListConfigsRequest{
			PageSize: 2000, PageToken: token, Read: &pb.ReadOptions{Consistency: level},
		})
		if err != nil {
			return "", err
		}
		for _, c := range answer.GetConfigs() {
			have[c.GetName()] = string(c.GetValue())
		}
		if token = answer.GetNextPageToken(); token == "" {
			break
		}
	}
	for name, got := range have {
		if strings.HasPrefix(name, "r") && got != value(name) {
			return fmt.Sprintf("%s was changed", name), nil
		}
	}
	for name := range l.once {
		if _, ok := have[name]; !ok {
			return fmt.Sprintf("%s was lost, one of %d", name, len(l.once)), nil
		}
	}
	for name, acked := range l.again {
		n := 0
		_, _ = fmt.Sscan(have[name], &n)
		if n < acked || n > l.issued[name] {
			return fmt.Sprintf("%s is %d; %d was acknowledged, %d sent", name, n, acked, l.issued[name]), nil
		}
	}
	return "", nil
}
