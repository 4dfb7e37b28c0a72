// Package plan decides which endpoints a client of some place gets for a service. xDS, DNS and lookup all show
// the same plan.
//
// It is pure: a view and a client in, tiers of localities of weighted endpoints out. In this first form it knows
// one region: one tier, all passing and warning endpoints that do not drain, grouped by zone.
//
// Invariants:
//
//	I1 every instance of the service occurs exactly once: in a tier, among the draining, or excluded with a reason
//	I2 every weight is at least 1, and no address occurs twice in the tiers
//	I3 the same view, client and query give the same plan, in the same order
//
// All functions may be called from any goroutine.
package plan
