// Package cli is the client verbs of the command line: everything that asks a server.
//
// It owns flags, contexts, the choice among several servers, retries, and how answers and errors are printed. It
// never judges a request that the server judges, and it keeps no state but the context file.
//
// Invariants:
//
//	I1 an error is one line on the error output, `error: ` and what to do, and an exit code of the table in
//	   package api/status
//	I2 a write is sent again only with the request id it had first
//	I3 what scripts read (-o json, -o yaml) is the API's own form; colour goes to terminals only
//
// An App belongs to one goroutine.
package cli
