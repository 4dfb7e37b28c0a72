// Package record holds the nouns of the store, Key, Record, Txn, Event, Commit, Position, and their encodings.
//
// It owns every byte that the store writes to disk or to the log: keys, version rows, transaction rows, bookkeeping
// rows, log entries, result vectors and the snapshot stream (formats in docs/formats.md; golden files in testdata). It
// never does I/O of its own and knows nothing of what a value means. What entries and rows do is package state.
//
// Invariants:
//
//	I1 encoding a key keeps byte order for any name, NUL included, and no key is the beginning of another
//	I2 decoding is total: any bytes give a value or an error, never a panic, and never more memory than they account for
//	I3 what was encoded once decodes for ever; a format is never changed, only added
//	I4 an error of a decoder is Corrupt or Unsupported and says what to do; whoever decodes a log entry must stop on it
//
// All values are plain data. They may be shared between goroutines as long as nobody changes them; values that
// came out of the store are never changed by anybody.
package record
