// Package server is the API of a node: the native gRPC services, their HTTP/JSON form, health, reflection, and the
// listeners that other gRPC services (xDS) are registered on.
//
// It owns the way of a call from the wire to the region and back: one fixed chain (recover, request id, log,
// metrics, authenticate, authorize, quota, decode and validate, deadline), one table of methods, and one thin file
// for each service that converts, calls and converts. HTTP calls take the same chain in the same process. It owns no
// truth: names, rules and transactions are package registry's, permission package registry/access's, endpoints
// package federation/plan's, errors package api/status's.
//
// Invariants:
//
//	I1 no handler runs before its principal was allowed by the method's row, and none touches a resource before
//	   access.Decide allowed that resource; health alone asks nobody
//	I2 every registered method, whoever registered it, has a row in methods.go
//	I3 after a write was answered, reads on this node show it
//	I4 a client that does not read its stream costs one blocked send and is ended in bounded time
//	I5 what leaves the process as an error is the text of a fault, never that of its cause
//
// New starts nothing; Run serves until its context ends and every goroutine it started has ended. All methods may
// be called concurrently; RegisterService only before Run.
package server
