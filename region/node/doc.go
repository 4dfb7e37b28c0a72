// Package node is one replica of the region's Raft group, on Dragonboat with Tan as its log.
//
// It owns the data folder's identity and lock, the start and stop of the replica, the way writes go into the log
// (grouped, proposed again when dropped, exactly once), shared linearizable reads and what is known of the leader.
// It never looks into the state machine, which it is given, and never decides what a write means.
//
// Invariants:
//
//	I1 a folder is used by one process, by the node, region and format that made it, with a boot number never used before
//	I2 an empty folder never votes, unless its start was told to bootstrap and no member knows the region
//	I3 one group sequence names one group for ever; a group is proposed again only under its own sequence
//	I4 a write answered with "nothing was done" is in no log and never will be
//	I5 a read's index was taken from the leader after the read arrived
//	I6 one write costs at most one fsync of the log on each replica
//
// All methods of Node may be called concurrently.
package node
