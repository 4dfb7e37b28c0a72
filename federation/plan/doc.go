// Package plan decides which endpoints a client of some place gets for a service. xDS, DNS and lookup all show
// the same plan.
//
// It is pure: a view, what is known of the other regions, and a client in; tiers of localities of weighted endpoints
// out. Tier 0 is this region, then comes one tier for each other region: by cost, those of unknown cost by name behind
// them, and last those that are away. A region without a healthy endpoint has no tier, so the next ones move up. Within
// a tier endpoints are grouped by zone. A region that is away keeps its endpoints: not hearing of it is no reason to drop
// them. A region that is suspect stands where it stood. When this region is an island, nobody counts as away.
//
// When no endpoint is healthy anywhere, the plan is of those that fail, marked as last known, unless the definition of the
// service says that it is fail-closed. Instances that were never checked, or that drain, are not among them.
//
// Invariants:
//
//	I1 every instance of the service occurs exactly once: in a tier, among the draining, or excluded with a reason
//	I2 every weight is at least 1, and no address occurs twice in the tiers
//	I3 the same view, reach, client and query give the same plan, in the same order
//	I4 priorities are contiguous from 0, and a tier holds endpoints of one region
//	I5 an address belongs to the nearest region that has an instance with it, healthy or not
//	I6 the tiers are of healthy endpoints, or all of them are of endpoints that were last known
//	I7 what is known of the regions changes the order of tiers, and which of two regions has an address that both claim;
//	   it takes no other endpoint away and adds none
//
// All functions may be called from any goroutine.
package plan
