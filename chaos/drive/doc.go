// Package drive runs the plans of chaos seeds over a world that a tier gives it: what is common to every tier. It owns the
// flags and the loop over seeds, the time line of a plan (warm, faults, heal, last reads), the clients and their mix, the
// watches, what is written to the history, and when a run is judged and void.
//
// A tier gives a world: how its regions start and are asked, what each kind of nemesis does to them, and which digests they
// have. The driver never looks behind that, so the same is asked, written down and judged whatever the world is made of. It
// owns no rules of its own: plans are package schedule's, judgement is package check's, the report is package report's.
//
// Main belongs to one goroutine. A Run, a Site and what a World gives are used by all clients, watches and nemeses at once.
package drive
