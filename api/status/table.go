package status

import (
	"net/http"

	"google.golang.org/grpc/codes"

	"supercluster/internal/fault"
)

// Row says how one kind of failure is shown.
type Row struct {
	Code codes.Code
	HTTP int
	// Exit is the exit code of the command line.
	Exit int
	// Help says what the kind means and what to do, for people.
	Help string
}

// Exit codes that stand for more than one kind.
const (
	exitInternal = 1
	exitUsage    = 2
	exitDenied   = 3
	exitNotFound = 4
	exitConflict = 5
	exitRetry    = 6
	exitUnknown  = 7
	exitHistory  = 8
	exitExpired  = 9
	exitFull     = 10
	exitNotHome  = 11
	exitCanceled = 130
)

// statusClientClosed is what proxies log for a caller that went away; no client reads it.
const statusClientClosed = 499

var table = [...]Row{
	fault.Internal:           {codes.Internal, http.StatusInternalServerError, exitInternal, "A bug. Report it with the request id; the server's log has the cause."},
	fault.Invalid:            {codes.InvalidArgument, http.StatusBadRequest, exitUsage, "The request can never succeed as it is. The field says which part to change."},
	fault.Unauthenticated:    {codes.Unauthenticated, http.StatusUnauthorized, exitDenied, "The server does not know who calls. Use a client certificate that it accepts."},
	fault.Denied:             {codes.PermissionDenied, http.StatusForbidden, exitDenied, "The caller may not do this. Ask an operator to list the certificate's name in another role."},
	fault.NotFound:           {codes.NotFound, http.StatusNotFound, exitNotFound, "The thing named does not exist. Check its name, tenant and namespace."},
	fault.Exists:             {codes.AlreadyExists, http.StatusConflict, exitConflict, "The thing to create exists already. Use another name, or change the one that exists."},
	fault.Conflict:           {codes.Aborted, http.StatusConflict, exitConflict, "The record is not at the revision expected, or it is in use. Read it again, then retry. With If-Match the HTTP status is 412."},
	fault.Compacted:          {codes.OutOfRange, http.StatusGone, exitHistory, "The revision asked for is no longer kept. Start from the revision given, or read the current state and watch from there."},
	fault.FutureRevision:     {codes.OutOfRange, http.StatusBadRequest, exitHistory, "The revision asked for does not exist yet. Use one up to the revision given."},
	fault.TooLarge:           {codes.InvalidArgument, http.StatusRequestEntityTooLarge, exitUsage, "A message, name, value or transaction is over its limit. The text names the limit."},
	fault.Exhausted:          {codes.ResourceExhausted, http.StatusInsufficientStorage, exitFull, "A quota is used up or the region is out of disk space. Delete something: deletes still work."},
	fault.Busy:               {codes.ResourceExhausted, http.StatusTooManyRequests, exitRetry, "Too much is queued or asked for at once. Nothing was done; retry after the time given."},
	fault.Unavailable:        {codes.Unavailable, http.StatusServiceUnavailable, exitRetry, "No leader, or the node is starting or stopping. Nothing was done; retry, perhaps on another node."},
	fault.OutcomeUnknown:     {codes.Unknown, http.StatusGatewayTimeout, exitUnknown, "The write may or may not have been applied. Retry with the same request id, or read to find out."},
	fault.IdempotencyExpired: {codes.FailedPrecondition, http.StatusConflict, exitExpired, "The retry came so late that it is no longer known whether the write was applied. Nothing was done now; read, then decide."},
	fault.Unsupported:        {codes.Unimplemented, http.StatusNotImplemented, exitUsage, "This version, or this configuration, does not do that."},
	fault.Corrupt:            {codes.DataLoss, http.StatusInternalServerError, exitInternal, "Stored bytes failed a check. The replica stops; replace it from its peers and keep the folder for analysis."},
	fault.Canceled:           {codes.Canceled, statusClientClosed, exitCanceled, "The caller went away before the answer."},
	fault.Deadline:           {codes.DeadlineExceeded, http.StatusGatewayTimeout, exitRetry, "The time-out passed before a read finished or a write was proposed. Nothing was done."},
	fault.SlowConsumer:       {codes.Aborted, http.StatusServiceUnavailable, exitHistory, "The stream did not keep up and was ended. Resume from the revision given."},
	fault.NotHome:            {codes.FailedPrecondition, http.StatusMisdirectedRequest, exitNotHome, "Another region owns the record. Ask the region that the text names."},
}

// Of gives the row of a kind; of an unknown one that of Internal.
func Of(kind fault.Kind) Row {
	if int(kind) < len(table) {
		return table[kind]
	}
	return table[fault.Internal]
}

// Code gives the gRPC code of a kind.
func Code(kind fault.Kind) codes.Code { return Of(kind).Code }

// HTTP gives the HTTP status of a kind.
func HTTP(kind fault.Kind) int { return Of(kind).HTTP }

// ExitCode gives the exit code of the command line for a kind.
func ExitCode(kind fault.Kind) int { return Of(kind).Exit }

// Help says what a kind means and what to do about it.
func Help(kind fault.Kind) string { return Of(kind).Help }

// foreign maps the codes of errors that carry no kind: those made by gRPC itself or by another server.
var foreign = map[codes.Code]fault.Kind{
	codes.Canceled:           fault.Canceled,
	codes.Unknown:            fault.Internal,
	codes.InvalidArgument:    fault.Invalid,
	codes.DeadlineExceeded:   fault.Deadline,
	codes.NotFound:           fault.NotFound,
	codes.AlreadyExists:      fault.Exists,
	codes.PermissionDenied:   fault.Denied,
	codes.ResourceExhausted:  fault.Busy,
	codes.FailedPrecondition: fault.Conflict,
	codes.Aborted:            fault.Conflict,
	codes.OutOfRange:         fault.Invalid,
	codes.Unimplemented:      fault.Unsupported,
	codes.Internal:           fault.Internal,
	codes.Unavailable:        fault.Unavailable,
	codes.DataLoss:           fault.Corrupt,
	codes.Unauthenticated:    fault.Unauthenticated,
}
