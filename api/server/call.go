package server

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"

	"supercluster/region/record"
	"supercluster/registry/access"
)

// call is what the chain knows of one call. One value in the context carries it all, because each value in a
// context costs every call an allocation.
type call struct {
	row       *row
	principal access.Principal
	// requestID ties log, answer and error together. It is not the request id of WriteOptions, which the region
	// remembers to make retries safe and which only the client can mint.
	requestID string
	started   time.Time
	// http is the HTTP request behind the call, nil for gRPC.
	http *httpCall
	// asked: another node of the region handed the call to this one, because it leads.
	asked bool
	in    envelope
}

// httpCall is what of an HTTP request matters to the chain.
type httpCall struct {
	requestID string
	header    http.Header
	// forwarded is who made the call, of a call that another region handed to this one; such a call has no other header
	// than that of its trace.
	forwarded *access.Principal
}

type callKey struct{}

// callFrom finds the call of a context; the chain put it there before any handler ran.
func callFrom(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil {
		return &call{row: &row{}}
	}
	return c
}

// requestIDHeader carries the request id in both directions, over HTTP and as gRPC metadata.
const requestIDHeader = "x-request-id"

// maxRequestID bounds a request id that a client brings.
const maxRequestID = 64

// cleanRequestID gives the id if it may go into logs and headers, else "".
func cleanRequestID(id string) string {
	if id == "" || len(id) > maxRequestID {
		return ""
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || id[i] == '"' {
			return ""
		}
	}
	return id
}

// mintRequestID makes an id that is unique enough to find a call in a log; it guards nothing.
func mintRequestID() string {
	var b [8]byte
	v := rand.Uint64()
	for i := range b {
		b[i] = byte(v >> (8 * i))
	}
	return hex.EncodeToString(b[:])
}

// id gives the request id of the call, minted when it is first needed: most reads never need one.
func (c *call) id() string {
	if c.requestID == "" {
		c.requestID = mintRequestID()
	}
	return c.requestID
}

// takeRequestID keeps the id that the client brought, if any.
func (c *call) takeRequestID(ctx context.Context) {
	if c.http != nil {
		c.requestID = c.http.requestID
		return
	}
	if ids := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(ids) > 0 {
		c.requestID = cleanRequestID(ids[0])
	}
}

// startSpan starts the span of a call when traces are on, as a child of the caller's.
func (s *Server) startSpan(ctx context.Context, c *call) (context.Context, trace.Span) {
	if s.cfg.Tracer == nil {
		return ctx, nil
	}
	var carrier propagation.TextMapCarrier
	if c.http != nil {
		carrier = propagation.HeaderCarrier(c.http.header)
	} else {
		md, _ := metadata.FromIncomingContext(ctx)
		carrier = mdCarrier(md)
	}
	ctx = propagation.TraceContext{}.Extract(ctx, carrier)
	return s.cfg.Tracer.Start(ctx, c.row.method, trace.WithSpanKind(trace.SpanKindServer))
}

// traceOf gives the trace context of a call as a commit keeps it.
func (s *Server) traceOf(ctx context.Context) record.Trace {
	if s.cfg.Tracer == nil {
		return record.Trace{} // startSpan put none into the context
	}
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return record.Trace{}
	}
	return record.Trace{TraceID: sc.TraceID(), SpanID: sc.SpanID(), Flags: uint8(sc.TraceFlags())}
}

// mdCarrier lets trace propagation read gRPC metadata.
type mdCarrier metadata.MD

func (m mdCarrier) Get(key string) string {
	if v := metadata.MD(m).Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (m mdCarrier) Set(key, value string) { metadata.MD(m).Set(key, value) }

func (m mdCarrier) Keys() []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
