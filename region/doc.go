// Package region is one region's replicated store as everyone else uses it: propose, read, follow, call a node.
//
// It composes its children: region/store (what a replica keeps on its disk), region/node (the Raft group, grouped
// proposals, shared linearizable reads) and region/wire (the one port on which the nodes of the region talk). It
// owns the background work that a region needs wherever it runs: the region's identity, the node's own record,
// default compaction and purge, the claim of the state clock, the guard of free disk space. It knows nothing of what
// a record means, except the records of nodes.
//
// Invariants:
//
//	I1 a write that was acknowledged is on the disks of a majority and in the store of the node that acknowledged it
//	I2 a write is applied at most once, however often it was proposed
//	I3 after Linearize, reads on this node show every write that was acknowledged anywhere before the call
//	I4 Follow gives every commit after its start once and in order, or says that history is gone
//
// All methods of Region may be called concurrently; Handle only before Run.
package region
