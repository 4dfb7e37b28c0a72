// Package gate judges the rows of a benchmark by rules that hold on any machine.
//
// It knows counts and order: what must be there, how often, and that ours is ahead of the peer that was measured beside
// it. It never judges an absolute time: that says more of the machine than of the change, and is read from the table,
// beside its floor. It has no state and starts nothing.
package gate
