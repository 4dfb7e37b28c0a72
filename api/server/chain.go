package server

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"supercluster/api/status"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// serveUnary is the chain of a unary call, the same for gRPC and HTTP: recover, request id, log and metrics,
// authenticate, authorize, quota, decode and validate, handler. It is one function and not a stack of interceptors
// because each of those would cost every call its own closures. A call without a deadline gets none here: the region
// bounds a write in the log, and the reads that wait bound themselves.
func (s *Server) serveUnary(ctx context.Context, u *unaryMethod, decode func(*envelope) error, h *httpCall) (resp any, err error) {
	c := &call{row: u.row, http: h, started: time.Now()}
	c.takeRequestID(ctx)
	ctx, span := s.startSpan(ctx, c)
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, s.recovered(c, p)
		}
		err = s.finish(ctx, c, span, err)
	}()
	if err := s.admit(ctx, c); err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, callKey{}, c)
	if c.requestID != "" && h == nil {
		// Back comes what the client brought: a header costs a call of some microseconds more at both ends, and an id
		// that was minted here matters when the call failed, where the error carries it. It fails only outside a gRPC
		// call: the HTTP side sets the header itself.
		_ = grpc.SetHeader(ctx, metadata.MD{requestIDHeader: []string{c.requestID}})
	}
	resp, err = u.call(u.impl, ctx, func(req any) error {
		c.in.msg = req
		if err := decode(&c.in); err != nil {
			return err
		}
		if err := s.check(c.row, &c.in); err != nil {
			return err
		}
		return s.elsewhere(ctx, c)
	}, nil)
	if err != nil && s.cfg.Homes != nil {
		resp, err = s.redirect(ctx, c, err)
	}
	if err == nil && c.row.class == classWrite {
		s.stamp(c, resp)
	}
	return resp, err
}

// admit authenticates the caller, asks whether its principal may call the method at all, and charges its quota.
// It runs before the request is decoded: who may not call costs no more than that.
func (s *Server) admit(ctx context.Context, c *call) error {
	if c.row.open {
		return nil
	}
	p, err := s.caller(ctx, c)
	if err != nil {
		return err
	}
	c.principal = p
	if err := decide(c, access.Request{Verb: c.row.verb, Kind: c.row.kind}); err != nil {
		return err
	}
	return s.quotas.take(c.row.class, p.Name)
}

// caller says who calls.
func (s *Server) caller(ctx context.Context, c *call) (access.Principal, error) {
	if c.forwarded() {
		return *c.http.forwarded, nil
	}
	return s.cfg.Principal(ctx)
}

// decide asks the decision function.
func decide(c *call, r access.Request) error {
	d := access.Decide(c.principal, r)
	switch {
	case d.Allow:
		return nil
	case c.principal.Role == access.RoleAnonymous:
		return fault.New(fault.Unauthenticated, "the caller is not known: %s", d.Reason).
			WithHint("use a client certificate whose name is listed among operators, readers or proxies")
	default:
		return fault.New(fault.Denied, "%q is refused: %s", c.principal.Name, d.Reason)
	}
}

// check judges a request that came off the wire: its size, its bytes, and the rules of its message.
func (s *Server) check(r *row, in *envelope) error {
	if in.size > r.maxBytes {
		return fault.New(fault.TooLarge, "the request has %d bytes, the limit of %s is %d", in.size, r.method, r.maxBytes)
	}
	if in.err != nil {
		return fault.Wrap(fault.Invalid, in.err, "the request cannot be decoded: %v", in.err).
			WithHint("strings must be valid UTF-8, and the message that of the method")
	}
	if msg, ok := in.msg.(proto.Message); ok {
		return s.validate(msg)
	}
	return nil
}

// finish logs, counts and converts the end of a call.
func (s *Server) finish(ctx context.Context, c *call, span trace.Span, err error) error {
	elapsed := time.Since(c.started)
	if err == nil {
		s.metrics.record(ctx, c.row, nil, elapsed)
		if s.log.Enabled(ctx, c.row.level) {
			s.logCall(ctx, c, c.row.level, elapsed, nil)
		}
		if span != nil {
			span.End()
		}
		return nil
	}
	kind := kindOf(err)
	s.metrics.record(ctx, c.row, &kind, elapsed)
	if level := levelOf(kind); s.log.Enabled(ctx, level) {
		s.logCall(ctx, c, level, elapsed, err)
	}
	if span != nil {
		span.SetStatus(codes.Error, kind.String())
		span.End()
	}
	return status.ToGRPCWithID(err, c.id())
}

// kindOf finds the kind of what a handler returned: a fault, or the status of a foreign service (xDS, reflection).
func kindOf(err error) fault.Kind {
	return status.Public(err).Kind
}

// levelOf says how loud a failure is: what is the server's fault is an error, what an operator may want to see a
// warning, and a caller's mistake or departure is for debugging.
func levelOf(kind fault.Kind) slog.Level {
	switch kind {
	case fault.Internal, fault.Corrupt:
		return slog.LevelError
	case fault.Unauthenticated, fault.Denied, fault.Exhausted, fault.OutcomeUnknown, fault.SlowConsumer:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}

func (s *Server) logCall(ctx context.Context, c *call, level slog.Level, elapsed time.Duration, err error) {
	attrs := []slog.Attr{
		slog.String("method", c.row.method), slog.String("principal", c.principal.Name),
		slog.String("request_id", c.id()), slog.Duration("elapsed", elapsed),
	}
	if err != nil {
		// The whole text, cause included: the log is where causes belong.
		attrs = append(attrs, slog.String("kind", kindOf(err).String()), slog.String("error", err.Error()))
	}
	s.log.LogAttrs(ctx, level, "call", attrs...)
}

// recovered turns a panic into an internal error. The stack goes to the log alone.
func (s *Server) recovered(c *call, p any) error {
	s.log.Error("a handler panicked", "method", c.row.method, "request_id", c.id(), "panic", p, "stack", string(debug.Stack()))
	return fault.New(fault.Internal, "internal error").WithHint("the server's log has the cause under the request id")
}

func withDefaultDeadline(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, nil
	}
	return context.WithTimeout(ctx, d)
}

// serveStream is the chain of a stream. Its deadline is that of each single send.
func (s *Server) serveStream(r *row, stream grpc.ServerStream, h *httpCall, handler func(grpc.ServerStream) error) (err error) {
	ctx := stream.Context()
	c := &call{row: r, http: h, started: time.Now()}
	c.takeRequestID(ctx)
	ctx, span := s.startSpan(ctx, c)
	defer func() {
		if p := recover(); p != nil {
			err = s.recovered(c, p)
		}
		err = s.finish(ctx, c, span, err)
	}()
	if err := s.admit(ctx, c); err != nil {
		return err
	}
	// Services registered from outside find the principal where package access looks for it.
	ctx = access.WithPrincipal(context.WithValue(ctx, callKey{}, c), c.principal)
	return handler(&checkedStream{ServerStream: stream, ctx: ctx, s: s, row: r})
}

// checkedStream gives the handler the call's context and checks what the client sends.
type checkedStream struct {
	grpc.ServerStream
	ctx context.Context
	s   *Server
	row *row
}

func (c *checkedStream) Context() context.Context { return c.ctx }

func (c *checkedStream) RecvMsg(m any) error {
	in := envelope{msg: m}
	if err := c.ServerStream.RecvMsg(&in); err != nil {
		return err
	}
	return c.s.check(c.row, &in)
}
