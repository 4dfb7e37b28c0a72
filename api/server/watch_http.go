package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/internal/fault"
)

// watchHTTP serves Watch as newline-delimited JSON: each line is one WatchResponse. An error after the first line
// is a last line {"error": {...}} in the form of other errors. The call takes the chain as over gRPC.
func (s *Server) watchHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	h, err := httpCallFrom(ctx)
	if err != nil {
		writeError(w, r, err, "")
		return
	}
	req := &pb.WatchRequest{}
	if err := (strictQuery{}).Parse(req, r.URL.Query(), &utilities.DoubleArray{}); err != nil {
		e, ok := parameterFault(err.Error())
		if !ok {
			e = fault.Wrap(fault.Invalid, err, "a query parameter cannot be read: %v", err)
		}
		writeError(w, r, e, h.requestID)
		return
	}
	out := &ndjson{
		w: w, control: http.NewResponseController(w), ctx: ctx, req: req, timeout: s.cfg.Limits.SendTimeout,
		region: s.cfg.RegionName, node: s.cfg.Node,
	}
	err = s.serveStream(s.rows[pb.WatchService_Watch_FullMethodName], out, h, func(stream grpc.ServerStream) error {
		var in pb.WatchRequest
		if err := stream.RecvMsg(&in); err != nil {
			return err
		}
		return watchService{s: s}.Watch(&in, &grpc.GenericServerStream[pb.WatchRequest, pb.WatchResponse]{ServerStream: stream})
	})
	// A send that the handler gave up on may still hold the writer; its own deadline ends it.
	out.mu.Lock()
	defer out.mu.Unlock()
	switch {
	case err == nil || ctx.Err() != nil || out.broken:
	case !out.started:
		writeError(w, r, err, h.requestID)
	default:
		out.writeError(err, h.requestID)
	}
}

// ndjson is the server's end of a stream over HTTP: one request, then lines.
type ndjson struct {
	w       http.ResponseWriter
	control *http.ResponseController
	ctx     context.Context
	req     proto.Message
	timeout time.Duration
	region  string // that answers, with its node
	node    string

	mu      sync.Mutex
	started bool
	broken  bool
}

var lineForm = protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}

func (n *ndjson) SendMsg(m any) error {
	line, err := lineForm.Marshal(m.(proto.Message))
	if err != nil {
		return fault.Wrap(fault.Internal, err, "an event cannot be shown as JSON")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.writeLine(line)
}

// writeLine sends a line at once, within the time of one send.
func (n *ndjson) writeLine(line []byte) error {
	n.start()
	err := n.control.SetWriteDeadline(time.Now().Add(n.timeout))
	if err == nil {
		_, err = n.w.Write(append(line, '\n'))
	}
	if err == nil {
		err = n.control.Flush()
	}
	if err != nil {
		n.broken = true
		return fault.Wrap(fault.SlowConsumer, err, "the client did not read")
	}
	return nil
}

// start begins the answer.
func (n *ndjson) start() {
	if n.started {
		return
	}
	n.started = true
	n.w.Header().Set("Content-Type", "application/x-ndjson")
	n.w.Header().Set("Cache-Control", "no-store")
	n.w.Header().Set(headerRegion, n.region)
	n.w.Header().Set(headerNode, n.node)
}

func (n *ndjson) writeError(err error, id string) {
	body, merr := jsonForm.Marshal(map[string]any{"error": status.NewBody(status.FromGRPC(err), id)})
	if merr != nil {
		return
	}
	// The stream ends with this line or without it: nobody is left to tell.
	_ = n.writeLine(body)
}

func (n *ndjson) RecvMsg(m any) error {
	in := m.(*envelope)
	in.size = proto.Size(n.req)
	proto.Merge(in.msg.(proto.Message), n.req)
	return nil
}

func (n *ndjson) Context() context.Context { return n.ctx }

// SendHeader sends the head of the answer, so that the client knows that the watch stands.
func (n *ndjson) SendHeader(metadata.MD) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.start()
	if err := n.control.Flush(); err != nil {
		n.broken = true
		return fault.Wrap(fault.Canceled, err, "the client went away")
	}
	return nil
}

// Metadata has no place in lines.
func (n *ndjson) SetHeader(metadata.MD) error { return nil }
func (n *ndjson) SetTrailer(metadata.MD)      {}
