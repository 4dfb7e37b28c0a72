// Package state is the deterministic machine of a region: it applies log entries to an ordered key-value store and
// reads records, history and commits back.
//
// It owns what an entry does: revisions, versions, transactions, tenancy, dedupe, compaction and purge, alarms and the
// state clock. It never does I/O of its own, starts no goroutine, reads no clock and knows nothing of what a value means.
//
// Invariants:
//
//	I1 the same entries on the same rows give the same rows, results and commits, in every process and version
//	I2 an entry is applied whole or Apply fails and the replica stops; nothing is skipped
//	I3 each operation that changes something moves the revision of its shard by one; nothing else moves it
//	I4 a key changes at most once in a revision, so (key, modify revision) is unique
//	I5 a version that is visible at the compacted revision or later is never removed
//	I6 a group or request id that ran once never runs again
//
// Apply is called by one goroutine at a time. The reading functions may run concurrently with it on a Reader that shows
// one consistent snapshot.
package state
