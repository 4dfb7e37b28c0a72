//go:build bug_tombstone_early

package state

// purgesReadable: a seeded bug, a purge removes tombstones that were not compacted: who goes on from before a deletion
// never hears of it.
const purgesReadable = true
