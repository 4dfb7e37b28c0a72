package crashfs

import (
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Losses is what a power loss took and what it left of what was not synced.
type Losses struct {
	Dropped int64 // bytes that were written to files
	Kept    int64
	Names   int // changes of folders that were dropped
}

// Left writes what is left of a disk that was cut into a folder that is not there yet. The random numbers are for what is
// kept; Nothing needs none.
func (d *Disk) Left(to string, keep Keep, random *rand.Rand) (l Losses, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dark {
		return l, errors.New("the power of the disk was not cut")
	}
	c := choose(keep, random, d.pieces())
	all, err := os.ReadDir(d.root)
	if err = errors.Join(d.failed, err); err == nil {
		err = os.MkdirAll(to, 0o700)
	}
	for _, e := range all {
		if err != nil {
			break
		}
		path := filepath.Join(to, e.Name())
		switch f := d.folders[e.Name()]; {
		case f != nil:
			err = f.write(path, c, &l)
		default:
			err = copyAll(filepath.Join(d.root, e.Name()), path)
		}
	}
	return l, err
}

// pieces are all changes that are not durable.
func (d *Disk) pieces() (all []piece) {
	seen := map[entry]bool{}
	for _, f := range d.folders {
		if f != nil {
			all = append(all, f.pieces(seen)...)
		}
	}
	return all
}

// write writes what is left of a folder.
func (d *folder) write(path string, c *choice, l *Losses) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	left := d.after(c, l)
	for _, name := range slices.Sorted(maps.Keys(left)) {
		var err error
		switch e := left[name].(type) {
		case *folder:
			err = e.write(filepath.Join(path, name), c, l)
		case *file:
			err = os.WriteFile(filepath.Join(path, name), e.after(c, l), 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyAll copies what is not known as it is. What its owner takes away meanwhile is not there.
func copyAll(from, to string) error {
	info, err := os.Stat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return os.CopyFS(to, os.DirFS(from))
	}
	b, err := os.ReadFile(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, info.Mode().Perm())
}
