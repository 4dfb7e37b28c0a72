// Package unary makes closed loops of unary gRPC calls over few connections, and takes little processor time for it.
//
// On a small machine the load generator shares the processors with what it measures, so what it needs counts against both
// sides. It owns one goroutine for each connection and no more: requests are encoded before, answers that arrived together
// are handled together, and the requests that follow them leave in one write. Each call is a stream of its own with a
// message of its own, and counts only when its answer is one whole message and its trailers say grpc-status 0.
// It never sends one call again, has no deadlines of calls, and speaks neither TLS nor compression. Load may be called
// from several goroutines.
package unary
