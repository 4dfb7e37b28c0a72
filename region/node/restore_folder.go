package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"supercluster/internal/fault"
)

// restoreLeaves is what a restore that did not end may have left, in the order in which it goes: what tells of it goes last.
func restoreLeaves() []string {
	return []string{identityName + ".new", raftName, stateName, restoreName}
}

// restoreUnfinished reports whether a folder without an identity holds what a restore left that did not end.
func restoreUnfinished(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, restoreName))
	return err == nil
}

// beginRestore marks an unused folder as one that is being restored. What an earlier restore left that did not end is
// removed first; a folder with anything else in it is refused.
func beginRestore(dir string) error {
	if restoreUnfinished(dir) {
		if err := holdsOnly(dir, restoreLeaves()...); err != nil {
			return err
		}
		if err := clearRestore(dir); err != nil {
			return err
		}
	}
	if err := unused(dir); err != nil {
		return err
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, restoreName), 0o700), syncFolder(dir)); err != nil {
		return folderFault(dir, err)
	}
	return nil
}

// clearRestore removes what a restore left. The folder is one that only a restore wrote to.
func clearRestore(dir string) error {
	for _, name := range restoreLeaves() {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return folderFault(dir, err)
		}
	}
	return nil
}

// dropRestore removes what a restore needed only while it ran. Also a start does, when the restore was killed at its end:
// a node that has run must never look like one whose restore did not end.
func (f *Folder) dropRestore() error {
	path := filepath.Join(f.dir, restoreName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := errors.Join(os.RemoveAll(path), syncFolder(f.dir)); err != nil {
		return folderFault(f.dir, err)
	}
	return nil
}

// unfinishedFault refuses a folder whose restore did not end.
func unfinishedFault(dir string) error {
	return fault.New(fault.Conflict, "data folder %s holds a restore that did not end: nothing in it is served", dir).
		WithHint("run `supercluster backup restore FILE --config CONFIG` again, which removes what is there and begins anew; to give it up, remove the folder")
}

// syncAll makes a folder durable with everything in it.
func syncAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncFolder(path)
	})
}
