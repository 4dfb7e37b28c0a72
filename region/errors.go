package region

import (
	"supercluster/internal/fault"
	"supercluster/region/record"
)

var errStarting = fault.New(fault.Unavailable, "this node is starting").WithHint("retry, perhaps on another node")

// statusFault gives an operation's status the form of an error; nil for OK.
func statusFault(op *record.Op, result *record.Result) error {
	kind, text := fault.Internal, "the region answered with an unknown status"
	switch result.Status {
	case record.StatusOK:
		return nil
	case record.StatusInvalid:
		kind, text = fault.Invalid, "the operation is malformed"
	case record.StatusTooLarge:
		kind, text = fault.TooLarge, "the operation is over a limit"
	case record.StatusNotFound:
		kind, text = fault.NotFound, "what the operation needs does not exist"
	case record.StatusExists:
		kind, text = fault.Exists, "it exists already"
	case record.StatusNotEmpty:
		kind, text = fault.Conflict, "it is not empty"
	case record.StatusCompacted:
		kind, text = fault.Compacted, "the revision is no longer kept"
	case record.StatusFuture:
		kind, text = fault.FutureRevision, "the revision does not exist yet"
	case record.StatusNoSpace:
		kind, text = fault.Exhausted, "the region is out of disk space; deletes still work"
	case record.StatusIdempotencyExpired:
		kind, text = fault.IdempotencyExpired, "the retry came too late to know whether the request ran"
	case record.StatusStale:
		kind, text = staleKind(op), "the operation came too late"
	case record.StatusQuota:
		kind, text = fault.Exhausted, "a quota is used up"
	case record.StatusDenied:
		kind, text = fault.Denied, "the record is reserved, or belongs to another region"
	case record.StatusNotHome:
		kind, text = fault.NotHome, "another region is the home of the record"
	case record.StatusFenced:
		kind, text = fault.Unavailable, "the region is fenced"
	}
	if result.Detail != "" {
		text = result.Detail
	}
	return fault.New(kind, "%s", text).WithRevision(result.Revision)
}

// staleKind: a stale tick, claim or operation of federation lost a race, which is ordinary. A stale write belongs to a group that the state has
// forgotten, or to an earlier start of this node: whether a copy of it ran before is not known.
func staleKind(op *record.Op) fault.Kind {
	if op.Type == record.OpClaim || op.Type == record.OpTick || op.Type >= record.OpPeer {
		return fault.Conflict
	}
	return fault.OutcomeUnknown
}
