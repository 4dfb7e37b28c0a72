// Package live keeps the registry's view up to date: it loads it from the store, follows the events and publishes
// each new view through one atomic pointer.
//
// It never writes, never holds up the store (commits that queue while a view is built become one step), and
// never shows half a commit.
//
// Invariants:
//
//	I1 View is never nil and its position never goes back while the Runner runs
//	I2 whoever follows sees every change, merged while it is busy, and a rebuild as "all"
//	I3 when history is gone the view is rebuilt from the store, never patched over the gap
//
// All methods may be called from any goroutine; Run once.
package live
