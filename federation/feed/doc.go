// Package feed is the protocol by which regions replicate to each other, as a machine: bytes and states in, messages and
// log operations out.
//
// It owns who may be served what, and what may be taken over: the rules on incarnations, sequences, chains and
// signatures, the cutting of batches and snapshots, byte credit, and the proofs by which a region finds that it runs on
// old data. What an operation does to the store is package state's part, which judges cursor, chain and digest again
// when the operation is applied. It never does I/O, starts no goroutine and reads no clock; time and keys are arguments.
//
// Invariants:
//
//	I1 nothing is taken over that is not closed by a head signed by the region it is about
//	I2 nobody is served older history than what it has: a server that is behind refuses
//	I3 a relay passes on records and heads byte for byte, and only to the audience that their home named
//	I4 a region fences itself only for a head that it signed itself
//	I5 a server holds no bytes for a peer that were not asked for: credit is spent before a message is made
//
// An Exporter and an Importer belong to one goroutine each.
package feed
