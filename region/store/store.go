package store

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"
	"go.opentelemetry.io/otel/metric"

	"supercluster/internal/fault"
	"supercluster/region/record"
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

	// Fatal is called once, before Update returns the error that stops this replica. The process must end: it
	// prints the error's text, which says what to do.
	Fatal func(error)
	Log   *slog.Logger
	Meter metric.Meter
}

// Store is the state of one replica. It implements Dragonboat's IOnDiskStateMachine.
type Store struct{ cfg Config }

var _ sm.IOnDiskStateMachine = (*Store)(nil)

// New checks the configuration. It touches no disk and starts nothing: Dragonboat calls Open.
func New(cfg Config) (*Store, error) { return &Store{cfg: cfg}, nil }

// Published is a position of the state that readers see.
type Published struct {
	Positions record.Positions
	// Applied is the index of the last log entry in it.
	Applied uint64
}

// DiskState says whether the disk has room for what the state may need.
type DiskState struct {
	Total uint64
	Free  uint64
	// State is what the state takes now; Reserve what must stay free: a recovery from a snapshot needs the received
	// file and the new database beside the old one.
	State   uint64
	Reserve uint64
	// Low: raise the alarm. Enough: clear it. Between them, leave it as it is.
	Low    bool
	Enough bool
}

// Open opens the state and gives the index of the last entry in it.
func (s *Store) Open(stop <-chan struct{}) (uint64, error) { return 0, errClosed }

// Update applies entries in one batch.
func (s *Store) Update(entries []sm.Entry) ([]sm.Entry, error) { return nil, errClosed }

// Lookup is not used: readers call the store itself.
func (s *Store) Lookup(any) (any, error) { return nil, errClosed }

// Sync makes everything applied durable.
func (s *Store) Sync() error { return errClosed }

// PrepareSnapshot pins the state for SaveSnapshot.
func (s *Store) PrepareSnapshot() (any, error) { return nil, errClosed }

// SaveSnapshot streams the pinned state.
func (s *Store) SaveSnapshot(pinned any, w io.Writer, stop <-chan struct{}) error { return errClosed }

// RecoverFromSnapshot replaces the state by a streamed one.
func (s *Store) RecoverFromSnapshot(r io.Reader, stop <-chan struct{}) error { return errClosed }

// Close closes the state.
func (s *Store) Close() error { return nil }

// Published says what readers see now; false before Open and after Close.
func (s *Store) Published() (Published, bool) { return Published{}, false }

// Wait waits until readers see the entry with an index.
func (s *Store) Wait(ctx context.Context, index uint64) error { return errClosed }

// Get reads one record at a revision, 0 for the newest, and says at which positions it was read.
func (s *Store) Get(k record.Key, revision uint64) (record.Record, bool, record.Positions, error) {
	return record.Record{}, false, record.Positions{}, errClosed
}

// Range reads records in key order at a revision, 0 for the newest.
func (s *Store) Range(rng record.Range, revision uint64) (record.RangeResult, record.Positions, error) {
	return record.RangeResult{}, record.Positions{}, errClosed
}

// History reads the kept versions of one record, newest first, tombstones included; limit 0 is all.
func (s *Store) History(k record.Key, limit int) ([]record.Record, record.Positions, error) {
	return nil, record.Positions{}, errClosed
}

// Load gives every live record of some kinds at one moment, in key order, and says which moment.
func (s *Store) Load(ctx context.Context, kinds []record.Kind, fn func(record.Record) error) (record.Positions, error) {
	return record.Positions{}, errClosed
}

// Follow calls fn with the commits after from until ctx ends (nil), fn fails (its error), history is gone
// (Compacted, with the oldest revision) or the store closes (Unavailable). With idle > 0 fn is also called without
// commits after each such period. at says up to where everything was given. Commits are shared and immutable.
func (s *Store) Follow(ctx context.Context, from record.Positions, idle time.Duration, fn func(commits []record.Commit, at record.Positions) error) error {
	return errClosed
}

// Hash gives the hash of the logical state and the index it belongs to.
func (s *Store) Hash() (hash [32]byte, applied uint64, err error) { return hash, 0, errClosed }

// DiskState says whether the disk has room for what the state may need.
func (s *Store) DiskState() (DiskState, error) { return DiskState{}, errClosed }

var errClosed = fault.New(fault.Unavailable, "the state is not open").WithHint("retry, perhaps on another node")
