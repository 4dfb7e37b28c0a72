package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"supercluster/internal/fault"
)

// reason says, for people, why a probe failed.
func reason(ctx context.Context, t target, err error) string {
	var system syscall.Errno
	var network *net.OpError
	switch f, ok := fault.As(err); {
	case ok:
		return f.Text()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %v", t.timeout)
	case errors.As(err, &system):
		return system.Error()
	case errors.As(err, &network):
		return network.Err.Error()
	default:
		return err.Error()
	}
}

// lasting reports whether a write failed for a reason that trying again does not change.
func lasting(err error) bool {
	switch fault.KindOf(err) {
	case fault.Busy, fault.Unavailable, fault.OutcomeUnknown, fault.Deadline, fault.Canceled, fault.Exhausted:
		return false
	default:
		return true
	}
}
