// Package insist asks any server of a region again and again until one answers: what a client does while servers die.
//
// It owns the attempts and their count, never what is asked: who repeats a write gives it a request id, so that it happens
// once. Everything may be called concurrently.
package insist

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
)

const (
	tryFor  = 1 * time.Second       // one attempt on one server
	backOff = 20 * time.Millisecond // between attempts
)

// Servers are those of a region and how long they are asked.
type Servers struct {
	Conns  []*grpc.ClientConn // one of each
	GiveUp time.Duration      // after it nobody knows how a write ended

	retried atomic.Int64
}

// Retried is how many attempts were not answered and repeated.
func (s *Servers) Retried() int64 { return s.retried.Load() }

// Ask tries a request on one server after another until one answers or its time is over; pick chooses one of n.
func (s *Servers) Ask(pick func(n int) int, do func(context.Context, *grpc.ClientConn) error) error {
	deadline := time.Now().Add(s.GiveUp)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), tryFor)
		err := do(ctx, s.Conns[pick(len(s.Conns))])
		cancel()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		s.retried.Add(1)
		time.Sleep(backOff)
	}
}

// Put writes an entry, once, whatever the number of attempts.
func Put(name, value, requestID string) func(context.Context, *grpc.ClientConn) error {
	return func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := pb.NewConfigServiceClient(conn).PutConfig(ctx, &pb.PutConfigRequest{
			Config:  &pb.Config{Name: name, Value: []byte(value), Format: pb.Format_FORMAT_TEXT},
			Options: &pb.WriteOptions{RequestId: requestID},
		})
		return err
	}
}
