package region

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
	"supercluster/region/node"
	"supercluster/region/record"
	"supercluster/region/store"
	"supercluster/region/wire"
)

// Faults decides the fate of what nodes send each other, for tests and chaos.
type Faults = wire.Faults

// Tuning changes what tests need changed.
type Tuning = node.Tuning

// Config says what a region's node is and where it keeps its data.
type Config struct {
	// Region and Node are names. Members maps the name of every node of the region, this one included, to the
	// host:port of its Raft port.
	Region  string
	Node    string
	Members map[string]string
	// ID is the region's id, which it gets at its first start and must have at every later one; 0: a random one.
	ID [16]byte
	// DataDir is the folder of this node alone.
	DataDir string
	// Listen is the address to listen on for the Raft port; empty means Members[Node]. Listener is used instead when
	// it is set.
	Listen   string
	Listener net.Listener
	// GRPC and HTTP are the addresses other programs reach; they go into the node's record.
	GRPC string
	HTTP string
	// Federation is the address that other regions reach; empty when this node does not exchange with any.
	Federation string
	// Probe is the address at which other regions probe this node; empty as well.
	Probe string
	// ServerTLS and ClientTLS are used together, or both nil for plain TCP.
	ServerTLS *tls.Config
	ClientTLS *tls.Config
	// Bootstrap allows the first start, on an empty folder.
	Bootstrap bool
	// Dev is for one node on a desk: short elections, and the first start needs no Bootstrap.
	Dev bool

	Log    *slog.Logger
	Meter  metric.Meter
	Faults Faults
	Tuning Tuning
	State  StateTuning
}

// StateTuning changes of the state what tests and chaos need changed; zero values keep its own settings.
type StateTuning struct {
	FS         vfs.FS
	RingEvents int           // recent changes that are kept in memory for watches
	DiskEvery  time.Duration // how often the room of the disk is looked at; 5 s
}

// Region is one node's part of its region. It starts nothing before Run.
type Region struct {
	cfg   Config
	log   *slog.Logger
	wire  *wire.Wire
	parts atomic.Pointer[parts] // set when Run has opened the folder
	ready chan struct{}
	// asked is when someone last read locally or asked for the status, in Unix nanoseconds: only then the age of
	// this node's knowledge is kept low.
	asked atomic.Int64
	disk  func() (store.DiskState, error) // of tests
}

// parts is what exists while the node runs.
type parts struct {
	folder *node.Folder
	node   *node.Node
	store  *store.Store
	// disk is the store's DiskState; tests put another in its place.
	disk    func() (store.DiskState, error)
	history history
}

// New checks the configuration and makes a node that does not run yet.
func New(cfg Config) (*Region, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	switch {
	case cfg.Region == "":
		return nil, fault.Field("region", "a region needs a name")
	case cfg.DataDir == "":
		return nil, fault.Field("data-dir", "a node needs a data folder")
	case cfg.Dev && len(cfg.Members) != 1:
		return nil, fault.Field("members", "a development region has one node")
	}
	w, err := wire.New(wire.Config{
		Region: cfg.Region, Node: cfg.Node, Members: cfg.Members, Listen: cfg.Listen, Listener: cfg.Listener,
		Server: cfg.ServerTLS, Client: cfg.ClientTLS, Faults: cfg.Faults, Log: cfg.Log, Meter: cfg.Meter,
	})
	if err != nil {
		return nil, err
	}
	r := &Region{cfg: cfg, log: cfg.Log, wire: w, ready: make(chan struct{})}
	w.Handle(wire.MethodHold, r.hold)
	return r, nil
}

// hold answers the leader that is about to hand over.
func (r *Region) hold(ctx context.Context, _ string, _ []byte) ([]byte, error) {
	if p := r.parts.Load(); p != nil {
		p.node.Hold(ctx)
	}
	return nil, nil
}

// quiet asks the other nodes to hold their writes, before this one hands leadership over. One that does not answer
// only makes that slower.
func (r *Region) quiet(ctx context.Context) {
	var asked sync.WaitGroup
	for _, name := range r.wire.Reachable() {
		asked.Go(func() {
			if _, err := r.wire.Call(ctx, name, wire.MethodHold, nil); err != nil {
				r.log.Debug("a node does not hold its writes", "node", name, "error", err)
			}
		})
	}
	asked.Wait()
}

// Ready is closed when the node has caught up with its region once: reads and writes can be served.
func (r *Region) Ready() <-chan struct{} { return r.ready }

// Run runs the node until ctx ends or it can not go on; a leader hands leadership over before it stops. After an
// error of kind Corrupt, Unsupported or Internal the process must end.
func (r *Region) Run(ctx context.Context) error {
	if err := r.wire.Listen(); err != nil {
		return err
	}
	p, err := r.open(ctx)
	if err != nil {
		r.wire.Close()
		return err
	}
	defer p.folder.Close()
	r.parts.Store(p)
	if id, known := p.folder.RegionID(); known {
		r.wire.SetRegion(id, p.mayKnow)
	}
	// The port outlives the replica, which hands over and says goodbye through it.
	wireCtx, closeWire := context.WithCancel(context.Background())
	defer closeWire()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	wireEnd := make(chan error, 1)
	nodeEnd := make(chan error, 1)
	dutiesEnd := make(chan error, 1)
	go func() { wireEnd <- r.wire.Run(wireCtx) }()
	go func() { nodeEnd <- p.node.Run(ctx) }()
	go func() { dutiesEnd <- r.duties(ctx, p) }()
	var result error
	for wireEnd != nil || nodeEnd != nil || dutiesEnd != nil {
		var err error
		select {
		case err = <-wireEnd:
			wireEnd = nil
		case err = <-dutiesEnd:
			dutiesEnd = nil
		case err = <-nodeEnd:
			nodeEnd = nil
		}
		if result == nil {
			result = err
		}
		stop()
		if nodeEnd == nil {
			closeWire()
		}
	}
	return result
}

// open takes the data folder and makes the parts of the node.
func (r *Region) open(ctx context.Context) (*parts, error) {
	folder, err := node.OpenFolder(ctx, node.FolderConfig{
		Dir: r.cfg.DataDir, Region: r.cfg.Region, Node: r.cfg.Node, Members: slices.Collect(maps.Keys(r.cfg.Members)),
		RegionID: r.cfg.ID, Bootstrap: r.cfg.Bootstrap, Dev: r.cfg.Dev, Knows: r.wire.Knows,
	})
	if err != nil {
		return nil, err
	}
	p := &parts{folder: folder}
	p.store, err = store.New(store.Config{
		Dir: folder.StateDir(), Shard: 1, Replica: folder.Replica(), Restored: folder.Restored(), Log: r.log, Meter: r.cfg.Meter,
		FS: r.cfg.State.FS, RingEvents: r.cfg.State.RingEvents,
		Fatal: func(err error) { p.node.Fail(err) },
	})
	if err == nil {
		p.disk = p.store.DiskState
		if r.disk != nil {
			p.disk = r.disk
		}
		p.node, err = node.New(node.Config{
			Node: r.cfg.Node, Dev: r.cfg.Dev, Folder: folder, Transport: r.wire.Transport(), Reachable: r.wire.Reachable,
			Quiet:   r.quiet,
			Machine: p.store, Tuning: r.cfg.Tuning, Log: r.log, Meter: r.cfg.Meter,
		})
	}
	if err != nil {
		folder.Close()
		return nil, err
	}
	return p, nil
}

// StoredID gives the id of the region whose data a folder holds, 0 when it holds none yet.
func StoredID(dataDir string) ([16]byte, error) { return node.StoredRegionID(dataDir) }

// Propose has the region apply one operation, exactly once, and gives its result. A status other than OK comes
// back as an error too. Retries of what the log dropped happen inside, until ctx ends.
func (r *Region) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	p := r.parts.Load()
	if p == nil {
		return record.Result{}, errStarting
	}
	result, err := p.node.Propose(ctx, op)
	if err != nil {
		return record.Result{}, err
	}
	return result, statusFault(&op, &result)
}

// Call asks a node, this one included, on the node channel.
func (r *Region) Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error) {
	return r.wire.Call(ctx, node, method, payload)
}

// Handle answers calls of a method. Before Run only.
func (r *Region) Handle(method uint8, fn func(ctx context.Context, from string, payload []byte) ([]byte, error)) {
	r.wire.Handle(method, fn)
}

// Alive lists the nodes heard within 2 s, this one included, by name.
func (r *Region) Alive() []string { return r.wire.Alive() }

// LastHeard says how long ago a node was last heard; false when never.
func (r *Region) LastHeard(node string) (time.Duration, bool) { return r.wire.LastHeard(node) }
