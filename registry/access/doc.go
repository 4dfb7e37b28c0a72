// Package access decides who may do what.
//
// It owns principals, roles, verbs and the one decision function that every call of every listener passes. It
// never authenticates anybody: who a caller is comes from the listener, by certificate, and travels in the
// context. It never logs and keeps no state.
//
// Invariants:
//
//	I1 what no rule allows is denied, also for a verb, kind or role that this version does not know
//	I2 a context without a principal is anonymous, and anonymous may do nothing
//
// All functions are pure and may be called from any goroutine.
package access
