// Package store keeps the region's state on disk, in Pebble, behind Dragonboat's on-disk state machine, and
// serves reads and followers from what was applied.
//
// It owns the state folder (FORMAT, CURRENT and the database that CURRENT names), the batch that one Update
// commits, the cache of newest versions, the ring of recent commits and the snapshots that catch a replica up.
// It never decides what an entry means (package state does), never talks to the network and never proposes.
//
// Invariants:
//
//	I1 one Update is one Pebble batch, and the applied index is in it, also when everything was rejected
//	I2 a view is published after its batch is committed and before Update returns; a reader sees whole batches only
//	I3 a cached version is the newest one at every published view that is not older than it
//	I4 a follower is given each commit after its start once, in order within its shard, or a Compacted fault
//	I5 memory does not grow with the number or the slowness of followers
//	I6 at every moment of a recovery from a snapshot the folder opens as the old state or as the new one
//	I7 what can not be applied stops the replica: no entry is skipped
//
// Dragonboat serialises Open, Update, Sync, PrepareSnapshot, RecoverFromSnapshot and Close. Everything else may be
// called concurrently with them and with itself, before Open and after Close too (it then answers Unavailable).
package store
