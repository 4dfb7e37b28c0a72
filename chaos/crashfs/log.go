package crashfs

import (
	"os"
	"syscall"

	"github.com/lni/vfs"
)

// Log is the disk as the Raft log sees it.
func (d *Disk) Log() vfs.FS { return logFS{vfs.Default, d} }

type logFS struct {
	vfs.FS // what only reads
	disk   *Disk
}

// Create makes a file, or empties the one that is there.
func (l logFS) Create(name string) (vfs.File, error) {
	return logFileOf(l.disk.create(name, true, func() (*os.File, error) {
		return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|syscall.O_CLOEXEC, 0o666)
	}))
}

// Open opens a file to be read. The log syncs its folders by what this gives as well.
func (l logFS) Open(name string, _ ...vfs.OpenOption) (vfs.File, error) { return l.OpenDir(name) }

func (l logFS) OpenDir(name string) (vfs.File, error) {
	return logFileOf(l.disk.open(name, syscall.O_CLOEXEC))
}

func (l logFS) OpenForAppend(name string) (vfs.File, error) {
	return logFileOf(l.disk.open(name, os.O_RDWR|os.O_APPEND|syscall.O_CLOEXEC))
}

// ReuseForWrite gives a file another name and writes over what is in it.
func (l logFS) ReuseForWrite(from, to string) (vfs.File, error) {
	if err := l.disk.rename(from, to); err != nil {
		return nil, err
	}
	return logFileOf(l.disk.open(to, os.O_RDWR|syscall.O_CLOEXEC))
}

func (l logFS) Link(from, to string) error { return l.disk.link(from, to) }

func (l logFS) Rename(from, to string) error { return l.disk.rename(from, to) }

func (l logFS) Remove(name string) error {
	return l.disk.remove(name, func() error { return os.Remove(name) })
}

func (l logFS) RemoveAll(name string) error {
	return l.disk.remove(name, func() error { return os.RemoveAll(name) })
}

func (l logFS) MkdirAll(name string, perm os.FileMode) error { return l.disk.mkdirAll(name, perm) }

// logFile is a handle as the log wants it.
type logFile struct{ *handle }

func logFileOf(h *handle, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return logFile{h}, nil
}

func (f logFile) Stat() (os.FileInfo, error) { return f.File.Stat() }
