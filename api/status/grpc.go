package status

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"supercluster/internal/fault"
)

// Domain is the domain of every ErrorInfo that this API sends.
const Domain = "supercluster"

// Keys of the metadata of an ErrorInfo.
const (
	metaRevision = "revision"
	metaHint     = "hint"
)

// Public gives the fault that may leave the process for any error: its own, or one that names no cause.
func Public(err error) *fault.Error {
	if e, ok := fault.As(err); ok {
		return e
	}
	// The status of a foreign service (health, reflection) was made to be sent.
	var foreign interface{ GRPCStatus() *grpcstatus.Status }
	if errors.As(err, &foreign) {
		return &fault.Error{Kind: foreignKind(foreign.GRPCStatus()), Message: foreign.GRPCStatus().Message()}
	}
	switch kind := fault.KindOf(err); kind {
	case fault.Canceled:
		return fault.New(kind, "the caller went away")
	case fault.Deadline:
		return fault.New(kind, "the time-out passed")
	default:
		return fault.New(fault.Internal, "internal error").WithHint("the server's log has the cause under the request id")
	}
}

// ToGRPC turns an error into a gRPC status error with its kind, field, hint, revision and time to wait as details.
// Nil stays nil; a status that has this API's details already is kept.
func ToGRPC(err error) error { return ToGRPCWithID(err, "") }

// ToGRPCWithID is ToGRPC with the id of the request among the details.
func ToGRPCWithID(err error, requestID string) error {
	if err == nil {
		return nil
	}
	if st, ok := grpcstatus.FromError(err); ok && infoOf(st) != nil {
		return err
	}
	e := Public(err)
	st := grpcstatus.New(Code(e.Kind), e.Text())
	if withDetails, derr := st.WithDetails(details(e, requestID)...); derr == nil {
		st = withDetails
	}
	return st.Err()
}

func details(e *fault.Error, requestID string) []protoadapt.MessageV1 {
	info := &errdetails.ErrorInfo{Reason: e.Kind.String(), Domain: Domain}
	if e.Revision != 0 || e.Hint != "" {
		info.Metadata = make(map[string]string, 2)
	}
	if e.Revision != 0 {
		info.Metadata[metaRevision] = strconv.FormatUint(e.Revision, 10)
	}
	if e.Hint != "" {
		info.Metadata[metaHint] = e.Hint
	}
	all := []protoadapt.MessageV1{info}
	if e.Field != "" {
		all = append(all, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: e.Field, Description: e.Message},
		}})
	}
	if e.RetryAfter > 0 {
		all = append(all, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	if requestID != "" {
		all = append(all, &errdetails.RequestInfo{RequestId: requestID})
	}
	return all
}

// FromGRPC rebuilds the fault that a server sent. The error stays the cause, so its code and details can be read.
// An error without this API's details gets the kind that its code suggests.
func FromGRPC(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.As(err); ok {
		return err
	}
	st, ok := grpcstatus.FromError(err)
	if !ok {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return Public(err)
		}
		return fault.Wrap(fault.Internal, err, "the call failed")
	}
	info := infoOf(st)
	if info == nil {
		return &fault.Error{Kind: foreignKind(st), Message: st.Message(), Err: err}
	}
	return rebuild(st, info, err)
}

// FromGRPCWrite is FromGRPC for the answer of a write: where the answer was lost on the way, the outcome is unknown.
func FromGRPCWrite(err error) error {
	st, ok := grpcstatus.FromError(err)
	if err == nil || !ok || infoOf(st) != nil {
		return FromGRPC(err)
	}
	lost := st.Code() == codes.DeadlineExceeded || st.Code() == codes.Canceled ||
		st.Code() == codes.Unavailable && !strings.Contains(st.Message(), "dialing")
	if !lost {
		return FromGRPC(err)
	}
	return fault.Wrap(fault.OutcomeUnknown, err, "the answer was lost: the write may or may not have been applied").
		WithHint("retry with the same request id, or read to find out")
}

// RequestID gives the request id that a server put into an error; empty when there is none.
func RequestID(err error) string {
	if st, ok := grpcstatus.FromError(err); ok {
		for _, d := range st.Details() {
			if info, ok := d.(*errdetails.RequestInfo); ok {
				return info.GetRequestId()
			}
		}
	}
	return ""
}

func infoOf(st *grpcstatus.Status) *errdetails.ErrorInfo {
	if len(st.Proto().GetDetails()) == 0 {
		return nil
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == Domain {
			return info
		}
	}
	return nil
}

func rebuild(st *grpcstatus.Status, info *errdetails.ErrorInfo, cause error) *fault.Error {
	e := &fault.Error{Message: st.Message(), Hint: info.GetMetadata()[metaHint], Err: cause}
	if kind, ok := fault.KindNamed(info.GetReason()); ok {
		e.Kind = kind
	} else {
		e.Kind = foreignKind(st) // a newer server's kind
	}
	if text := info.GetMetadata()[metaRevision]; text != "" {
		e.Revision, _ = strconv.ParseUint(text, 10, 64)
	}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			if v := d.GetFieldViolations(); len(v) > 0 {
				e.Field = v[0].GetField()
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	// The status text is Text(): field and hint around the message.
	if e.Field != "" {
		e.Message = strings.TrimPrefix(e.Message, e.Field+": ")
	}
	if e.Hint != "" {
		e.Message = strings.TrimSuffix(e.Message, " ("+e.Hint+")")
	}
	return e
}

// foreignKind finds the kind of a status that carries none.
func foreignKind(st *grpcstatus.Status) fault.Kind {
	if st.Code() == codes.ResourceExhausted && strings.Contains(st.Message(), "larger than max") {
		return fault.TooLarge
	}
	return foreign[st.Code()] // the zero kind is Internal
}
