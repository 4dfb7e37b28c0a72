package registry

import "supercluster/region/record"


// Write is what goes with every write beside its content.
type Write struct {
	// RequestID makes the write exactly-once; empty when the client sent none.
	RequestID string
	// Seen is the highest revision the client had seen when it first sent RequestID.
	Seen uint64
	// Writer says who writes, when and why.
	Writer record.Writer
	// Trace ties the write to the commit that it becomes.
	Trace record.Trace
}
