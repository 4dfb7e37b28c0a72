package history

// Type is what a line of a history file tells.
type Type string

// The types of line. Each invoke has at most one end: ok, fail (it surely did not happen) or unknown (it may have
// happened at any time after it was sent, or never). An invoke without an end is unknown.
const (
	Invoke  Type = "invoke"
	OK      Type = "ok"
	Fail    Type = "fail"
	Unknown Type = "unknown"
	Watched Type = "watch"
	Digests Type = "digest"
	Faulted Type = "fault"
	Marked  Type = "mark"
	Stated  Type = "state"
	Lived   Type = "life"
)

// The marks of a run.
const (
	MarkFaults = "faults" // the warm phase is over
	MarkHeal   = "heal"   // every fault has ended
	MarkQuiet  = "quiet"  // no client writes any more
)

// Line is one line of a history file.
type Line struct {
	At     int64  `json:"at"` // nanoseconds since the start of the history, monotonic
	Type   Type   `json:"type"`
	ID     uint64 `json:"id,omitempty"` // the operation: it pairs an invoke with its end
	Client int    `json:"client,omitempty"`
	Region string `json:"region,omitempty"` // where the client asked
	Node   string `json:"node,omitempty"`

	Call   *Call   `json:"call,omitempty"`   // of invoke
	Answer *Answer `json:"answer,omitempty"` // of ok
	Watch  *Watch  `json:"watch,omitempty"`
	Digest *Digest `json:"digest,omitempty"`
	Fault  *Fault  `json:"fault,omitempty"`
	State  *State  `json:"state,omitempty"`
	Life   *Life   `json:"life,omitempty"`
	Text   string  `json:"text,omitempty"` // the mark, or the error of fail and unknown
}

// The kinds of call, for counting: every call is a transaction.
const (
	CallPut     = "put"
	CallGet     = "get"
	CallDelete  = "delete"
	CallCAS     = "cas"
	CallTxn     = "txn"
	CallConfig  = "config"  // a write of configuration
	CallService = "service" // a write of a service's instance
	CallLookup  = "lookup"  // a read of what another region wrote
)

// Call is what a client asked: if every entry of Compare holds, the steps happen at once; otherwise nothing does.
type Call struct {
	Kind    string  `json:"kind"`
	Source  string  `json:"source,omitempty"` // the region that wrote what is looked up
	Compare []Entry `json:"compare,omitempty"`
	Steps   []Step  `json:"steps"`
}

// Writes reports whether the call changes anything.
func (c *Call) Writes() bool {
	for _, s := range c.Steps {
		if s.Do != DoGet {
			return true
		}
	}
	return false
}

// Entry is a key and its value; "" is a key that is not there. No client writes an empty value.
type Entry struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// What a step does.
const (
	DoGet    = "get"
	DoPut    = "put"
	DoDelete = "delete"
)

// Step is one step of a call.
type Step struct {
	Do    string `json:"do"`
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// Answer is what a client was answered.
type Answer struct {
	Refused  bool     `json:"refused,omitempty"`  // Compare did not hold
	Values   []string `json:"values,omitempty"`   // of each get, in order
	Revision uint64   `json:"revision,omitempty"` // of a write that happened
	// Age is the declared age of a lookup in nanoseconds; AgeUnknown says that the server declared that it does not know.
	Age        *int64 `json:"age,omitempty"`
	AgeUnknown bool   `json:"age_unknown,omitempty"`
}

// What a watch line tells.
const (
	WatchOpen     = "open"     // it asks for what is after Revision
	WatchEvent    = "event"    // all that one revision changed
	WatchProgress = "progress" // everything up to Revision was given
)

// Watch is one message of a watch. A watch that is opened again under its name resumes.
type Watch struct {
	Name     string   `json:"name"`
	Event    string   `json:"event"`
	Revision uint64   `json:"revision"`
	Changes  []Change `json:"changes,omitempty"`
	// Bulk says that the changes came from a snapshot of their source: older versions may be left out.
	Bulk bool `json:"bulk,omitempty"`
}

// Change is one change of one key.
type Change struct {
	Key     string `json:"key"`
	Value   string `json:"value,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	// Source is the region that made the change; empty when it is the one that is watched.
	Source  string `json:"source,omitempty"`
	Channel string `json:"channel,omitempty"` // of the source: changes of one channel come in order
}

// Digest is what a region (of the line) has of a channel of a source, itself included.
type Digest struct {
	Source  string `json:"source"`
	Channel string `json:"channel"`
	Digest  string `json:"digest"`
}

// Fault is one nemesis, when it began or when it ended.
type Fault struct {
	Number int    `json:"number"` // in the plan, from 0
	Kind   string `json:"kind"`
	Ended  bool   `json:"ended,omitempty"`
	// Effect says at the end that the fault was seen to work, and Evidence by what.
	Effect   bool   `json:"effect,omitempty"`
	Evidence string `json:"evidence,omitempty"`
	// Stuck says at the end why what the fault had stopped did not come back.
	Stuck string `json:"stuck,omitempty"`
}

// Life says that a region went back in time: it was started from data that are older than what it had told. Its revisions
// begin anew there. It is written twice: when the old life has ended, before any server of the new one runs, and, with
// Healed, when the region has brought back what it lost, at the Revision that it had then. No client of the region asks
// in between.
type Life struct {
	Healed   bool   `json:"healed,omitempty"`
	Revision uint64 `json:"revision,omitempty"`
}

// State is all that a region had at a revision, when nobody wrote.
type State struct {
	Revision uint64  `json:"revision"`
	Entries  []Entry `json:"entries"`
	// Fences is how often the region has fenced itself.
	Fences uint64 `json:"fences,omitempty"`
}
