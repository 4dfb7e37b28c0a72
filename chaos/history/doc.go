// Package history records what clients asked and were answered, and judges it: is it linearizable, is every
// acknowledged write there.
//
// A Recorder keeps the operations on single registers in memory. A Log writes everything a run saw to a file, one JSON
// line each: operations of clients in several regions, messages of watches, digests, faults, marks; Read and Operations
// give them back, and package chaos/check judges them.
//
// A write whose outcome is not known stays open: it may have happened at any time after it was sent, or never.
// A Recorder and a Log are safe for concurrent use.
package history
