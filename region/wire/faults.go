package wire

import "time"

// Kind is a kind of connection. Numbers travel in the first frame: they are never reused.
type Kind uint8

// The kinds of connection.
const (
	KindRaft     Kind = 1
	KindSnapshot Kind = 2
	KindNode     Kind = 3
	KindProbe    Kind = 4 // asks whether the region exists, once
)

// String gives the name of the kind.
func (k Kind) String() string {
	switch k {
	case KindRaft:
		return "raft"
	case KindSnapshot:
		return "snapshot"
	case KindNode:
		return "node"
	case KindProbe:
		return "probe"
	default:
		return "unknown"
	}
}

// Fault is what happens to one frame on its way.
type Fault struct {
	// Drop loses the frame.
	Drop bool
	// Duplicate sends it twice.
	Duplicate bool
	// Delay sends it later. Frames behind it on the same connection are not held up, so unequal delays reorder.
	Delay time.Duration
}

// Faults decides the fate of each frame that a node sends to another, for tests and chaos. It must be safe for
// concurrent use and quick. Connections are refused while Dial says so.
type Faults interface {
	// Frame is asked before each frame is sent.
	Frame(from, to string, kind Kind) Fault
	// Dial is asked before each connection is made; an error refuses it.
	Dial(from, to string, kind Kind) error
}
