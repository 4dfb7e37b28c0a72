package status

import (
	"math"

	"supercluster/internal/fault"
)

// Body is an error as HTTP answers show it.
type Body struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Revision goes with compacted, future-revision, conflict and slow-consumer.
	Revision  uint64 `json:"revision,omitempty,string"`
	RequestID string `json:"request_id,omitempty"`
	// RetryAfterSeconds is the Retry-After header, rounded up.
	RetryAfterSeconds int64 `json:"retry_after_seconds,omitempty"`
}

// NewBody makes the HTTP form of an error.
func NewBody(err error, requestID string) Body {
	e := Public(err)
	return Body{
		Kind: e.Kind.String(), Message: e.Message, Field: e.Field, Hint: e.Hint, Revision: e.Revision, RequestID: requestID,
		RetryAfterSeconds: int64(math.Ceil(e.RetryAfter.Seconds())),
	}
}

// Fault rebuilds the fault that a server sent over HTTP.
func (b Body) Fault() *fault.Error {
	kind, ok := fault.KindNamed(b.Kind)
	if !ok {
		kind = fault.Internal
	}
	return &fault.Error{Kind: kind, Message: b.Message, Field: b.Field, Hint: b.Hint, Revision: b.Revision}
}
