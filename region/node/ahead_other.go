//go:build !linux

package node

import "github.com/lni/vfs"

// reserve does nothing: a file gets its room as it grows.
func reserve(vfs.File, int64) {}

// syncData makes durable what is in a file.
func syncData(file vfs.File) error { return file.Sync() }
