package store

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"supercluster/internal/fault"
)

// formatVersion is Pebble's format. It is raised by hand, never by an upgrade of the library, so that a node can go
// back one version.
const formatVersion = pebble.FormatTableFormatV6

// Sizes that suit a small machine. The rows of a region are small and most reads are answered by the cache of newest
// versions, so Pebble gets little.
const (
	memTableSize = 16 << 20
	memTableStop = 4
	// reservedMemTables is how many there are under load: one that fills and one that is flushed. Pebble takes them out of
	// its cache; with nothing added to it, a load left no room for blocks, and every lookup read and decompressed three.
	reservedMemTables = 2
	// l0Compaction and l0Stop are tables above each other from which on they are compacted, and from which on writes wait. Twice
	// Pebble's: half as many rewrites of the level below, for a few more tables in a scan and in a read of the past.
	l0Compaction    = 8
	l0Stop          = 24
	bytesPerSync    = 512 << 10 // spreads the write-back, so that Sync, which holds up Update, finds little to do
	maxOpenFiles    = 256
	bloomBitsPerKey = 10
	blockSize       = 8 << 10
)

// database is one open Pebble database, closed when the last view of it is gone.
type database struct {
	*pebble.DB
	fs   vfs.FS
	path string
	refs atomic.Int64
	// obsolete: remove the folder after closing.
	obsolete atomic.Bool
	open     *sync.WaitGroup
	log      *slog.Logger
}

// openDatabase opens a database. Without created it is made; otherwise a missing one is an error, for an empty state
// in its place would be amnesia.
func (s *Store) openDatabase(c current) (*database, error) {
	path := s.folder.path(c.name())
	options := s.pebbleOptions()
	options.ErrorIfNotExists = c.created
	if c.created {
		if err := s.checkManifest(path); err != nil {
			return nil, err
		}
	}
	db, err := pebble.Open(path, options)
	if c.created && (errors.Is(err, pebble.ErrDBDoesNotExist) || isNotExist(err)) {
		return nil, fault.Wrap(fault.Corrupt, err, "the database %s has lost files", path).WithHint(replaceHint)
	}
	if err != nil {
		return nil, diskFault(err, "the database %s can not be opened", path)
	}
	d := &database{DB: db, fs: s.folder.fs, path: path, open: &s.databases, log: s.cfg.Log}
	d.refs.Store(1)
	d.open.Add(1)
	return d, nil
}

func (d *database) retain() { d.refs.Add(1) }

// release gives up one reference. The last one closes the database: a reader may well be the last.
func (d *database) release() {
	if d.refs.Add(-1) > 0 {
		return
	}
	defer d.open.Done()
	if err := d.Close(); err != nil {
		d.log.Error("a database did not close cleanly", "path", d.path, "error", err)
	}
	if !d.obsolete.Load() {
		return
	}
	if err := d.fs.RemoveAll(d.path); err != nil {
		d.log.Warn("an unused database could not be removed; the next start tries again", "path", d.path, "error", err)
	}
}

func (s *Store) pebbleOptions() *pebble.Options {
	logger := &pebbleLog{log: s.cfg.Log, fatal: s.fail, writing: &s.writing}
	options := &pebble.Options{
		FS:                          s.folder.fs,
		Comparer:                    newComparer(),
		FormatMajorVersion:          formatVersion,
		CacheSize:                   s.cfg.BlockCacheBytes + reservedMemTables*memTableSize,
		MemTableSize:                memTableSize,
		MemTableStopWritesThreshold: memTableStop,
		L0CompactionThreshold:       l0Compaction,
		L0StopWritesThreshold:       l0Stop,
		MaxOpenFiles:                maxOpenFiles,
		BytesPerSync:                bytesPerSync,
		WALBytesPerSync:             bytesPerSync,
		CompactionConcurrencyRange:  func() (lower, upper int) { return 1, 2 },
		Logger:                      logger,
		EventListener:               logger.events(),
	}
	// Blocks of older values are kept in memory, at four times their size, until a table is written: too much for
	// what they save, since the newest versions are read from our cache.
	options.Experimental.SpanPolicyFunc = func([]byte) (pebble.SpanPolicy, []byte, error) {
		return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
	}
	for i := range options.Levels {
		options.Levels[i].BlockSize = blockSize
		options.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		options.Levels[i].FilterType = pebble.TableFilter
	}
	return options
}

// pebbleLog passes on what an operator can act on. Pebble's own information is for its developers: debug level.
type pebbleLog struct {
	log     *slog.Logger
	fatal   func(error) error
	writing *atomic.Int32 // flushes and compactions that go on
}

// Infof implements pebble.Logger.
func (l *pebbleLog) Infof(string, ...any) {}

// Errorf implements pebble.Logger.
func (l *pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble", "error", fault.New(fault.Internal, format, args...))
}

// Fatalf implements pebble.Logger. Pebble calls it when it can not go on (a write of its log failed) and relies on it
// not to return.
func (l *pebbleLog) Fatalf(format string, args ...any) {
	panic(l.fatal(fault.New(fault.Internal, format, args...).
		WithHint("the disk of the state folder failed or is full; restart this node when that is mended")))
}

func (l *pebbleLog) events() *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			l.log.Error("pebble: background work failed, it is tried again", "error", err.Error())
		},
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			l.log.Error("pebble: damaged data on disk", "detail", info.String())
			_ = l.fatal(fault.New(fault.Corrupt, "the file %s of the state is damaged", info.Path).WithHint(replaceHint))
		},
		DiskSlow: func(info pebble.DiskSlowInfo) {
			l.log.Warn("the disk is slow", "path", info.Path, "operation", info.OpType.String(), "duration", info.Duration)
		},
		WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
			l.log.Warn("writes wait for the disk", "reason", info.Reason)
		},
		WriteStallEnd:   func() { l.log.Info("writes go on") },
		CompactionBegin: func(pebble.CompactionInfo) { l.writing.Add(1) },
		CompactionEnd: func(info pebble.CompactionInfo) {
			l.writing.Add(-1)
			l.log.Debug("pebble: compacted", "detail", info.String())
		},
		FlushBegin: func(pebble.FlushInfo) { l.writing.Add(1) },
		FlushEnd: func(info pebble.FlushInfo) {
			l.writing.Add(-1)
			l.log.Debug("pebble: flushed", "detail", info.String())
		},
	}
}
