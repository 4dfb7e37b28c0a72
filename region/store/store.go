package store

import (
	"cmp"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Config says where the state is and how much memory it may use.
type Config struct {
	// Dir is the folder of the state; it is made when it does not exist.
	Dir string
	// Shard and Replica are Dragonboat's numbers. A folder belongs to one of each for ever.
	Shard   uint64
	Replica uint64
	// FS is the file system; nil is the machine's.
	FS vfs.FS

	// CacheBytes bounds the newest versions kept in memory, BlockCacheBytes Pebble's own cache; 0 is 32 MiB each.
	CacheBytes      int64
	BlockCacheBytes int64
	// RingEvents and RingBytes bound the recent commits kept in memory for followers; 0 is 65,536 and 64 MiB.
	RingEvents int
	RingBytes  int64
	// DiskMargin is what must stay free on the disk whatever the size of the state: the log and Pebble's own files
	// need it. 0 is 256 MiB.
	DiskMargin uint64

	// Restored is the entry at which the log of a restored region begins; 0: it was not restored. Until the log has a later
	// snapshot, Dragonboat begins every start with that one, however new the state is, and applies the rest again.
	Restored uint64

	// Fatal is called once, before the call that stops this replica returns its error to Dragonboat, which then ends
	// the process. It should print the error's text, which says what to do.
	Fatal func(error)
	Log   *slog.Logger
	Meter metric.Meter
}

const (
	defaultCacheBytes      = 32 << 20
	defaultBlockCacheBytes = 32 << 20
	defaultRingEvents      = 1 << 16
	defaultRingBytes       = 64 << 20
	defaultDiskMargin      = 256 << 20
)

// Published is a position of the state that readers see.
type Published struct {
	Positions record.Positions
	// Applied is the index of the last log entry in it.
	Applied uint64
}

// Store is the state of one replica. It implements Dragonboat's IOnDiskStateMachine.
type Store struct {
	cfg     Config
	folder  folder
	cache   *cache
	ring    *ring
	metrics *metrics

	view    atomic.Pointer[view] // what readers see; nil while the store is not open
	applied broadcast            // after each publication

	// What follows belongs to the calls that Dragonboat serialises.
	live     *database
	current  current
	sequence uint64
	overlay  *overlay
	scratch  state.Scratch // of Update
	decoder  record.Decoder
	fixed    *fixedRows

	writing   atomic.Int32   // flushes and compactions that go on
	databases sync.WaitGroup // those that are open, old ones that are still read included
	failure   atomic.Pointer[fault.Error]

	mu     sync.Mutex
	pinned map[*view]struct{} // by PrepareSnapshot, until SaveSnapshot takes them
}

var _ sm.IOnDiskStateMachine = (*Store)(nil)

// New checks the configuration. It touches no disk and starts nothing: Dragonboat calls Open.
func New(cfg Config) (*Store, error) {
	if cfg.Dir == "" {
		return nil, fault.Field("data-dir", "the store needs a folder")
	}
	if cfg.FS == nil {
		cfg.FS = vfs.Default
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Meter == nil {
		cfg.Meter = noop.NewMeterProvider().Meter("")
	}
	cfg.CacheBytes = cmp.Or(cfg.CacheBytes, defaultCacheBytes)
	cfg.BlockCacheBytes = cmp.Or(cfg.BlockCacheBytes, defaultBlockCacheBytes)
	cfg.RingEvents = cmp.Or(cfg.RingEvents, defaultRingEvents)
	cfg.RingBytes = cmp.Or(cfg.RingBytes, defaultRingBytes)
	cfg.DiskMargin = cmp.Or(cfg.DiskMargin, defaultDiskMargin)
	s := &Store{
		cfg: cfg,
		folder: folder{
			fs: cfg.FS, dir: cfg.Dir, shard: cfg.Shard, replica: cfg.Replica,
			step: func(string) error { return nil },
		},
		cache:  newCache(cfg.CacheBytes),
		ring:   newRing(cfg.RingEvents, cfg.RingBytes),
		fixed:  newFixedRows(),
		pinned: map[*view]struct{}{},
	}
	s.overlay = newOverlay(s.cache, s.fixed)
	var err error
	s.metrics, err = newMetrics(cfg.Meter, s)
	return s, err
}

// Open implements statemachine.IOnDiskStateMachine: it opens the state, publishes it and gives the index of the last
// entry in it. It builds nothing in memory.
func (s *Store) Open(stop <-chan struct{}) (uint64, error) {
	if s.view.Load() != nil {
		return 0, fault.New(fault.Internal, "the state is open already")
	}
	c, err := s.folder.prepare()
	if err != nil {
		return 0, s.fail(err)
	}
	if stopped(stop) {
		return 0, sm.ErrOpenStopped
	}
	d, err := s.openDatabase(c)
	if err != nil {
		return 0, s.fail(err)
	}
	summary, err := s.settle(&c, d)
	if err != nil {
		d.release()
		return 0, s.fail(err)
	}
	s.show(c, d, summary)
	return summary.AppliedIndex, nil
}

// settle leaves an opened database as the only one of the folder.
func (s *Store) settle(c *current, d *database) (state.Summary, error) {
	if !c.created {
		c.created = true
		if err := s.folder.switchTo(*c); err != nil {
			return state.Summary{}, err
		}
	}
	if err := s.folder.clean(*c); err != nil {
		return state.Summary{}, err
	}
	return summarize(d)
}

// show publishes a database. Readers may see the state jump, never go back.
func (s *Store) show(c current, d *database, summary state.Summary) {
	s.live, s.current = d, c
	s.fixed.clear()
	s.sequence++
	s.cache.reset(s.sequence)
	s.publish(newView(d, Published{Positions: summary.Positions, Applied: summary.AppliedIndex}, s.sequence, &s.fixed.shared))
	s.ring.reset(summary.Positions)
}

func summarize(d *database) (state.Summary, error) {
	r := &reader{rows: d}
	summary, err := state.Summarize(r)
	if closeErr := r.close(); err == nil {
		err = closeErr
	}
	return summary, err
}

// Lookup implements statemachine.IOnDiskStateMachine. Readers call the store itself.
func (s *Store) Lookup(any) (any, error) {
	return nil, fault.New(fault.Unsupported, "reads do not go through the log library")
}

// Sync implements statemachine.IOnDiskStateMachine: everything applied is durable after it.
func (s *Store) Sync() error {
	if s.live == nil {
		return errClosed
	}
	if err := s.live.LogData(nil, pebble.Sync); err != nil {
		return s.fail(diskFault(err, "the state can not be synced"))
	}
	return nil
}

// Close implements statemachine.IOnDiskStateMachine. It waits for readers that are under way; followers end.
func (s *Store) Close() error {
	before := s.view.Swap(nil)
	if before == nil {
		return nil
	}
	s.applied.signal()
	s.ring.changed.signal()
	s.mu.Lock()
	for v := range s.pinned {
		v.release()
	}
	clear(s.pinned)
	s.mu.Unlock()
	before.release()
	s.live.release()
	s.live = nil
	s.databases.Wait()
	return nil
}

// fail stops this replica: the first error is reported once, and everything that writes answers it from now on.
func (s *Store) fail(err error) error {
	cause, ok := fault.As(err)
	if !ok {
		cause = fault.Wrap(fault.Internal, err, "the state of this replica failed")
	}
	if s.failure.CompareAndSwap(nil, cause) && s.cfg.Fatal != nil {
		s.cfg.Fatal(err)
	}
	return err
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
