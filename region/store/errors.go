package store

import (
	"errors"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"supercluster/internal/fault"
)

var errClosed = fault.New(fault.Unavailable, "the state is not open").WithHint("retry, perhaps on another node")

// diskFault converts an error of the file system or of Pebble. Faults pass unchanged.
func diskFault(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok {
		return err
	}
	switch {
	case pebble.IsCorruptionError(err):
		return fault.Wrap(fault.Corrupt, err, format, args...).
			WithHint(replaceHint)
	case errors.Is(err, syscall.ENOSPC):
		return fault.Wrap(fault.Exhausted, err, format, args...).WithHint("the disk is full: free some space")
	case errors.Is(err, fs.ErrPermission):
		return fault.Wrap(fault.Denied, err, format, args...).WithHint("let the server's user own the folder")
	case errors.Is(err, pebble.ErrClosed):
		return errClosed
	default:
		return fault.Wrap(fault.Internal, err, format, args...)
	}
}

func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
