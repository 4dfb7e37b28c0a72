// Package status is the one table that says how each kind of failure leaves the process: gRPC code, HTTP status,
// exit code of the command line and a sentence of help. It turns a fault into a google.rpc.Status and back.
//
// It owns the mapping and the shape of errors on the wire. It never logs, never decides what went wrong and never
// lets the cause of an error out: only the text that fault.Error.Text gives leaves the process.
//
// Invariants:
//
//	I1 every kind has a row, and docs/errors.md lists them all (a test compares)
//	I2 FromGRPC(ToGRPC(err)) keeps kind, message, field, hint, revision and time to wait
//	I3 no text of a wrapped or foreign error is in what ToGRPC or NewBody give
//
// Everything here may be called concurrently.
package status
