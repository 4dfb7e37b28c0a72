// Package check is the machine behind one health check: results in, transitions out.
//
// It owns the rules by which single results become the health of a check: the thresholds rise and fall, the first
// result, flap damping, the expiry of a TTL check and the guard against mass expiry. It never probes, never keeps
// time (time is an argument) and never writes; package health does.
//
// The rules:
//
//   - The first result of a check that has no health yet decides at once, whichever it is.
//   - A passing or warning check becomes critical after Fall failures in a row; any success between starts the
//     count anew.
//   - A critical check becomes passing or warning, whichever came last, after Rise successes in a row. Warning
//     counts as a success: the instance still gets traffic. Between passing and warning Rise holds as well.
//   - A TTL check becomes critical when no heartbeat came for its TTL, and what the next heartbeat says at once.
//   - Damping, off unless set, delays only recoveries: never a failure.
//
// Invariants:
//
//	I1 Observe reports a change exactly when Health changes
//	I2 a result equal to Health never changes anything but counters
//	I3 the same results at the same times give the same states
//
// All types are plain values; nothing here is shared, so everything is safe for concurrent use.
package check
