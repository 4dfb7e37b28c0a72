package crashfs

import (
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// State is the disk as the state's database sees it.
func (d *Disk) State() vfs.FS { return stateFS{vfs.Default, d} }

type stateFS struct {
	vfs.FS // what only reads
	disk   *Disk
}

// Create makes a new file: one that had the name goes on without it.
func (s stateFS) Create(name string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return stateFileOf(s.disk.create(name, false, func() (*os.File, error) {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|syscall.O_CLOEXEC, 0o666)
	}))
}

func (s stateFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	if _, err := os.Stat(name); os.IsNotExist(err) {
		return s.Create(name, category)
	}
	return stateFileOf(s.disk.open(name, os.O_RDWR|syscall.O_CLOEXEC))
}

func (s stateFS) OpenDir(name string) (vfs.File, error) {
	return stateFileOf(s.disk.open(name, syscall.O_CLOEXEC))
}

// ReuseForWrite gives a file another name and writes over what is in it.
func (s stateFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.disk.rename(from, to); err != nil {
		return nil, err
	}
	return s.OpenReadWrite(to, category)
}

func (s stateFS) Link(from, to string) error { return s.disk.link(from, to) }

func (s stateFS) Rename(from, to string) error { return s.disk.rename(from, to) }

func (s stateFS) Remove(name string) error {
	return s.disk.remove(name, func() error { return os.Remove(name) })
}

func (s stateFS) RemoveAll(name string) error {
	return s.disk.remove(name, func() error { return os.RemoveAll(name) })
}

func (s stateFS) MkdirAll(name string, perm os.FileMode) error { return s.disk.mkdirAll(name, perm) }

// GetDiskUsage says how much room there is.
func (s stateFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	usage, err := s.FS.GetDiskUsage(path)
	usage.AvailBytes = s.disk.free(usage.AvailBytes)
	return usage, err
}

func (s stateFS) Unwrap() vfs.FS { return s.FS }

// stateFile is a handle as the database wants it. It gives no descriptor: what goes past it would not be known.
type stateFile struct{ *handle }

func stateFileOf(h *handle, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return stateFile{h}, nil
}

func (f stateFile) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	return stateInfo{info}, err
}

func (f stateFile) SyncData() error { return f.Sync() }

func (f stateFile) SyncTo(int64) (bool, error) { return false, nil } // promises nothing

func (f stateFile) Preallocate(int64, int64) error { return nil }

func (f stateFile) Prefetch(int64, int64) error { return nil }

func (f stateFile) Fd() uintptr { return vfs.InvalidFd }

// stateInfo does not say which device a file is on.
type stateInfo struct{ os.FileInfo }

func (stateInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
