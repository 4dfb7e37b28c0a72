package region

import (
	"context"
	"crypto/tls"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/wire"
)

// Config says what a region's node is and where it keeps its data.
type Config struct {
	// Region and Node are names. Members maps the name of every node of the region, this one included, to the
	// host:port of its Raft port.
	Region  string
	Node    string
	Members map[string]string
	// DataDir is the folder of this node alone.
	DataDir string
	// Listen is the address to listen on for the Raft port; empty means Members[Node].
	Listen string
	// GRPC and HTTP are the addresses other programs reach; they go into the node's record.
	GRPC string
	HTTP string
	// ServerTLS and ClientTLS are used together, or both nil for plain TCP.
	ServerTLS *tls.Config
	ClientTLS *tls.Config
	// Bootstrap allows the first start, on an empty folder.
	Bootstrap bool
	// Dev is for one node on a desk: short elections, and the first start needs no Bootstrap.
	Dev bool

	Log    *slog.Logger
	Meter  metric.Meter
	Faults wire.Faults
}

// Region is one node's view of its region. It starts nothing before Run.
type Region struct {
	cfg   Config
	ready chan struct{}
}

// New checks the configuration and makes a region that is not running yet.
func New(cfg Config) (*Region, error) {
	return &Region{cfg: cfg, ready: make(chan struct{})}, nil
}

// Status is what this node knows of its region.
type Status struct {
	Region   string
	RegionID [16]byte
	Node     string
	Replica  uint64
	// Leader is the name of the leader, empty when none is known.
	Leader string
	Term   uint64
	// Applied is the index of the last log entry that this node's store contains.
	Applied   uint64
	Positions record.Positions
	Compacted record.Positions
	Purged    record.Positions
	Alarms    []record.Alarm
	Keys      uint64
	Bytes     uint64
	// FeatureLevel is the replicated format level.
	FeatureLevel uint32
	// Clock is the replicated state clock.
	Clock time.Duration
	// Age is how long ago this node last knew that it was not behind.
	Age time.Duration
}

// NodeStatus is what this node knows of one node of the region.
type NodeStatus struct {
	Name    string
	Replica uint64
	Raft    string
	GRPC    string
	HTTP    string
	// Alive: heard within 2 s, or self. LastHeard is how long ago, 0 for self and when never.
	Alive     bool
	LastHeard time.Duration
	Leader    bool
	Self      bool
}

// Run runs the node until ctx ends or it can not go on; a leader hands leadership over before it stops.
func (r *Region) Run(ctx context.Context) error { return errStarting }

// Ready is closed when the node has caught up with its region once: reads and writes can be served.
func (r *Region) Ready() <-chan struct{} { return r.ready }

// Propose has the region apply one operation, exactly once, and gives its result. A status other than OK comes
// back as an error too. Retries of what the log dropped happen inside, until ctx ends.
func (r *Region) Propose(ctx context.Context, op record.Op) (record.Result, error) {
	return record.Result{}, errStarting
}

// Linearize waits until reads on this node show every write acknowledged before the call.
func (r *Region) Linearize(ctx context.Context) (record.Positions, error) {
	return record.Positions{}, errStarting
}

// Get reads one record at a revision, 0 for the newest.
func (r *Region) Get(ctx context.Context, k record.Key, revision uint64, level record.Level) (record.Record, bool, record.Freshness, error) {
	return record.Record{}, false, record.Freshness{}, errStarting
}

// Range reads records in key order at a revision, 0 for the newest.
func (r *Region) Range(ctx context.Context, rng record.Range, revision uint64, level record.Level) (record.RangeResult, record.Freshness, error) {
	return record.RangeResult{}, record.Freshness{}, errStarting
}

// History reads the kept versions of one record, newest first, tombstones included.
func (r *Region) History(ctx context.Context, k record.Key, limit int) ([]record.Record, record.Freshness, error) {
	return nil, record.Freshness{}, errStarting
}

// Load gives every live record of some kinds at one moment, in key order, and says which moment.
func (r *Region) Load(ctx context.Context, fn func(record.Record) error, kinds ...record.Kind) (record.Positions, error) {
	return record.Positions{}, errStarting
}

// Follow calls fn with the commits after from, in order and without gaps, until ctx ends (nil), fn fails (its
// error) or history is gone (Compacted, with the oldest revision). With idle > 0 fn is also called without commits
// after each such period. at says up to where everything was given. Commits are shared: they must not be changed.
func (r *Region) Follow(ctx context.Context, from record.Positions, idle time.Duration, fn func(commits []record.Commit, at record.Positions) error) error {
	return errStarting
}

// Freshness says how new local reads are now.
func (r *Region) Freshness() record.Freshness { return record.Freshness{} }

// Status says what this node knows of its region.
func (r *Region) Status() Status { return Status{} }

// Nodes lists the nodes of the region by name.
func (r *Region) Nodes() []NodeStatus { return nil }

// Call asks a node, this one included, on the node channel.
func (r *Region) Call(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error) {
	return nil, errStarting
}

// Handle answers calls of a method. Before Run only.
func (r *Region) Handle(method uint8, fn func(ctx context.Context, from string, payload []byte) ([]byte, error)) {
}

// Alive lists the nodes heard within 2 s, this one included, by name.
func (r *Region) Alive() []string { return nil }

// LastHeard says how long ago a node was last heard; false when never.
func (r *Region) LastHeard(node string) (time.Duration, bool) { return 0, false }

var errStarting = fault.New(fault.Unavailable, "this node is starting")
