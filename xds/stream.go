package xds

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"supercluster/internal/fault"
	"supercluster/registry/access"
	"supercluster/xds/resources"
)

// stream moves messages between a session and its client. Whoever makes a response due sends it, the publisher after
// a change or the receiving goroutine after a request, as long as that cannot block. The handler's goroutine takes
// what may have to wait for the client, and waits itself for nothing but the end of the stream: a client that does
// not read can still be told that it is over.
type stream struct {
	server    *Server
	grpc      grpc.ServerStream
	delta     bool
	connected time.Time
	address   string

	session atomic.Pointer[session]
	// turn is held by whoever sends; over is set under it when the handler ends, after which nobody may.
	turn      sync.Mutex
	over      bool
	sending   atomic.Int64 // since when a response waits to be taken, in Unix nanoseconds; 0: none does
	done      chan error   // why the stream ends; the first one counts
	greeted   chan struct{}
	principal access.Principal
}

// inlineBytes is how much may be in flight for a response to be sent without a goroutine of its own: below gRPC's
// write quota of a stream, sending never blocks.
const inlineBytes = 48 << 10

func (s *Server) serve(g grpc.ServerStream, delta bool) error {
	if !s.synced() || !s.publisher.ready() {
		return toStatus(errNotReady())
	}
	if err := s.admit(g.Context()); err != nil {
		s.stats.refused.Add(1)
		return toStatus(err)
	}
	st := &stream{
		server: s, grpc: g, delta: delta, connected: time.Now(),
		done: make(chan error, 1), greeted: make(chan struct{}), principal: s.cfg.Authorize(g.Context()),
	}
	if p, ok := peer.FromContext(g.Context()); ok {
		st.address = p.Addr.String()
	}
	if err := s.add(st); err != nil {
		s.stats.refused.Add(1)
		return toStatus(err)
	}
	defer s.remove(st)
	defer st.shut()
	s.running.Go(st.receive)
	err := st.run()
	if err != nil && status.Code(err) != codes.Canceled {
		s.log.Info("xds: a stream ended", "client", st.name(), "address", st.address, "reason", err)
	}
	return toStatus(err)
}

// admit gives a new stream its turn.
func (s *Server) admit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.limits.NewStreamsWait)
	defer cancel()
	if err := s.newcomers.Wait(ctx); err != nil {
		return fault.New(fault.Busy, "too many new streams").WithHint("try again in a while, or another server")
	}
	return nil
}

func (st *stream) name() string {
	if s := st.session.Load(); s != nil {
		return s.client.id
	}
	return ""
}

// end ends the stream; only the first reason counts.
func (st *stream) end(err error) {
	select {
	case st.done <- err:
	default:
	}
}

// run waits for the first request, then sends what is due until the stream ends.
func (st *stream) run() error {
	first := time.NewTimer(st.server.limits.FirstRequest)
	defer first.Stop()
	select {
	case err := <-st.done:
		return err
	case <-first.C:
		return fault.New(fault.Deadline, "no request came within %s", st.server.limits.FirstRequest)
	case <-st.greeted:
	}
	s := st.session.Load()
	return st.pump(s)
}

// pump sends what is due whenever something changes.
func (st *stream) pump(s *session) error {
	var timer *time.Timer
	var expired <-chan time.Time
	for {
		again, err := st.flush(s)
		if err != nil {
			return err
		}
		if expired = nil; !again.IsZero() {
			if timer == nil {
				timer = time.NewTimer(time.Until(again))
				defer timer.Stop()
			} else {
				timer.Reset(time.Until(again))
			}
			expired = timer.C
		}
		select {
		case err := <-st.done:
			return err
		case <-s.signal:
		case <-expired:
		}
	}
}

// flush sends everything that is due now, waiting for the client where it must.
func (st *stream) flush(s *session) (time.Time, error) {
	st.turn.Lock()
	defer st.turn.Unlock()
	for {
		r, again := s.next(time.Now())
		if r == nil {
			return again, nil
		}
		if err := st.send(s, r); err != nil {
			return time.Time{}, err
		}
	}
}

// flushNow sends what is due and leaves the rest to the handler: what could block, and what has to wait.
func (st *stream) flushNow() {
	s := st.session.Load()
	if !st.turn.TryLock() {
		s.wake() // somebody sends; the handler looks again after that
		return
	}
	defer st.turn.Unlock()
	for !st.over {
		if s.outstanding() >= inlineBytes {
			s.wake()
			return
		}
		r, again := s.next(time.Now())
		if r == nil {
			if !again.IsZero() {
				s.wake() // the handler has the timer
			}
			return
		}
		st.server.stats.sent(r.bytes)
		if err := st.grpc.SendMsg(r); err != nil {
			st.end(err)
			return
		}
	}
}

// shut makes sure that nobody sends once the handler has returned.
func (st *stream) shut() {
	st.turn.Lock()
	defer st.turn.Unlock()
	st.over = true
}

// send hands a response to gRPC. What may have to wait for the client does so in a goroutine, which ends with the
// stream at the latest.
func (st *stream) send(s *session, r *response) error {
	st.server.stats.sent(r.bytes)
	if s.outstanding()-r.bytes < inlineBytes {
		return st.grpc.SendMsg(r)
	}
	st.sending.Store(time.Now().UnixNano())
	sent := make(chan error, 1)
	st.server.running.Go(func() { sent <- st.grpc.SendMsg(r) })
	select {
	case err := <-sent:
		st.sending.Store(0)
		return err
	case err := <-st.done:
		return err
	}
}

// check ends the stream if its client holds it up.
func (st *stream) check(now time.Time) {
	limits := &st.server.limits
	if since := st.sending.Load(); since != 0 && now.Sub(time.Unix(0, since)) > limits.Send {
		st.server.stats.stalled.Add(1)
		st.end(fault.New(fault.SlowConsumer, "the client did not take a response within %s", limits.Send))
	}
	if at := st.session.Load().oldest(); !at.IsZero() && now.Sub(at) > limits.Acknowledge {
		st.server.stats.stalled.Add(1)
		st.end(fault.New(fault.SlowConsumer, "the client did not acknowledge a response within %s", limits.Acknowledge))
	}
}

// receive takes requests until the stream ends.
func (st *stream) receive() {
	for {
		err := st.receiveOne()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			st.end(err)
			break
		}
	}
	// The session is closed where no more requests come; nothing composes from it after run has ended.
	<-st.grpc.Context().Done()
	if s := st.session.Load(); s != nil {
		s.close()
		s.release()
	}
}

func (st *stream) receiveOne() error {
	if st.delta {
		return st.receiveDelta()
	}
	return st.receiveSotW()
}

func (st *stream) receiveDelta() error {
	req := &deltaRequest{limit: st.server.limits.RequestBytes}
	if err := st.grpc.RecvMsg(req); err != nil {
		return err
	}
	if req.tooLarge {
		return st.tooLarge()
	}
	s, err := st.greet(req.GetNode())
	if err != nil {
		return err
	}
	st.server.stats.request(req.GetErrorDetail() != nil)
	if err := s.takeDelta(&req.DeltaDiscoveryRequest, time.Now()); err != nil {
		return err
	}
	if s.anyDue() {
		st.flushNow()
	}
	return nil
}

func (st *stream) receiveSotW() error {
	req := &sotwRequest{limit: st.server.limits.RequestBytes, seed: st.server.stats.seed, known: st.known}
	if err := st.grpc.RecvMsg(req); err != nil {
		return err
	}
	if req.tooLarge {
		return st.tooLarge()
	}
	s, err := st.greet(req.node)
	if err != nil {
		return err
	}
	st.server.stats.request(req.nack != nil)
	if err := s.takeSotW(req, time.Now()); err != nil {
		return err
	}
	if s.anyDue() {
		st.flushNow()
	}
	return nil
}

// known gives the names that a state-of-the-world client named last. Only the receiving goroutine changes them.
func (st *stream) known(typeURL string) (uint64, bool) {
	s := st.session.Load()
	t, ok := resources.TypeOf(typeURL)
	if s == nil || !ok {
		return 0, false
	}
	w := &s.watches[t]
	return w.digest, w.requested
}

func (st *stream) tooLarge() error {
	return fault.New(fault.TooLarge, "a request above %d bytes", st.server.limits.RequestBytes)
}

// greet makes the session at the first request.
func (st *stream) greet(n *corev3.Node) (*session, error) {
	if s := st.session.Load(); s != nil {
		return s, nil
	}
	srv := st.server
	c, err := identify(n, &srv.limits)
	if err != nil {
		srv.stats.refused.Add(1)
		return nil, err
	}
	decision := access.Decide(st.principal, access.Request{
		Verb: access.VerbDiscover, Kind: access.KindXDS,
		Tenant: c.namespace.Tenant, Namespace: c.namespace.Namespace, Name: c.id,
	})
	if !decision.Allow {
		srv.stats.refused.Add(1)
		return nil, fault.New(fault.Denied, "%q may not discover: %s", st.principal.Name, decision.Reason)
	}
	a, err := srv.publisher.attach(c)
	if err != nil {
		srv.stats.refused.Add(1)
		return nil, err
	}
	control := srv.control[0]
	if st.delta {
		control = srv.control[1]
	}
	s := newSession(srv.publisher, a, c, st.delta, &srv.limits, control, st.connected)
	s.send = st.flushNow
	st.session.Store(s)
	close(st.greeted)
	return s, nil
}
