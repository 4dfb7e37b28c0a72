package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"supercluster/internal/fault"
)

func TestTable_EveryKindHasARow(t *testing.T) {
	if len(table) != len(fault.Kinds()) {
		t.Fatalf("the table has %d rows, there are %d kinds", len(table), len(fault.Kinds()))
	}
	for _, k := range fault.Kinds() {
		row := Of(k)
		if row.Code == codes.OK || row.HTTP < 400 || row.Exit == 0 || !strings.HasSuffix(row.Help, ".") {
			t.Errorf("%s: row %+v is not complete", k, row)
		}
		if Code(k) != row.Code || HTTP(k) != row.HTTP || ExitCode(k) != row.Exit || Help(k) != row.Help {
			t.Errorf("%s: the accessors do not give its row", k)
		}
	}
	if Of(fault.Kind(200)) != table[fault.Internal] {
		t.Error("an unknown kind does not count as internal")
	}
}

// Both ways over every kind, with every field set and with none.
func TestGRPC_RoundTrip(t *testing.T) {
	const secret = "dial tcp 10.1.2.3: refused"
	for _, k := range fault.Kinds() {
		for _, e := range []*fault.Error{
			fault.New(k, "something happened to %q", "web"),
			{
				Kind: k, Message: "no such thing (yet)", Field: "config.name", Hint: "make it (first)",
				RetryAfter: 1500 * time.Millisecond, Revision: 42, Err: errors.New(secret),
			},
		} {
			sent := ToGRPC(fmt.Errorf("handler: %w", e))
			if got := grpcstatus.Code(sent); got != Code(k) {
				t.Errorf("%s: code %s, want %s", k, got, Code(k))
			}
			if text := sent.Error(); strings.Contains(text, secret) || !strings.Contains(text, e.Text()) {
				t.Errorf("%s: text %q must be %q without the cause", k, text, e.Text())
			}
			got, ok := fault.As(FromGRPC(sent))
			if !ok {
				t.Fatalf("%s: no fault came back", k)
			}
			back := *got
			back.Err = nil
			want := *e
			want.Err = nil
			if back != want {
				t.Errorf("%s: came back as %+v, want %+v", k, back, want)
			}
		}
	}
}

func TestToGRPC_ForeignErrorsAreInternalAndSilent(t *testing.T) {
	got := ToGRPC(fmt.Errorf("pebble: /data/x: %w", errors.New("bad block")))
	if grpcstatus.Code(got) != codes.Internal || strings.Contains(got.Error(), "pebble") || strings.Contains(got.Error(), "block") {
		t.Errorf("ToGRPC = %v, want internal without the text of the cause", got)
	}
	for err, want := range map[error]codes.Code{
		fmt.Errorf("read: %w", context.Canceled): codes.Canceled,
		context.DeadlineExceeded:                 codes.DeadlineExceeded,
		grpcstatus.Error(codes.NotFound, "none"): codes.NotFound,
		nil:                                      codes.OK,
	} {
		if got := grpcstatus.Code(ToGRPC(err)); got != want {
			t.Errorf("ToGRPC(%v) has code %s, want %s", err, got, want)
		}
	}
}

func TestToGRPC_IsNotAppliedTwice(t *testing.T) {
	once := ToGRPCWithID(fault.New(fault.Busy, "queue is full"), "r-1")
	if twice := ToGRPC(once); twice != once {
		t.Errorf("a status with details was changed: %v", twice)
	}
	if id := RequestID(once); id != "r-1" {
		t.Errorf("RequestID = %q, want r-1", id)
	}
	if id := RequestID(errors.New("x")); id != "" {
		t.Errorf("RequestID of a foreign error = %q", id)
	}
}

func TestToGRPC_DetailsAreTheStandardOnes(t *testing.T) {
	st := grpcstatus.Convert(ToGRPC(fault.Field("instance.port", "is 0").WithRetryAfter(time.Second)))
	var violation, retry, info bool
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d.GetReason() == "invalid" && d.GetDomain() == "supercluster"
		case *errdetails.BadRequest:
			violation = d.GetFieldViolations()[0].GetField() == "instance.port" && d.GetFieldViolations()[0].GetDescription() == "is 0"
		case *errdetails.RetryInfo:
			retry = d.GetRetryDelay().AsDuration() == time.Second
		}
	}
	if !violation || !retry || !info {
		t.Errorf("details %v: violation %v, retry %v, info %v", st.Details(), violation, retry, info)
	}
}

func TestFromGRPC_WithoutDetails(t *testing.T) {
	tests := []struct {
		err         error
		read, write fault.Kind
	}{
		{grpcstatus.Error(codes.Unavailable, "connection error: desc = \"transport: Error while dialing: refused\""), fault.Unavailable, fault.Unavailable},
		{grpcstatus.Error(codes.Unavailable, "error reading from server: EOF"), fault.Unavailable, fault.OutcomeUnknown},
		{grpcstatus.Error(codes.DeadlineExceeded, "context deadline exceeded"), fault.Deadline, fault.OutcomeUnknown},
		{grpcstatus.Error(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)"), fault.TooLarge, fault.TooLarge},
		{grpcstatus.Error(codes.ResourceExhausted, "too many"), fault.Busy, fault.Busy},
		{grpcstatus.Error(codes.Unimplemented, "unknown method"), fault.Unsupported, fault.Unsupported},
		{grpcstatus.Error(codes.Unknown, "plain"), fault.Internal, fault.Internal},
		{context.Canceled, fault.Canceled, fault.Canceled},
		{errors.New("plain"), fault.Internal, fault.Internal},
		{ToGRPC(fault.New(fault.Deadline, "not proposed")), fault.Deadline, fault.Deadline},
		{fault.New(fault.Denied, "local"), fault.Denied, fault.Denied},
	}
	for _, tt := range tests {
		if got := fault.KindOf(FromGRPC(tt.err)); got != tt.read {
			t.Errorf("FromGRPC(%v) is %s, want %s", tt.err, got, tt.read)
		}
		if got := fault.KindOf(FromGRPCWrite(tt.err)); got != tt.write {
			t.Errorf("FromGRPCWrite(%v) is %s, want %s", tt.err, got, tt.write)
		}
	}
	if FromGRPC(nil) != nil || FromGRPCWrite(nil) != nil {
		t.Error("no error became one")
	}
	for code := codes.OK + 1; code <= codes.Unauthenticated; code++ {
		if _, ok := foreign[code]; !ok {
			t.Errorf("code %s has no kind", code)
		}
	}
}

func TestFromGRPC_KindOfANewerServer(t *testing.T) {
	st, err := grpcstatus.New(codes.NotFound, "gone").WithDetails(&errdetails.ErrorInfo{Reason: "vanished", Domain: Domain})
	if err != nil {
		t.Fatal(err)
	}
	if got := fault.KindOf(FromGRPC(st.Err())); got != fault.NotFound {
		t.Errorf("an unknown kind with code NotFound is %s", got)
	}
}

func TestBody_RoundTrip(t *testing.T) {
	e := &fault.Error{
		Kind: fault.Compacted, Message: "revision 5 is gone", Field: "from_revision", Hint: "start at 9", Revision: 9,
		RetryAfter: 200 * time.Millisecond, Err: errors.New("secret"),
	}
	raw, err := json.Marshal(NewBody(e, "r-7"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"kind":"compacted","message":"revision 5 is gone","field":"from_revision","hint":"start at 9","revision":"9","request_id":"r-7","retry_after_seconds":1}`
	if string(raw) != want {
		t.Errorf("body = %s\nwant   %s", raw, want)
	}
	var body Body
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Fatal(err)
	}
	if got := body.Fault(); got.Text() != e.Text() || got.Kind != e.Kind || got.Revision != 9 {
		t.Errorf("Fault() = %+v", got)
	}
	if got := (Body{Kind: "newer"}).Fault().Kind; got != fault.Internal {
		t.Errorf("a kind of a newer server is %s", got)
	}
}

func TestHTTP_ConventionsThatClientsRelyOn(t *testing.T) {
	for kind, want := range map[fault.Kind]int{
		fault.NotFound: http.StatusNotFound, fault.Busy: http.StatusTooManyRequests, fault.Unavailable: http.StatusServiceUnavailable,
		fault.Compacted: http.StatusGone, fault.TooLarge: http.StatusRequestEntityTooLarge, fault.Denied: http.StatusForbidden,
	} {
		if got := HTTP(kind); got != want {
			t.Errorf("%s is HTTP %d, want %d", kind, got, want)
		}
	}
}
