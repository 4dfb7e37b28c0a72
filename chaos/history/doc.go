// Package history records what clients asked and were answered, and judges it: is it linearizable, is every
// acknowledged write there.
//
// A write whose outcome is not known stays open: it may have happened at any time after it was sent, or never.
// A Recorder is safe for concurrent use.
package history
