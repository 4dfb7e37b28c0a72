package wire

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"supercluster/internal/fault"
)

// Methods of the node channel. Numbers travel: they are never reused.
const (
	MethodLiveness   uint8 = 1
	MethodHeartbeats uint8 = 2 // TTL heartbeats to the node that owns a check
	MethodProxies    uint8 = 3 // the list of connected proxies
	MethodForward    uint8 = 4 // reserved
	MethodHold       uint8 = 5 // hold writes for a moment: the leader is about to hand over
)

const (
	maxInFlight = 256 // calls to one peer that wait for an answer
	maxServing  = 64  // calls of one peer that are being answered
	maxRetry    = time.Second
	// upWait is how long a call to a node that is alive waits for the connection to it.
	upWait = 500 * time.Millisecond
)

// Call asks a member and waits for its answer. Calling this node itself uses no network.
func (w *Wire) Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error) {
	if len(payload) > MaxPayload {
		return nil, fault.New(fault.TooLarge, "a call between nodes has %d bytes, over the limit of %d", len(payload), MaxPayload)
	}
	if node == w.cfg.Node {
		return w.answer(ctx, node, method, append([]byte(nil), payload...))
	}
	l, ok := w.links[node]
	if !ok {
		return nil, fault.New(fault.NotFound, "%q is not a member of region %q", node, w.cfg.Region)
	}
	return l.call(ctx, method, payload)
}

// answer runs the handler of a method.
func (w *Wire) answer(ctx context.Context, from string, method uint8, payload []byte) ([]byte, error) {
	h := w.handlers[method]
	if h == nil {
		return nil, fault.New(fault.Unsupported, "node %q does not answer method %d", w.cfg.Node, method)
	}
	answer, err := h(ctx, from, payload)
	if err == nil && len(answer) > MaxPayload {
		return nil, fault.New(fault.TooLarge, "the answer of a node has %d bytes, over the limit of %d", len(answer), MaxPayload)
	}
	return answer, err
}

// LastHeard says how long ago a member was last heard, on the connection of either direction; false when never, and
// for names that are no members. This node always hears itself.
func (w *Wire) LastHeard(node string) (time.Duration, bool) {
	if node == w.cfg.Node {
		return 0, true
	}
	l, ok := w.links[node]
	if !ok {
		return 0, false
	}
	at := l.heard.Load()
	if at == nil {
		return 0, false
	}
	return time.Since(*at), true
}

// Alive lists the members heard within DeadAfter, this node included, by name.
func (w *Wire) Alive() []string {
	names := w.names()
	alive := names[:0]
	for _, name := range names {
		if ago, ok := w.LastHeard(name); ok && ago < DeadAfter {
			alive = append(alive, name)
		}
	}
	return alive
}

// Reachable lists the other members that are alive and to which a connection stands now, by name.
func (w *Wire) Reachable() []string {
	var reachable []string
	for _, name := range w.Alive() {
		if l := w.links[name]; l != nil && l.connected() {
			reachable = append(reachable, name)
		}
	}
	return reachable
}

// link is the node connection that this node keeps to one other member.
type link struct {
	w     *Wire
	peer  string
	heard atomic.Pointer[time.Time]
	// refusal is the reason of the last failed attempt, so that it is logged once and callers learn it.
	refusal atomic.Pointer[fault.Error]

	mu      sync.Mutex
	sender  *sender       // nil while not connected
	up      chan struct{} // closed while connected
	nextID  uint64
	waiting map[uint64]chan response
}

func newLink(w *Wire, peer string) *link {
	return &link{w: w, peer: peer, up: make(chan struct{}), waiting: map[uint64]chan response{}}
}

func (l *link) hear() {
	now := time.Now()
	l.heard.Store(&now)
}

// run keeps the link connected until ctx ends.
func (l *link) run(ctx context.Context) {
	pause := 20 * time.Millisecond
	for ctx.Err() == nil {
		conn, _, err := l.w.dial(ctx, l.peer, KindNode)
		if err == nil {
			l.refusal.Store(nil)
			l.hear()
			err = l.use(ctx, conn)
			pause = 20 * time.Millisecond
		}
		if ctx.Err() != nil {
			return
		}
		l.note(err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxRetry)
	}
}

// note logs why a link is down, when the reason is a new one.
func (l *link) note(err error) {
	reason := asFault(err)
	if before := l.refusal.Swap(reason); before == nil || before.Kind != reason.Kind {
		l.w.log.Warn("no connection to a node of the region", "node", l.peer, "error", err)
	}
}

// use pings and reads answers until the connection breaks.
func (l *link) use(ctx context.Context, conn net.Conn) error {
	s := &sender{w: l.w, to: l.peer, kind: KindNode, timeout: writeTimeout, conn: conn}
	l.mu.Lock()
	l.sender = s
	close(l.up)
	l.mu.Unlock()
	var pinging sync.WaitGroup
	stop := make(chan struct{})
	pinging.Go(func() { l.ping(ctx, s, stop) })
	err := l.receive(conn)
	close(stop)
	s.close()
	l.drop()
	pinging.Wait()
	return err
}

// ping asks for a sign of life twice a second. The answers count in receive; a peer that has been silent for long
// gets a new connection.
func (l *link) ping(ctx context.Context, s *sender, stop <-chan struct{}) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		r := request{method: MethodLiveness} // id 0: nobody waits for it
		if s.send(r.encode()) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-stop:
			return
		case <-tick.C:
		}
	}
}

func (l *link) receive(conn net.Conn) error {
	frames, wait := deadlines(conn, maxMessage, 2*DeadAfter)
	for {
		wait()
		t, payload, err := frames.next()
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "connection to node %q broke", l.peer)
		}
		if t != frameResponse {
			return fault.New(fault.Invalid, "frame of type %d where answers were expected", t)
		}
		r, err := decodeResponse(payload)
		if err != nil {
			return err
		}
		l.hear()
		r.payload = append([]byte(nil), r.payload...)
		l.mu.Lock()
		waiter := l.waiting[r.id]
		delete(l.waiting, r.id)
		l.mu.Unlock()
		if waiter != nil {
			waiter <- r
		}
	}
}

// drop fails every call that waits: what became of them is not known.
func (l *link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sender = nil
	l.up = make(chan struct{})
	for id, waiter := range l.waiting {
		waiter <- response{id: id, err: fault.New(fault.OutcomeUnknown, "connection to node %q broke before it answered", l.peer)}
		delete(l.waiting, id)
	}
}

func (l *link) call(ctx context.Context, method uint8, payload []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, fault.Wrap(fault.KindOf(err), err, "node %q was not asked", l.peer)
	}
	l.awaitUp(ctx)
	waiter := make(chan response, 1)
	r := request{method: method, payload: payload}
	if deadline, ok := ctx.Deadline(); ok {
		r.timeout = time.Until(deadline)
	}
	l.mu.Lock()
	s := l.sender
	full := len(l.waiting) >= maxInFlight
	if s != nil && !full {
		l.nextID++
		r.id = l.nextID
		l.waiting[r.id] = waiter
	}
	l.mu.Unlock()
	switch {
	case s == nil:
		return nil, fault.New(fault.Unavailable, "no connection to node %q", l.peer)
	case full:
		return nil, fault.New(fault.Busy, "%d calls to node %q wait for an answer", maxInFlight, l.peer)
	}
	if err := s.send(r.encode()); err != nil {
		l.forget(r.id)
		return nil, err
	}
	select {
	case answer := <-waiter:
		if answer.err != nil {
			return nil, answer.err
		}
		return answer.payload, nil
	case <-ctx.Done():
		l.forget(r.id)
		return nil, fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "node %q did not answer in time", l.peer)
	}
}

func (l *link) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sender != nil
}

// awaitUp waits a moment for the connection to a peer that is there: it may have called first.
func (l *link) awaitUp(ctx context.Context) {
	l.mu.Lock()
	up, connected := l.up, l.sender != nil
	l.mu.Unlock()
	if ago, heard := l.w.LastHeard(l.peer); connected || !heard || ago > DeadAfter {
		return
	}
	timer := time.NewTimer(upWait)
	defer timer.Stop()
	select {
	case <-up:
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
}

// serveNode answers the calls that arrive on one connection.
func (w *Wire) serveNode(ctx context.Context, conn net.Conn, from string) error {
	ctx, cancel := context.WithCancel(ctx)
	var calls sync.WaitGroup
	defer calls.Wait()
	defer cancel()
	s := &sender{w: w, to: from, kind: KindNode, timeout: writeTimeout, conn: conn}
	defer s.close()
	slots := make(chan struct{}, maxServing)
	frames, wait := deadlines(conn, maxMessage, 2*DeadAfter)
	for {
		wait()
		t, payload, err := frames.next()
		if err != nil {
			return err
		}
		if t != frameRequest {
			return fault.New(fault.Invalid, "frame of type %d where calls were expected", t)
		}
		r, err := decodeRequest(payload)
		if err != nil {
			return err
		}
		w.links[from].hear()
		if r.method == MethodLiveness {
			if err := s.send((&response{id: r.id}).encode()); err != nil {
				return err
			}
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			busy := response{id: r.id, err: fault.New(fault.Busy, "node %q answers %d calls of %q already", w.cfg.Node, maxServing, from)}
			if err := s.send(busy.encode()); err != nil {
				return err
			}
			continue
		}
		r.payload = append([]byte(nil), r.payload...)
		calls.Go(func() {
			defer func() { <-slots }()
			w.respond(ctx, s, from, r)
		})
	}
}

// respond answers one call, within the caller's time.
func (w *Wire) respond(ctx context.Context, s *sender, from string, r request) {
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	answer := response{id: r.id}
	payload, err := w.answer(ctx, from, r.method, r.payload)
	if err != nil {
		answer.err = asFault(err)
	} else {
		answer.payload = payload
	}
	_ = s.send(answer.encode()) // a broken connection is noticed by its reader
}
