package federation

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sync/errgroup"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

// Store is the replicated store, as package region gives it.
type Store interface {
	Propose(ctx context.Context, op record.Op) (record.Result, error)
	Linearize(ctx context.Context) (record.Positions, error)
	// Pin gives the rows as they are now, unchanged until release. One goroutine uses them at a time.
	Pin() (rows state.Reader, release func(), err error)
	// Changed is closed when the rows change next.
	Changed() <-chan struct{}
	// Busy reports whether the store has much to do with the disk now.
	Busy() bool
	// Leads reports whether this node leads, and gives a channel that is closed when that may have changed.
	Leads() (leads bool, changed <-chan struct{})
	// Call asks a node of the region; Alive lists those that can be asked.
	Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error)
	Alive() []string
	Leader() string
	Ready() <-chan struct{}
}

// Identity is who this region is, as package secrets/ca gives it.
type Identity struct {
	RegionID    [16]byte
	Name        string
	TrustDomain string
	FeedKey     []byte   // public
	Roots       [][]byte // certificates of the region's CA, DER
	Fingerprint string
	Sign        feed.Signer
	// Fingerprints names certificates for people.
	Fingerprints func(der [][]byte) []string
	// SetRoots replaces the roots that the servers of a region are trusted by; none ends the trust.
	SetRoots func(region [16]byte, der [][]byte) error
	// Claimed says which server a certificate proves, if its root is trusted for the region that it names. It is for the
	// first contact, when the region is not trusted yet.
	Claimed func(state tls.ConnectionState, roots [][]byte) (link.PeerID, error)
}

// Config says who this node is and what it works with.
type Config struct {
	Store    Store
	Identity Identity
	Node     string
	// Addresses are the host:port of the federation listeners of this region.
	Addresses func() []string
	// AddressOf is the one of a node; empty: not known. Nil knows none.
	AddressOf func(node string) string
	// ProbeAddresses are the host:port of the probe listeners of this region, and Probe asks one of another region and gives
	// the round trip. Without Probe, only feeds and links say which regions are there.
	ProbeAddresses func() []string
	Probe          func(ctx context.Context, address string) (roundTrip time.Duration, err error)
	// View gives the registry view, for summaries; nil writes none.
	View func() *registry.View
	// Now is the clock that certificates, invitations and people go by; nil is time.Now. Ages and liveness do not need it.
	Now    func() time.Time
	Link   link.Config // without Self, Accept, Log and Meter
	Socket net.PacketConn
	// Forward answers a call that was made in another region, by its rules; nil refuses them.
	Forward func(ctx context.Context, c *ForwardedCall) ([]byte, error)
	// CatchingUp is called with each operation that is part of catching up with another region; nil is not.
	CatchingUp func()
	// SendOnce sends no copies of records: fewer bytes, and a lost packet costs a round trip.
	SendOnce bool
	Tuning   Tuning

	Log   *slog.Logger
	Meter metric.Meter
}

// Tuning changes what tests and benchmarks need changed. Zero fields mean the default.
type Tuning struct {
	Credit      uint32        // bytes that a channel may have on their way; 4 MiB
	ProbeEvery  time.Duration // how often the age of a channel is asked for; 1 s
	OfferEvery  time.Duration // how often a peer is asked what it offers; 2 s
	DutyEvery   time.Duration // how often the leader looks at what there is to do; 200 ms
	RelayAfter  time.Duration // how long a region may be without a link until a relay serves it; 3 s
	HealWithin  time.Duration // how long healing waits for peers; 30 s
	KeepRecords uint64        // records of a channel's log; 1,000,000
	KeepBytes   uint64        // and bytes; 1 GiB
}

func (t *Tuning) fill() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if t.Credit == 0 {
		t.Credit = 4 << 20
	}
	set(&t.ProbeEvery, time.Second)
	set(&t.OfferEvery, 2*time.Second)
	set(&t.DutyEvery, 200*time.Millisecond)
	set(&t.RelayAfter, 3*time.Second)
	set(&t.HealWithin, 30*time.Second)
	if t.KeepRecords == 0 {
		t.KeepRecords = 1_000_000
	}
	if t.KeepBytes == 0 {
		t.KeepBytes = 1 << 30
	}
}

// Federation is one node's part of the exchange. New starts nothing.
type Federation struct {
	cfg      Config
	log      *slog.Logger
	server   feed.Server
	guard    feed.Guard
	endpoint *link.Endpoint
	book     *book
	ages     *ages
	// standings is what Standing answers from for a while.
	standings lastStandings
	routes    *routes
	seen      *seen
	lanes     *lanes
	tails     *tails
	reach     *reach
	metrics   *metrics

	mu      sync.Mutex
	uplinks map[[16]byte]*uplink // while this node leads
	forward atomic.Int64         // calls of peers that are worked on
	// verifying is held by the one who verifies.
	verifying chan struct{}
	unkept    *pb.Healing      // the report of a healing that the region had no room for yet
	proof     *record.FeedHead // the newest head that proved to this process that the region lost something
	announced int64            // of the duties alone: when the region fenced itself, of the healing that was logged last

	// started is the data revision that this process began with: what is newer was written since.
	started atomic.Uint64
}

// New checks the configuration. The socket is the Federation's from now on.
func New(cfg Config) (*Federation, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Tuning.fill()
	f := &Federation{
		cfg: cfg, log: cfg.Log, ages: newAges(), routes: newRoutes(), lanes: newLanes(), seen: newSeen(), uplinks: map[[16]byte]*uplink{},
		verifying: make(chan struct{}, 1), server: feed.Server{Self: cfg.Identity.RegionID, Sign: cfg.Identity.Sign},
	}
	f.book, f.tails, f.reach = newBook(cfg.Identity), newTails(f), newReach(f)
	f.guard = feed.Guard{Self: cfg.Identity.RegionID, Keys: f.book.verify, Started: cfg.Now().UnixNano()}
	l := cfg.Link
	l.Self = link.PeerID{Region: cfg.Identity.RegionID, Server: cfg.Node}
	l.Accept, l.Join, l.Level, l.Log, l.Meter = f.accept, f.join, record.FeatureLevel, cfg.Log, cfg.Meter
	var err error
	if f.metrics, err = newMetrics(cfg.Meter, f); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "no metrics of the federation")
	}
	f.endpoint, err = link.New(l, cfg.Socket)
	return f, err
}

// Addr is the address of the federation port.
func (f *Federation) Addr() net.Addr { return f.endpoint.Addr() }

// Run serves peers, and takes their channels over whenever this node leads, until ctx ends.
func (f *Federation) Run(ctx context.Context) error {
	defer f.metrics.stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return f.endpoint.Run(ctx) })
	g.Go(func() error { return f.keepBook(ctx) })
	g.Go(func() error { return f.lead(ctx) })
	g.Go(func() error { return f.learnAges(ctx) })
	g.Go(func() error { return f.reach.spread(ctx) })
	g.Go(func() error { return f.keepSeen(ctx) })
	g.Go(func() error { return f.tails.run(ctx) })
	return g.Wait()
}

// pinned runs fn on the rows as they are now.
func (f *Federation) pinned(fn func(r state.Reader) error) error {
	r, release, err := f.cfg.Store.Pin()
	if err != nil {
		return err
	}
	defer release()
	return fn(r)
}

// propose has the region apply an operation; a status other than OK is an error.
func (f *Federation) propose(ctx context.Context, op record.Op) (record.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return f.cfg.Store.Propose(ctx, op)
}

// pause waits, or less if ctx ends; it says whether ctx lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
