// Package resources writes the intermediate form as the protobuf resources of Envoy and gRPC clients, and makes
// the bootstraps that point both at the servers of a region.
//
// It owns what a listener, route, cluster and endpoint assignment look like for each kind of client, their
// validation, and their encoding: deterministic bytes, named by the hash of their content. It knows nothing of
// streams, and it decides nothing about traffic: that was done in the plan.
//
// Invariants:
//
//	I1 the same input gives the same bytes, on every server and after every restart
//	I2 a resource that Build returns passed the validation rules of Envoy's protobuf, extensions included
//	I3 the config source of every reference is one constant: if it changed, Envoy would fetch everything anew
//	I4 gRPC clients get only what they accept: unique addresses, weights of at least 1, contiguous priorities
//
// All functions are pure and may be called from any goroutine.
package resources
