// Package liveness decides which other regions this one can reach, and at what cost.
//
// It is pure: what was probed, heard and told goes in with the time it happened at, by this node's own clock, and a
// plan.Reach comes out. Of each region there are two signals: its probe listener, which stands for the way that clients
// take, and its feed with the answers on the own link. A third is what other regions say that they reach: their rows.
//
// Invariants:
//
//	I1 a region whose probe listener answers here is never demoted, however old what it told is: that is kept as it was
//	I2 a region is suspect after 2 s and away after 5 s without a sign; being away orders it last and removes nothing
//	I3 who reaches nobody is the island: it freezes what it thought of the others and demotes nobody
//	I4 of the regions at most half, and at least one, go away on this region's word alone; more need another region's row
//	I5 a region that comes back must answer for a while, twice as long each time, so that one that flaps moves nobody
//	I6 only times of this node's own clock are compared, and a time in which it did not look is held against nobody
//
// A Machine belongs to one goroutine at a time.
package liveness
