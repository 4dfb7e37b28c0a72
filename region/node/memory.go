package node

import (
	_ "unsafe" // for go:linkname

	_ "github.com/lni/dragonboat/v4" // its variables are set before ours are read
)

// Sizes of the slice in which Dragonboat keeps the entries that are not applied yet. After each entry that is applied
// while no other waits it makes a new one, of 512 entries by its own setting: 45 KiB for each write of a client that
// waits for its answer, on each server. A slice that is too small grows as entries come.
const (
	entrySliceSize     = 16
	entrySliceFreeSize = 4
)

// Dragonboat reads these from a file in the working directory or takes its own; it has no other way to set them.

//go:linkname raftEntrySliceSize github.com/lni/dragonboat/v4/internal/raft.entrySliceSize
var raftEntrySliceSize uint64

//go:linkname raftEntrySliceFreeSize github.com/lni/dragonboat/v4/internal/raft.minEntrySliceSize
var raftEntrySliceFreeSize uint64

func init() { raftEntrySliceSize, raftEntrySliceFreeSize = entrySliceSize, entrySliceFreeSize }
