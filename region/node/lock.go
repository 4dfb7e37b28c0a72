package node

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"supercluster/internal/fault"
)

// lockFolder keeps a second process out of a data folder. The lock ends with the process, however it ends.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, folderFault(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fault.Wrap(fault.Conflict, err, "data folder %s is used by another process", dir).
				WithHint("stop it, or set another data-dir")
		}
		return nil, folderFault(dir, err)
	}
	return f, nil
}

func folderFault(dir string, err error) error {
	if _, ok := fault.As(err); ok {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, "data folder %s can not be used", dir).
		WithHint("it must be a folder on a local disk that this process may write")
}
