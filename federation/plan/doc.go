// Package plan decides which endpoints a client of some place gets for a service. xDS, DNS and lookup all show
// the same plan.
//
// It is pure: a view and a client in, tiers of localities of weighted endpoints out. In this first form the order is
// fixed: tier 0 is this region, then comes one tier for each other region, by the region's name. A region without a
// healthy endpoint has no tier, so the next ones move up. Within a tier endpoints are grouped by zone. A region that
// is away keeps its endpoints: not hearing of it is no reason to drop them.
//
// Invariants:
//
//	I1 every instance of the service occurs exactly once: in a tier, among the draining, or excluded with a reason
//	I2 every weight is at least 1, and no address occurs twice in the tiers
//	I3 the same view, client and query give the same plan, in the same order
//	I4 priorities are contiguous from 0, and a tier holds endpoints of one region
//	I5 an address belongs to the nearest region that has an instance with it, healthy or not
//
// All functions may be called from any goroutine.
package plan
