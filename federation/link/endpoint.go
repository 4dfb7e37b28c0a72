package link

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"net"
	"sync"

	"github.com/quic-go/quic-go"

	"supercluster/internal/fault"
)

// Endpoint is one UDP port: it accepts connections of peers, and dials from it.
type Endpoint struct {
	cfg     Config
	socket  net.PacketConn
	codec   *codec
	metrics *metrics
	gate    *gate

	ready     chan struct{} // closed once transport can dial
	transport *quic.Transport

	life    context.Context // ends when no dialing may go on
	endLife context.CancelFunc

	mu    sync.Mutex
	conns map[*Conn]struct{}
	ended bool
	group sync.WaitGroup // connections that are being accepted, served or dialed
}

// New checks the configuration. Nothing runs yet; the socket is the endpoint's from now on.
func New(cfg Config, socket net.PacketConn) (*Endpoint, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	cd, err := newCodec(cfg.Limits.MaxMessage)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{
		cfg: cfg, socket: socket, codec: cd, gate: newGate(cfg.Limits),
		ready: make(chan struct{}), conns: map[*Conn]struct{}{},
	}
	e.life, e.endLife = context.WithCancel(context.Background())
	e.metrics, err = newMetrics(cfg.Meter, e)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no metrics of the link")
	}
	reset := quic.StatelessResetKey(cfg.ResetKey)
	if cfg.ResetKey == [32]byte{} {
		_, _ = rand.Read(reset[:]) // never fails
	}
	e.transport = &quic.Transport{
		Conn: socket, StatelessResetKey: &reset, VerifySourceAddress: e.gate.suspect,
	}
	return e, nil
}

// Addr is the address of the port.
func (e *Endpoint) Addr() net.Addr { return e.socket.LocalAddr() }

// Conns lists the connections that are open now, of both directions, in no order.
func (e *Endpoint) Conns() []*Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := make([]*Conn, 0, len(e.conns))
	for c := range e.conns {
		open = append(open, c)
	}
	return open
}

// Ready is closed when peers can connect and Dial works.
func (e *Endpoint) Ready() <-chan struct{} { return e.ready }

func (e *Endpoint) bounds() bounds {
	return bounds{frame: uint32(e.cfg.Limits.MaxFrame), message: uint32(e.cfg.Limits.MaxMessage)}
}

// settings are those of QUIC. The connection window is that of all streams together (I4), from the start.
func (e *Endpoint) settings() *quic.Config {
	l := e.cfg.Limits
	window := uint64(l.StreamWindow)
	all := window * uint64(l.MaxStreams)
	return &quic.Config{
		HandshakeIdleTimeout: l.Handshake, MaxIdleTimeout: l.Idle, KeepAlivePeriod: l.KeepAlive,
		InitialStreamReceiveWindow: min(window, 512<<10), MaxStreamReceiveWindow: window,
		InitialConnectionReceiveWindow: all, MaxConnectionReceiveWindow: all,
		MaxIncomingStreams: int64(l.MaxStreams), MaxIncomingUniStreams: -1,
		EnableDatagrams: true,
	}
}

// Run serves the port until ctx ends. It returns when everything that the endpoint started has ended, handlers
// included; then the socket is closed.
func (e *Endpoint) Run(ctx context.Context) error {
	defer e.codec.close()
	defer e.socket.Close()
	settings := e.settings()
	settings.GetConfigForClient = func(info *quic.ClientInfo) (*quic.Config, error) {
		if err := e.gate.admit(info); err != nil {
			e.metrics.refuse(asFault(err).Kind)
			return nil, err
		}
		return settings, nil
	}
	listener, err := e.transport.Listen(e.listening(), settings)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "the federation port can not be used")
	}
	close(e.ready)
	err = e.accept(ctx, listener)
	e.shut()
	listener.Close()
	e.group.Wait()
	return errors.Join(err, ignoreClosed(e.transport.Close()))
}

// Close closes the port of an endpoint that was never run.
func (e *Endpoint) Close() {
	e.shut()
	e.codec.close()
	e.socket.Close()
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, quic.ErrTransportClosed) {
		return nil
	}
	return err
}

func (e *Endpoint) accept(ctx context.Context, l *quic.Listener) error {
	for {
		raw, err := l.Accept(ctx)
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = raw.CloseWithError(codeDone, "")
			}
			return nil
		case err != nil:
			return fault.Wrap(fault.Internal, err, "the federation port was closed")
		}
		if !e.enter() {
			_ = raw.CloseWithError(codeDone, "")
			continue
		}
		go func() {
			defer e.group.Done()
			e.serve(ctx, raw)
		}()
	}
}

// enter counts one more connection in the making, unless the endpoint ended.
func (e *Endpoint) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.group.Add(1)
	}
	return !e.ended
}

// shut closes every connection, and lets no new one begin.
func (e *Endpoint) shut() {
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.endLife()
	for _, c := range e.Conns() {
		c.Close(fault.New(fault.Unavailable, "the server is stopping"))
	}
}

// serve takes an accepted connection through its hello, and hands it to Config.Accept.
func (e *Endpoint) serve(ctx context.Context, raw *quic.Conn) {
	leave := e.gate.enter()
	defer leave()
	c := e.newConn(raw, false)
	err := c.welcome(ctx)
	if err != nil {
		c.Close(err)
		e.metrics.refuse(fault.KindOf(err))
		e.cfg.Log.Warn("a connection on the federation port was refused", "remote", raw.RemoteAddr().String(), "error", err)
		e.finish(c)
		return
	}
	e.metrics.connected(inward)
	handler, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(raw.Context(), cancel)
	if c.joining {
		err = e.cfg.Join(handler, c)
	} else {
		err = e.cfg.Accept(handler, c)
	}
	stop()
	cancel()
	c.Close(err)
	switch {
	case err == nil || ctx.Err() != nil:
	case c.joining:
		e.cfg.Log.Warn("a region that is no peer was not let in", "remote", c.peer.Address, "error", err)
	default:
		e.cfg.Log.Info("a connection of a peer ended", "peer", c.peer.String(), "error", err)
	}
	e.finish(c)
}

func (e *Endpoint) newConn(raw *quic.Conn, dialed bool) *Conn {
	return &Conn{end: e, raw: raw, dialed: dialed, streams: make(chan *Stream)}
}

// track remembers a connection; it is refused over the limit of its region and after the end.
func (e *Endpoint) track(c *Conn) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.ended:
		return fault.New(fault.Unavailable, "the server is stopping")
	case !c.dialed && e.cfg.Accept == nil:
		return fault.New(fault.Denied, "this server takes no connections of peers")
	case !c.dialed && e.gate.full(): // several handshakes went on at once when it was nearly so
		return fault.New(fault.Busy, "%d connections are open already", e.cfg.Limits.MaxConnections)
	}
	if c.joining && !c.dialed {
		if err := e.admitJoin(); err != nil {
			return err
		}
		e.conns[c] = struct{}{}
		return nil
	}
	same := 0
	for other := range e.conns {
		if !other.dialed && !other.joining && other.peer.Region == c.peer.Region {
			same++
		}
	}
	if !c.dialed && same >= e.cfg.Limits.MaxPerRegion {
		return fault.New(fault.Busy, "%d connections of the region are open already", same)
	}
	e.conns[c] = struct{}{}
	return nil
}

// finish forgets a connection that was closed, once its goroutines ended.
func (e *Endpoint) finish(c *Conn) {
	c.wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conns, c)
}

// Dial opens a connection to a server of a region. The caller closes it.
func (e *Endpoint) Dial(ctx context.Context, region [16]byte, address string) (*Conn, error) {
	return e.dial(ctx, region, address, false)
}

func (e *Endpoint) dial(ctx context.Context, region [16]byte, address string, extra bool) (*Conn, error) {
	client, err := e.cfg.Client(region)
	if err != nil {
		return nil, err
	}
	return e.dialWith(ctx, region, address, harden(client), func(c *Conn) { c.extra = extra })
}

// dialWith dials with a configuration of TLS that is ready for use.
func (e *Endpoint) dialWith(ctx context.Context, region [16]byte, address string, client *tls.Config, mark func(*Conn)) (*Conn, error) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil, fault.Wrap(fault.KindOf(ctx.Err()), ctx.Err(), "the federation port is not open yet")
	}
	to, err := resolve(ctx, address)
	if err != nil {
		return nil, err
	}
	if !e.enter() {
		return nil, fault.New(fault.Unavailable, "the server is stopping")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.life, cancel)
	defer stop()
	raw, err := e.transport.Dial(ctx, to, client, e.settings())
	if err != nil {
		e.group.Done()
		return nil, dialFault(address, err)
	}
	c := e.newConn(raw, true)
	mark(c)
	if err = c.introduce(ctx, region); err != nil {
		c.Close(err)
		err = dialFault(address, err)
	}
	go func() {
		defer e.group.Done()
		e.finish(c)
	}()
	if err != nil {
		return nil, err
	}
	e.metrics.connected(outward)
	return c, nil
}

// dialFault says which address failed, and keeps the kind. A peer that stayed silent is unavailable: what the
// caller's context says of it is only how long was waited.
func dialFault(address string, err error) error {
	f := *asFault(err)
	f.Message = address + ": " + f.Message
	if f.Kind == fault.Deadline {
		f.Kind, f.Message = fault.Unavailable, address+" does not answer"
	}
	return &f
}

func resolve(ctx context.Context, address string) (net.Addr, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "address %q is not host:port", address)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "udp", port)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "address %q has no port", address)
	}
	if ip := net.ParseIP(host); ip != nil {
		return &net.UDPAddr{IP: ip, Port: number}, nil
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil || len(ips) == 0 {
		return nil, fault.Wrap(fault.Unavailable, err, "host %q is not known", host)
	}
	return &net.UDPAddr{IP: ips[0].IP, Zone: ips[0].Zone, Port: number}, nil
}
