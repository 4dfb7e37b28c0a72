package health

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	"golang.org/x/sync/errgroup"

	"supercluster/health/check"
	"supercluster/region/record"
	"supercluster/registry"
)

// HeartbeatMethod is the method of the node channel that HandleHeartbeat serves.
const HeartbeatMethod uint8 = 2

const (
	defaultMaxProbes = 1024
	// maxLinks bounds the connections kept between probes, by their cost; checks beyond it connect for each probe.
	maxLinks = 2048
	// maxLinkAge is the longest interval over which a connection is kept: servers close idle ones.
	maxLinkAge = 30 * time.Second
)

// Views is the registry view and its changes, as package registry/live gives them.
type Views interface {
	View() *registry.View
	Follow(ctx context.Context, fn func(v *registry.View, c registry.Changes) error) error
}

// Config is what a Runner needs. Views, Propose and Node must be set.
type Config struct {
	Views Views
	// Propose writes one operation, as Region.Propose does.
	Propose func(ctx context.Context, op record.Op) (record.Result, error)
	// Node is the name of this node.
	Node string
	// Alive lists the live nodes of the region, this one included, sorted; nil: this one alone.
	Alive func() []string
	// Call asks another node over the node channel; nil when there is no other node.
	Call func(ctx context.Context, node string, method uint8, payload []byte) ([]byte, error)
	// AllowLinkLocal lets checks connect to link-local and metadata addresses.
	AllowLinkLocal bool
	// MaxProbes bounds the probes in flight; default 1,024.
	MaxProbes int
	// Damping holds back recoveries of checks that flap; default off.
	Damping check.Damping
	Log     *slog.Logger
	Meter   metric.Meter
}

func (c Config) withDefaults() Config {
	if c.Alive == nil {
		c.Alive = func() []string { return nil }
	}
	if c.MaxProbes <= 0 {
		c.MaxProbes = defaultMaxProbes
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Meter == nil {
		c.Meter = noop.Meter{}
	}
	return c
}

// Runner runs the checks that belong to this node.
type Runner struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	epoch   time.Time
	// probe runs one probe; tests replace it.
	probe func(ctx context.Context, t target, link io.Closer) outcome

	sessions *sessions
	writer   *writer
	tasks    tasks
	nodes    atomic.Pointer[nodeSet] // nil until Run
	active   atomic.Int64            // active checks, for the metrics
	adopted  signal                  // the loop took a view in
	changes  chan change
	results  chan result

	courierMu sync.Mutex
	couriers  map[string]*courier
}

// New makes a Runner; it starts nothing.
func New(cfg Config) *Runner {
	cfg = cfg.withDefaults()
	r := &Runner{
		cfg: cfg, log: cfg.Log, epoch: time.Now(),
		probe:    prober{dial: dialer(cfg.AllowLinkLocal)}.probe,
		sessions: newSessions(check.Guard{MaxGap: maxGap, Percent: 50, Minimum: 20}),
		changes:  make(chan change),
		results:  make(chan result, cfg.MaxProbes),
		couriers: map[string]*courier{},
	}
	r.metrics = newMetrics(cfg.Meter, r)
	r.writer = newWriter(cfg, r.metrics)
	return r
}

// Run probes, takes heartbeats and writes what changed, until ctx ends. It may be called once.
func (r *Runner) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	defer r.tasks.end()
	l := r.newLoop(ctx)
	g.Go(l.run)
	g.Go(func() error { return r.writer.run(ctx) })
	g.Go(func() error {
		return r.cfg.Views.Follow(ctx, func(v *registry.View, c registry.Changes) error {
			select {
			case r.changes <- change{view: v, changes: c}:
			case <-ctx.Done():
			}
			return nil
		})
	})
	return g.Wait()
}

// now is the time since the Runner was made, by the monotonic clock.
func (r *Runner) now() time.Duration { return time.Since(r.epoch) }

func (r *Runner) alive() []string {
	if names := r.cfg.Alive(); len(names) > 0 {
		return names
	}
	return []string{r.cfg.Node}
}

// tasks are the goroutines that Run waits for.
type tasks struct {
	mu    sync.Mutex
	wg    sync.WaitGroup
	ended bool
}

// Go runs fn in a goroutine; false: Run has ended and fn does not run.
func (t *tasks) Go(fn func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return false
	}
	t.wg.Go(fn)
	return true
}

func (t *tasks) end() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	t.wg.Wait()
}
