//go:build !bug_split_index

package store

// splitsIndex is whether the applied index goes into another batch than what was applied; only a build with a seeded bug
// does that.
const splitsIndex = false
