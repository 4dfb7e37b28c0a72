// Package ir is the intermediate form between the registry and xDS resources: clusters, their endpoints and route
// tables of one tenant, in words that belong to no kind of client.
//
// It owns the names that clients use, the same in every region, and which cluster every route leads to. It takes
// endpoints from federation/plan and adds nothing to them. It is incremental: a step touches the services and
// route tables that changed and no others.
//
// Invariants:
//
//	I1 stepping through changes gives the same form as building from the last view
//	I2 a route leads to a cluster of the form, or it is marked as leading nowhere
//	I3 a name belongs to one service and port
//
// A Mesh belongs to one goroutine at a time; what it returns is immutable.
package ir
