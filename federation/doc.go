// Package federation exchanges records with other regions.
//
// It owns the runner of the feed protocol: serving the channels of this region (and what it has of others) to peers,
// taking theirs over while this node leads, the duties of the leader that go with it (backfills, trims, healing), joining
// with other regions, calls between regions, and what is known of links, lag and age. Rules are package feed's, transport
// is package link's, and what an operation does to the store is package state's.
//
// Invariants:
//
//	I1 of a region only the leader takes channels over, and one upstream at a time serves a channel; a change of leader or
//	   upstream loses nothing, since every operation checks its cursor when it is applied
//	I2 any node serves; one that is behind refuses who is ahead of it
//	I3 start-up never waits for a peer, and nothing is removed because a peer is away
//	I4 what a peer sends is bounded: bytes by credit, calls and streams by number
//
// All methods may be called concurrently; Run once.
package federation
