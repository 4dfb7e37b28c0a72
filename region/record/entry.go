package record

import "supercluster/internal/fault"

// Entry is one entry of the log: a group of operations that one proposer sent together. They are applied in order, each
// on its own, and get consecutive revisions.
type Entry struct {
	// Level is the feature level that a replica needs to apply the entry.
	Level uint32
	// Replica, Boot and Sequence name the group. Boot counts the starts of the replica; Sequence counts its groups since
	// then. A group that is proposed again under the same name runs once.
	Replica  uint64
	Boot     uint64
	Sequence uint64
	// Time is the wall time of the proposer in Unix nanoseconds, for display only.
	Time int64
	Ops  []Op

	size int
}

// Size is the number of bytes the entry was decoded from, 0 if it was not.
func (e *Entry) Size() int { return e.size }

// AppendEntry appends the encoding of an entry. It fails, with dst as it was, for an entry over a limit or one that
// DecodeEntry would refuse.
func AppendEntry(dst []byte, e *Entry) ([]byte, error) {
	return dst, fault.New(fault.Internal, "AppendEntry is being written")
}

// DecodeEntry reads an entry. Values point into b, which must never change afterwards; names are copies. A replica that
// gets an error (Corrupt or Unsupported) must stop: what it cannot read, others may have applied.
func DecodeEntry(b []byte) (*Entry, error) {
	return nil, fault.New(fault.Internal, "DecodeEntry is being written")
}

// AppendResults appends the encoding of a result vector: the answer of an entry, one result for each operation.
func AppendResults(dst []byte, results []Result) []byte { return dst }

// DecodeResults reads a result vector. Values point into b.
func DecodeResults(b []byte) ([]Result, error) { return nil, nil }
