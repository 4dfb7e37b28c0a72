//go:build bug_split_index

package store

// splitsIndex: a seeded bug, the applied index is written before what was applied, in another batch.
const splitsIndex = true
