// Package load sends HTTP requests through a proxy, or calls by gRPC, at a fixed rate, whatever the answers take, and
// keeps every outcome, so that a step of the demo or of a chaos run can say exactly how many failed, and when.
//
// A gRPC client reads the bootstrap of xDS from the environment of its process, so it has one of its own, which prints
// its outcomes for a Log. A Load and a Log are safe for concurrent use; they bound their connections and the time of one
// request, and their memory is one small entry a request.
package load
