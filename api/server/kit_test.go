package server

import (
	"context"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/registry/access"
)

func fromGRPC(err error) error { return status.FromGRPC(err) }

// devContext is the context of a handler that is called without the chain.
func devContext(t testing.TB) context.Context {
	return context.WithValue(t.Context(), callKey{}, &call{
		row: &row{}, principal: access.Principal{Name: "dev", Role: access.RoleDev}, started: time.Now(),
	})
}

// eventually waits until a condition holds.
func eventually(t testing.TB, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatal("it did not happen within 10 s")
}

// panicking is a Heartbeats with a bug.
type panicking struct{}

func (panicking) Heartbeat(context.Context, []*pb.HeartbeatTarget) ([]uint32, error) {
	panic("secret")
}

// unknownSecond is a Heartbeats that knows the first target alone.
type unknownSecond struct{}

func (unknownSecond) Heartbeat(context.Context, []*pb.HeartbeatTarget) ([]uint32, error) {
	return []uint32{1}, nil
}
