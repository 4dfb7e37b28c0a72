package server

import (
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// Conditional requests. The ETag of a record is the revision at which it changed at its home, so that If-Match is expect_revision and
// nothing else: a condition is checked inside the transaction, not before it.

// etag gives the ETag of an answer, "" for answers that are not one record.
func etag(msg proto.Message) string {
	var r interface {
		GetMeta() *pb.Meta
		GetSource() *pb.Source
	}
	switch msg := msg.(type) {
	case *pb.GetConfigResponse:
		r = msg.GetConfig()
	case *pb.PutConfigResponse:
		r = msg.GetConfig()
	case *pb.RollbackConfigResponse:
		r = msg.GetConfig()
	case *pb.GetRouteResponse:
		r = msg.GetRoute()
	case *pb.PutRouteResponse:
		r = msg.GetRoute()
	case *pb.PutServiceResponse:
		r = msg.GetService()
	default:
		return ""
	}
	revision := r.GetSource().GetRevision()
	if revision == 0 {
		revision = r.GetMeta().GetModifyRevision()
	}
	if revision == 0 {
		return ""
	}
	return `"` + strconv.FormatUint(revision, 10) + `"`
}

// applyConditions turns If-Match and If-None-Match of a write into the fields of its request.
func applyConditions(req proto.Message, header http.Header) error {
	match, noneMatch := header.Get("If-Match"), header.Get("If-None-Match")
	if match == "" && noneMatch == "" {
		return nil
	}
	expect := expectField(req)
	if expect == nil {
		return nil // a read: If-None-Match is judged on the answer
	}
	if noneMatch != "" {
		put, ok := req.(*pb.PutConfigRequest)
		if !ok || noneMatch != "*" {
			return fault.Field("If-None-Match", "a write takes only *, and only the put of a config entry").
				WithHint("send If-Match with the ETag of the answer before to change what you read")
		}
		put.CreateOnly = true
	}
	if match == "" {
		return nil
	}
	revision, err := strconv.ParseUint(strings.Trim(match, `"`), 10, 64)
	if err != nil || revision == 0 {
		return fault.Field("If-Match", "%q is not one ETag of this API", match).
			WithHint("send the ETag header of a get or put, as it is")
	}
	if *expect != 0 && *expect != revision {
		return fault.Field("If-Match", "the header says %d and expect_revision %d", revision, *expect)
	}
	*expect = revision
	return nil
}

// expectField gives the expect_revision of a write, nil for other requests.
func expectField(req proto.Message) *uint64 {
	switch req := req.(type) {
	case *pb.PutConfigRequest:
		return &req.ExpectRevision
	case *pb.DeleteConfigRequest:
		return &req.ExpectRevision
	case *pb.RollbackConfigRequest:
		return &req.ExpectRevision
	case *pb.PutRouteRequest:
		return &req.ExpectRevision
	case *pb.DeleteRouteRequest:
		return &req.ExpectRevision
	case *pb.PutServiceRequest:
		return &req.ExpectRevision
	case *pb.DeleteServiceRequest:
		return &req.ExpectRevision
	default:
		return nil
	}
}

// notModified answers 304 instead of a body that the client has already: it knows by the ETag.
type notModified struct {
	http.ResponseWriter
	noneMatch string
	decided   bool
	drop      bool
}

func (w *notModified) WriteHeader(code int) {
	if !w.decided {
		w.decided = true
		if code == http.StatusOK && etagMatches(w.noneMatch, w.Header().Get("ETag")) {
			w.drop = true
			w.Header().Del("Content-Type")
			w.Header().Del("Content-Length")
			code = http.StatusNotModified
		}
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *notModified) Write(b []byte) (int, error) {
	if !w.decided {
		w.WriteHeader(http.StatusOK)
	}
	if w.drop {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// etagMatches compares weakly, as If-None-Match does.
func etagMatches(list, tag string) bool {
	if tag == "" {
		return false
	}
	for candidate := range strings.SplitSeq(list, ",") {
		candidate = strings.TrimPrefix(strings.TrimSpace(candidate), "W/")
		if candidate == "*" || candidate == tag {
			return true
		}
	}
	return false
}
