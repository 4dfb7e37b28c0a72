package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lni/dragonboat/v4/raftio"
	pb "github.com/lni/dragonboat/v4/raftpb"
	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
)

// Time limits. They bound what a peer that is gone, or means ill, can hold.
const (
	dialTimeout      = 2 * time.Second
	handshakeTimeout = 5 * time.Second  // TLS and the first frame
	writeTimeout     = 5 * time.Second  // one frame
	chunkTimeout     = 30 * time.Second // one chunk: the receiver writes it to its disk
	readTimeout      = 5 * time.Second  // from a header to the end of its payload
	idleTimeout      = 2 * time.Minute  // between frames; Dragonboat closes idle connections after one
	pingEvery        = 500 * time.Millisecond
)

// DeadAfter is how long a member is taken for alive after it was heard last. What takes over from a dead node adds to it.
const DeadAfter = 2 * time.Second

// maxConnections bounds accepted connections; a member needs three, and a few more while it reconnects.
const maxConnections = 256

// Config says who this node is and who the others are.
type Config struct {
	Region string
	Node   string
	// Members maps names to addresses, host:port; this node included.
	Members map[string]string
	// Listen is the address to listen on; empty means Members[Node].
	Listen string
	// Listener is used instead of Listen when it is set.
	Listener net.Listener
	// Server and Client are used together, or both nil for plain TCP. Certificate getters in them are asked at each
	// handshake, so certificates can change while connections live. Client.ServerName, when empty, is the host dialed.
	Server *tls.Config
	Client *tls.Config
	// Faults is nil outside of tests.
	Faults Faults

	Log   *slog.Logger
	Meter metric.Meter
}

// Handler answers the calls of one method of the node channel. The payload is its own.
type Handler func(ctx context.Context, from string, payload []byte) ([]byte, error)

// Wire is one node's end of all connections of its region.
type Wire struct {
	cfg      Config
	log      *slog.Logger
	metrics  metrics
	listener net.Listener
	handlers [256]Handler
	links    map[string]*link // one for each other member; the map never changes

	// region is what this node knows of the region's id, and asks about members; set when the store knows.
	region   atomic.Pointer[[16]byte]
	known    atomic.Pointer[func(node string) bool]
	receiver atomic.Pointer[receiver]

	mu    sync.Mutex
	conns map[net.Conn]struct{} // every open connection, to close them at the end
	ended bool
	group sync.WaitGroup
}

// receiver is where Dragonboat takes what arrives. Once it is closed nothing is on its way to Dragonboat any more, which
// takes itself apart then.
type receiver struct {
	batch raftio.MessageHandler
	chunk raftio.ChunkHandler

	mu     sync.RWMutex // held for reading while something is handed over
	closed bool
}

func (r *receiver) takeBatch(b pb.MessageBatch) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.closed {
		r.batch(b)
	}
}

func (r *receiver) takeChunk(c pb.Chunk) (wanted bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return !r.closed && r.chunk(c)
}

func (r *receiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// New checks the configuration. Nothing runs yet.
func New(cfg Config) (*Wire, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if (cfg.Server == nil) != (cfg.Client == nil) {
		return nil, fault.New(fault.Invalid, "TLS needs a server and a client configuration, or neither")
	}
	if _, ok := cfg.Members[cfg.Node]; !ok {
		return nil, fault.Field("members", "node %q is not among the members", cfg.Node)
	}
	for name, address := range cfg.Members {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fault.Field("members", "address %q of node %q is not host:port", address, name)
		}
	}
	m, err := newMetrics(cfg.Meter)
	if err != nil {
		return nil, err
	}
	w := &Wire{
		cfg: cfg, log: cfg.Log, metrics: m,
		conns: map[net.Conn]struct{}{}, links: map[string]*link{},
	}
	for name := range cfg.Members {
		if name != cfg.Node {
			w.links[name] = newLink(w, name)
		}
	}
	w.handlers[MethodLiveness] = func(context.Context, string, []byte) ([]byte, error) { return nil, nil }
	return w, nil
}

// Handle answers calls of a method. Before Run only.
func (w *Wire) Handle(method uint8, h Handler) { w.handlers[method] = h }

// SetRegion tells the region's id once the store knows it, and how to find out whether the region has seen a node.
// From then on peers of another id are refused.
func (w *Wire) SetRegion(id [16]byte, known func(node string) bool) {
	w.known.Store(&known)
	w.region.Store(&id)
}

func (w *Wire) regionID() [16]byte {
	if id := w.region.Load(); id != nil {
		return *id
	}
	return [16]byte{}
}

// Listen opens the port, so that a port in use is found before anything else starts.
func (w *Wire) Listen() error {
	if w.cfg.Listener != nil {
		w.listener = w.cfg.Listener
		return nil
	}
	address := w.cfg.Listen
	if address == "" {
		address = w.cfg.Members[w.cfg.Node]
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return listenFault(address, err)
	}
	w.listener = l
	return nil
}

// Addr is the address listened on; nil before Listen.
func (w *Wire) Addr() net.Addr {
	if w.listener == nil {
		return nil
	}
	return w.listener.Addr()
}

// Run accepts connections and keeps one node connection to every other member, until ctx ends. It returns when
// everything it started has ended.
func (w *Wire) Run(ctx context.Context) error {
	if w.listener == nil {
		if err := w.Listen(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, w.shut)
	defer stop()
	for _, l := range w.links {
		w.group.Go(func() { l.run(ctx) })
	}
	err := w.accept(ctx)
	cancel()
	w.shut()
	w.group.Wait()
	return err
}

// shut closes the port and every connection, and lets no new one begin.
func (w *Wire) shut() {
	w.listener.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	for c := range w.conns {
		c.Close()
	}
}

func (w *Wire) accept(ctx context.Context) error {
	for {
		conn, err := w.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fault.Wrap(fault.Internal, err, "the Raft port was closed")
		case err != nil: // out of file descriptors, mostly: it passes
			w.log.Warn("accepting a connection of a node failed", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		if !w.track(conn, maxConnections) {
			conn.Close()
			continue
		}
		w.group.Go(func() {
			defer w.untrack(conn)
			w.serve(ctx, conn)
		})
	}
}

// track remembers an open connection; it is refused over a limit and after the end.
func (w *Wire) track(conn net.Conn, limit int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended || len(w.conns) >= limit {
		return false
	}
	w.conns[conn] = struct{}{}
	return true
}

func (w *Wire) untrack(conn net.Conn) {
	conn.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, conn)
}

// names lists the members in order.
func (w *Wire) names() []string {
	names := make([]string, 0, len(w.cfg.Members))
	for name := range w.cfg.Members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Close closes the port of a Wire that was never run.
func (w *Wire) Close() { w.shut() }
