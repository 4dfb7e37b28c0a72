//go:build !bug_tombstone_early

package state

// purgesReadable is whether a purge removes what was not compacted; only a build with a seeded bug does that.
const purgesReadable = false
