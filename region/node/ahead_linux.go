package node

import (
	"errors"
	"os"

	"github.com/lni/vfs"
	"golang.org/x/sys/unix"
)

// reserve takes room on the disk for a file without a change of its size. Where that can not be, it gets room as it grows.
func reserve(file vfs.File, size int64) {
	if f, ok := file.(*os.File); ok {
		_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	}
}

// syncData makes durable what is in a file, and of what is noted of it as much as it takes to read that: not the time of the
// last write, which would be a change of the journal every few milliseconds.
func syncData(file vfs.File) error {
	f, ok := file.(*os.File)
	if !ok {
		return file.Sync()
	}
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
