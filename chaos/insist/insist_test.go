package insist

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc"

	"supercluster/internal/bubble"
)

// A request is repeated until one is answered, each attempt has its own time, and the last error is told when time is over.
func TestAsk(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		s := &Servers{Conns: make([]*grpc.ClientConn, 3), GiveUp: 5 * time.Second}
		asked := 0
		err := s.Ask(rand.IntN, func(ctx context.Context, _ *grpc.ClientConn) error {
			if asked++; asked == 3 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if err != nil || asked != 3 || s.Retried() != 2 {
			t.Errorf("%v after %d attempts, %d repeated", err, asked, s.Retried())
		}
		began, broken := time.Now(), errors.New("broken")
		err = s.Ask(rand.IntN, func(context.Context, *grpc.ClientConn) error { return broken })
		if took := time.Since(began); !errors.Is(err, broken) || took < s.GiveUp || took > s.GiveUp+time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
