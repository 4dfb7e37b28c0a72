package ca

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"supercluster/internal/fault"
)

// The names of the files of an identity.
const (
	RegionFile  = "region.yaml"
	FeedKeyFile = "feed.key"
	CAKeyFile   = "ca.key"
	CACertFile  = "ca.crt"
)

// maxFile bounds what is read from a file.
const maxFile = 64 << 10

// Paths says where the four files of an identity are.
type Paths struct{ Region, FeedKey, CAKey, CACert string }

// In gives the paths of an identity that Init wrote to a folder.
func In(dir string) Paths {
	return Paths{
		Region: filepath.Join(dir, RegionFile), FeedKey: filepath.Join(dir, FeedKeyFile),
		CAKey: filepath.Join(dir, CAKeyFile), CACert: filepath.Join(dir, CACertFile),
	}
}

// readFile reads one file of an identity; a secret one must be its owner's alone.
func readFile(what, path string, secret bool) ([]byte, error) {
	// Asked before it is opened: opening a pipe would wait for a writer.
	if info, err := os.Stat(path); err != nil {
		return nil, readFault(what, path, err)
	} else if !info.Mode().IsRegular() {
		return nil, fault.New(fault.Invalid, "%s %s is no regular file", what, path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, readFault(what, path, err)
	}
	defer file.Close()
	if secret {
		info, err := file.Stat()
		if err != nil {
			return nil, readFault(what, path, err)
		}
		if err := ownersAlone(what, path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, readFault(what, path, err)
	}
	if len(data) > maxFile {
		return nil, fault.New(fault.Invalid, "%s %s has more than %d bytes", what, path, maxFile)
	}
	return data, nil
}

// ownersAlone refuses a key that another user of the machine could have read.
func ownersAlone(what, path string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fault.New(fault.Invalid, "%s %s has mode %04o: others can use it", what, path, mode).WithHint("chmod 600 %s", path)
	}
	if owner, ok := owner(info); ok && owner != 0 && owner != os.Geteuid() {
		return fault.New(fault.Invalid, "%s %s belongs to user %d, and this process is user %d", what, path, owner, os.Geteuid()).
			WithHint("chown %d %s", os.Geteuid(), path)
	}
	return nil
}

func readFault(what, path string, err error) error {
	e := fault.Wrap(fault.Invalid, err, "cannot read %s %s", what, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.WithHint("`supercluster region init` makes it for a new region; for a further server copy it from another one of the region")
	case errors.Is(err, fs.ErrPermission):
		return e.WithHint("it must belong to the user that runs the server: chown %d %s", os.Geteuid(), path)
	}
	return e
}

// newFile is a file that Init writes.
type newFile struct {
	path string
	data []byte
	mode fs.FileMode
}

// writeNew writes files that do not exist yet, in their order, and makes them durable. Each appears whole or not at
// all. When one can not be written, those before it are removed again.
func writeNew(files []newFile) (err error) {
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil {
			return existsFault(f.path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return writeFault(f.path, err)
		}
	}
	var written []string
	defer func() {
		if err != nil {
			for _, path := range slices.Backward(written) {
				_ = os.Remove(path)
			}
		}
	}()
	for _, f := range files {
		if err := f.write(); err != nil {
			return err
		}
		written = append(written, f.path)
	}
	return nil
}

// write makes one file durable under another name and links it to its own: unlike a rename, that never replaces a
// file.
func (f newFile) write() (err error) {
	part := f.path + ".new"
	file, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.mode)
	if errors.Is(err, fs.ErrExist) {
		return existsFault(part)
	} else if err != nil {
		return writeFault(part, err)
	}
	defer func() { _ = os.Remove(part) }()
	// The mode once more: the umask may have taken bits that others need to read a certificate.
	_, err = file.Write(f.data)
	if err = errors.Join(err, file.Chmod(f.mode), file.Sync(), file.Close()); err != nil {
		return writeFault(f.path, err)
	}
	if err := os.Link(part, f.path); errors.Is(err, fs.ErrExist) {
		return existsFault(f.path)
	} else if err != nil {
		return writeFault(f.path, err)
	}
	return syncFolder(filepath.Dir(f.path))
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return writeFault(dir, err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return writeFault(dir, err)
	}
	return nil
}

func existsFault(path string) error {
	return fault.New(fault.Exists, "%s exists, and an identity is never overwritten", path).
		WithHint("choose another folder; if %s is left from an attempt that was cut short, remove it", path)
}

func writeFault(path string, err error) error {
	return fault.Wrap(fault.Invalid, err, "cannot write %s", path)
}
