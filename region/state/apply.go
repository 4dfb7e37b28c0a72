package state

import (
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// Outcome is what an entry did.
type Outcome struct {
	// Results has one result for each operation.
	Results []record.Result
	// Commits has one commit for each revision, in the order in which they were made; those of a shard ascend.
	Commits []record.Commit
}

// Apply applies one entry. An error means that this replica cannot know what the others did and must stop.
func Apply(kv KV, index uint64, e *record.Entry) (Outcome, error) {
	return Outcome{}, fault.New(fault.Internal, "Apply is being written")
}
