package node

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lni/dragonboat/v4/config"
	"github.com/lni/dragonboat/v4/tools"

	"supercluster/internal/fault"
)

// RestoreConfig says which folder begins with which state.
type RestoreConfig struct {
	Dir      string
	Region   string
	RegionID [16]byte
	Node     string
	Members  []string
	// Base is below the replica ids that the members get: no replica of the region ever had one above it. It must be the
	// same for all members, and another one when the members or the state are others.
	Base uint64
	// Write writes the state as a snapshot stream, as it is after an entry of the log.
	Write func(w io.Writer, applied uint64) error
}

// RestoreReplica is the replica id that a member gets.
func RestoreReplica(base uint64, members []string, member string) uint64 {
	return base + replicaIDs(members)[member]
}

// restoreName is the folder of what a restore needs only while it runs. It is there before anything else of the restore, and
// goes last: where it is and no identity, a restore did not end, and all else in the data folder is what it left.
const restoreName = "supercluster-restore"

// Every member must begin at the same entry of the same term, or their logs would differ at what counts as committed. A
// log of one member that nobody else takes part in always comes there.
const (
	restoreIndex = 8
	restoreTerm  = 2
	restoreTries = 5
	restoreBoot  = 1 // no server had it: the first start counts on
)

// Restore makes an unused data folder that of a member of a region that begins again with a state. Every member is
// restored so, from the same state; then all start as after a stop.
func Restore(ctx context.Context, cfg RestoreConfig) error {
	if err := refuseForeignSettings(); err != nil {
		return err
	}
	routeRaftLog(slog.New(slog.DiscardHandler)) // what matters comes back as an error
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return folderFault(cfg.Dir, err)
	}
	lock, err := lockFolder(cfg.Dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Stat(filepath.Join(cfg.Dir, identityName)); err == nil {
		return fault.New(fault.Conflict, "data folder %s is in use by a node: nothing is restored over it", cfg.Dir).
			WithHint("move it away, or set another data-dir, on every member")
	}
	if err := beginRestore(cfg.Dir); err != nil {
		return err
	}
	f := &Folder{dir: cfg.Dir, id: identity{
		Format: folderFormat, Region: cfg.Region, Node: cfg.Node, Boot: restoreBoot, Members: map[string]uint64{},
		RegionID: hex.EncodeToString(cfg.RegionID[:]), Started: true, Restored: restoreIndex,
	}}
	for name, id := range replicaIDs(cfg.Members) {
		f.id.Members[name] = cfg.Base + id
	}
	f.id.Replica = f.id.Members[cfg.Node]
	if err := f.fill(ctx, cfg); err != nil {
		_ = clearRestore(cfg.Dir) // the first error says more; the next restore tries again
		return err
	}
	return f.dropRestore()
}

// fill makes the log and the state of the folder, and its identity last: without that no node starts on it.
func (f *Folder) fill(ctx context.Context, cfg RestoreConfig) error {
	if err := f.prepareAndImport(ctx, cfg); err != nil {
		return err
	}
	if err := os.Mkdir(f.StateDir(), 0o700); err != nil {
		return folderFault(f.dir, err)
	}
	if err := syncAll(f.RaftDir()); err != nil {
		return folderFault(f.dir, err)
	}
	return f.save()
}

// prepareAndImport puts the state into a log of one member, takes it out as a snapshot, and makes that the log's begin.
func (f *Folder) prepareAndImport(ctx context.Context, cfg RestoreConfig) error {
	temporary := filepath.Join(f.dir, restoreName)
	for range restoreTries {
		log, export := filepath.Join(temporary, "log"), filepath.Join(temporary, "export")
		if err := errors.Join(os.RemoveAll(log), os.RemoveAll(export), os.MkdirAll(export, 0o700)); err != nil {
			return folderFault(f.dir, err)
		}
		same, err := f.prepare(ctx, cfg, log, export)
		if err != nil {
			return err
		}
		if same {
			return f.importFrom(export)
		}
	}
	return fault.New(fault.Unavailable, "the log to restore from did not begin as it must, %d times", restoreTries).
		WithHint("is this machine very busy? try again")
}

// quietHost is a host that talks to nobody.
func (f *Folder) quietHost(dir string) config.NodeHostConfig {
	n := &Node{
		cfg:     Config{Node: f.id.Node, Folder: f, Transport: deafTransport{}},
		members: newMembers(slices.Collect(maps.Keys(f.id.Members))),
		tan:     newTanLog(nil),
	}
	c := n.hostConfig()
	c.NodeHostDir, c.RaftEventListener, c.EnableMetrics = dir, nil, false
	return c
}

// importFrom makes an exported snapshot the begin of the folder's log.
func (f *Folder) importFrom(export string) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = panicFault(f.RaftDir(), cause)
		}
	}()
	exported, err := os.ReadDir(export)
	if err != nil || len(exported) != 1 {
		return fault.Wrap(fault.Internal, err, "the log to restore from exported %d snapshots", len(exported))
	}
	members := map[uint64]string{}
	for name, id := range f.id.Members {
		members[id] = hostID(name)
	}
	c := f.quietHost(f.RaftDir())
	c.RaftAddress = hostID(f.id.Node) // as the members are named in the snapshot
	if err := tools.ImportSnapshot(c, filepath.Join(export, exported[0].Name()), members, f.id.Replica); err != nil {
		return fault.Wrap(fault.Internal, err, "the state can not be put into the Raft log in %s", f.RaftDir())
	}
	// The host's note has the other address; without one, the first start writes its own.
	hosts, err := filepath.Glob(filepath.Join(f.RaftDir(), "*", "*", hostFlag))
	flat, globErr := filepath.Glob(filepath.Join(f.RaftDir(), hostFlag))
	more, moreErr := filepath.Glob(filepath.Join(f.RaftDir(), "*", hostFlag))
	if err := errors.Join(err, globErr, moreErr); err != nil {
		return folderFault(f.RaftDir(), err)
	}
	for _, path := range slices.Concat(hosts, flat, more) {
		if err := os.Remove(path); err != nil {
			return folderFault(f.RaftDir(), err)
		}
	}
	return nil
}

// restorePatience bounds one entry of the log to restore from, restoreLimit the writing of the state.
const (
	restorePatience = 10 * time.Second
	restoreLimit    = 6 * time.Hour
)
