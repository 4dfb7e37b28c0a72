// Package record holds the nouns of the store, Key, Record, Txn, Event, Commit, Position, and their encodings.
//
// It owns every byte that the store writes to disk or to the log: keys, version rows, transaction rows, log
// entries and the snapshot stream (formats in docs/formats.md; golden files in testdata). It never does I/O and
// knows nothing of what a value means.
//
// Invariants:
//
//	I1 encoding a key keeps byte order for any name, NUL included
//	I2 decoding is total: any bytes give a value or an error, never a panic
//	I3 what was encoded once decodes for ever; a format is never changed, only added
//
// All values are plain data. They may be shared between goroutines as long as nobody changes them; values that
// came out of the store are never changed by anybody.
package record
