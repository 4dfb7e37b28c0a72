package xds

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"supercluster/internal/fault"
)

// toStatus says why a stream ended in gRPC's words. These streams have clients of their own that know no other
// errors than codes, so the table is here and short.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	f, ok := fault.As(err)
	if !ok {
		if errors.Is(err, context.Canceled) {
			return status.Error(codes.Canceled, "the stream was cancelled")
		}
		return err // gRPC's own
	}
	return status.Error(codeOf(f.Kind), f.Text())
}

func codeOf(k fault.Kind) codes.Code {
	switch k {
	case fault.Invalid:
		return codes.InvalidArgument
	case fault.Denied:
		return codes.PermissionDenied
	case fault.Unauthenticated:
		return codes.Unauthenticated
	case fault.Unavailable:
		return codes.Unavailable
	case fault.Busy, fault.Exhausted, fault.TooLarge:
		return codes.ResourceExhausted
	case fault.Deadline, fault.SlowConsumer:
		return codes.DeadlineExceeded
	case fault.Canceled:
		return codes.Canceled
	default:
		return codes.Internal
	}
}
