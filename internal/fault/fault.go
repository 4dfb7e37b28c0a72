// Package fault is the one error type of SuperCluster and its closed list of kinds.
//
// It owns what kinds of failure exist and what each means to a caller. It never logs, never formats for a
// transport (package api/status maps kinds to gRPC codes, HTTP statuses and exit codes) and imports only the
// standard library. Values are immutable after they are made and safe for concurrent use.
//
// Foreign errors are converted once, where they enter (one errors.go per adapter); above that, code adds
// context with fmt.Errorf and %w, and KindOf still finds the kind.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a caller can do about an error. The list is append-only: numbers travel on the wire.
type Kind uint8

// The kinds.
const (
	// Internal is a broken invariant or an error nobody classified. A bug.
	Internal Kind = iota
	// Invalid is a request that can never succeed as it is. Field names the part that is wrong.
	Invalid
	// Unauthenticated: who calls is not known.
	Unauthenticated
	// Denied: who calls is known and may not do this.
	Denied
	// NotFound: the thing named does not exist.
	NotFound
	// Exists: the thing to create exists already.
	Exists
	// Conflict: a compare did not hold (If-Match, expect_revision), or the thing is in use. Read again, then retry.
	Conflict
	// Compacted: the revision asked for is no longer kept. Start from a newer one.
	Compacted
	// FutureRevision: the revision asked for does not exist yet.
	FutureRevision
	// TooLarge: a message, key, value or transaction is over its limit; the text names the limit.
	TooLarge
	// Exhausted: a quota is used up or the region is out of disk space. Deletes still work.
	Exhausted
	// Busy: too much is queued here now. Nothing was done; retry after a while.
	Busy
	// Unavailable: no leader, starting or stopping. Nothing was done; retry, perhaps on another node.
	Unavailable
	// OutcomeUnknown: the write may or may not have been applied. Retry with the same request id.
	OutcomeUnknown
	// IdempotencyExpired: a retry came so late that it is no longer known whether it was applied. Nothing was done.
	IdempotencyExpired
	// Unsupported: this version, or this configuration, does not do that.
	Unsupported
	// Corrupt: stored bytes failed a checksum or do not parse. The replica stops.
	Corrupt
	// Canceled: the caller went away.
	Canceled
	// Deadline: the time-out passed before a read finished or before a write was proposed. Nothing was done.
	Deadline
	// SlowConsumer: a stream did not keep up and was ended; resume from the revision given.
	SlowConsumer
	// NotHome: another region owns the record; the text names it.
	NotHome

	kindEnd
)

var kindNames = [kindEnd]string{
	"internal", "invalid", "unauthenticated", "denied", "not-found", "exists", "conflict", "compacted",
	"future-revision", "too-large", "exhausted", "busy", "unavailable", "outcome-unknown", "idempotency-expired",
	"unsupported", "corrupt", "canceled", "deadline", "slow-consumer", "not-home",
}

// String gives the name of the kind, as it stands in JSON answers, metrics and docs.
func (k Kind) String() string {
	if k < kindEnd {
		return kindNames[k]
	}
	return fmt.Sprintf("kind-%d", uint8(k))
}

// Kinds lists every kind, in order.
func Kinds() []Kind {
	all := make([]Kind, kindEnd)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// KindNamed finds a kind by its name.
func KindNamed(name string) (Kind, bool) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), true
		}
	}
	return Internal, false
}

// Retryable reports whether the same request may succeed later without being changed. A write whose outcome is
// unknown is retryable only with the same request id.
func (k Kind) Retryable() bool {
	switch k {
	case Busy, Unavailable, OutcomeUnknown, SlowConsumer:
		return true
	default:
		return false
	}
}

// Error is an error with a kind.
type Error struct {
	Kind Kind
	// Message is for people and complete without the rest: what is wrong.
	Message string
	// Field is the path of the request field that is wrong, in the API's spelling; empty when none is.
	Field string
	// Hint says what to do about it; empty when the message does.
	Hint string
	// RetryAfter is how long to wait before a retry; 0 when nothing is known.
	RetryAfter time.Duration
	// Revision is the revision that goes with Compacted (the oldest kept), FutureRevision (the newest), Conflict
	// (the current one) and SlowConsumer (the one to resume from); 0 when there is none.
	Revision uint64
	// Err is the cause, kept for logs; its text is not part of the message.
	Err error
}

// New makes an error of a kind.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an error of a kind with a cause.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// Field makes an Invalid error about one field of a request.
func Field(field, format string, args ...any) *Error {
	return &Error{Kind: Invalid, Field: field, Message: fmt.Sprintf(format, args...)}
}

// WithHint returns a copy that says what to do.
func (e *Error) WithHint(format string, args ...any) *Error {
	c := *e
	c.Hint = fmt.Sprintf(format, args...)
	return &c
}

// WithRevision returns a copy with a revision.
func (e *Error) WithRevision(revision uint64) *Error {
	c := *e
	c.Revision = revision
	return &c
}

// WithRetryAfter returns a copy with a time to wait.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error gives the whole text: field, message, hint and cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Text())
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Text gives what may leave the process: field, message and hint, without the cause.
func (e *Error) Text() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString(e.Field)
		b.WriteString(": ")
	}
	b.WriteString(e.Message)
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf finds the kind of an error: that of the first Error in its chain, Canceled and Deadline for those of
// package context, else Internal.
func KindOf(err error) Kind {
	if e, ok := As(err); ok {
		return e.Kind
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	default:
		return Internal
	}
}

// Is reports whether an error is of a kind. A nil error is of none.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// As finds the first Error in a chain.
func As(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}
