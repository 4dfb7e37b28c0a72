//go:build bug_ack_before_fsync

package node

import (
	"strings"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/vfs"
)

// logFS: a seeded bug, what is saved to the log is acknowledged without waiting for the disk.
func logFS(fs config.IFS) config.IFS { return unsynced{fs} }

type unsynced struct{ config.IFS }

func (u unsynced) Create(name string) (vfs.File, error) {
	f, err := u.IFS.Create(name)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return unsyncedFile{f}, nil
}

func (u unsynced) ReuseForWrite(from, name string) (vfs.File, error) {
	f, err := u.IFS.ReuseForWrite(from, name)
	if err != nil || !strings.HasSuffix(name, ".log") {
		return f, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ vfs.File }

func (unsyncedFile) Sync() error { return nil }
