// Package lifecycle starts the parts of a process in order and stops them in reverse.
//
// It owns the order, the wait for readiness and the stop deadlines; it never knows what a part does. The one
// caller is the composition root, which lists every part once.
//
// Invariants:
//
//	I1 a part starts only after every part before it is ready
//	I2 a part is told to stop only after every part that started later has ended, or overran its deadline
//	I3 Run returns only when every part has ended or overran; then the error is a *StuckError, and the process
//	   must exit, since something still runs
//	I4 a part that ends before it was told to stops the whole group
//
// A Group is used by one goroutine, once.
package lifecycle
