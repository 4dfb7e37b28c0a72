package region

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/backup"
	"supercluster/region/node"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/region/store"
)

// BackupContent is what a backup was found to be.
type BackupContent struct {
	Header  backup.Header
	Trailer backup.Trailer
	// ContentHash is equal to that of every node of the region that begins with it; see state.Content.
	ContentHash [32]byte
}

// VerifyBackup restores a backup into a throw-away store in an empty folder, and compares the hash of the state that is
// then there. The caller removes the folder.
func VerifyBackup(ctx context.Context, file io.Reader, dir string) (BackupContent, error) {
	in, err := backup.NewReader(file)
	if err != nil {
		return BackupContent{}, err
	}
	defer in.Close()
	s, err := store.New(store.Config{Dir: dir, Shard: 1, Replica: 1, Fatal: func(error) {}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return BackupContent{}, err
	}
	if _, err := s.Open(ctx.Done()); err != nil {
		return BackupContent{}, err
	}
	// The store reads up to the end of the snapshot stream; what follows it belongs to the backup.
	err = s.RecoverFromSnapshot(in, ctx.Done())
	if err == nil {
		err = drained(in)
	}
	content := BackupContent{Header: in.Header, Trailer: in.Trailer}
	if err == nil {
		err = compareStore(s, &content)
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return content, errors.Join(err, s.Close())
}

// drained reads the end of a backup: the snapshot stream must be all that it held.
func drained(in *backup.Reader) error {
	var one [1]byte
	n, err := in.Read(one[:])
	switch {
	case n > 0:
		return fault.New(fault.Corrupt, "the backup holds more than one snapshot stream")
	case errors.Is(err, io.EOF):
		return nil
	default:
		return err
	}
}

func compareStore(s *store.Store, c *BackupContent) error {
	rows, release, err := s.Pin()
	if err != nil {
		return err
	}
	defer release()
	n, sum, err := state.WriteHashed(io.Discard, rows)
	if err != nil {
		return err
	}
	if err := checkContent(&c.Header, &c.Trailer, n, sum); err != nil {
		return err
	}
	if c.ContentHash, err = state.Content(rows); err != nil {
		return err
	}
	summary, err := state.Summarize(rows)
	if err != nil {
		return err
	}
	h := &c.Header
	if hex.EncodeToString(summary.RegionID[:]) != h.RegionID || summary.Positions != (record.Positions{System: h.SystemRevision, Data: h.Revision}) {
		return fault.New(fault.Corrupt, "the state of the backup is not the one that its header names")
	}
	return nil
}

// RestoreConfig says what is restored where.
type RestoreConfig struct {
	// Open opens the backup, from its begin.
	Open func() (io.ReadCloser, error)
	// The configuration of the member.
	DataDir string
	Region  string
	Node    string
	Members []string
	// ID is the region of the identity; 0 without one.
	ID [16]byte
	// Progress is told, in words, what is done now; nil: nobody.
	Progress func(step string)
}

func (cfg *RestoreConfig) say(step string) {
	if cfg.Progress != nil {
		cfg.Progress(step)
	}
}

// Restored is what a member begins with.
type Restored struct {
	Content BackupContent
	Replica uint64
	// Hash is that of the state with which every member begins.
	Hash [32]byte
}

// RestoreBackup makes an unused data folder that of a member of a region that begins again with the state of a backup. Every
// member is restored from the same file; none of them may have run since. What the backup's region was told to do before, its
// old members included, has no part in it: the log is a new one, of replicas with new ids.
func RestoreBackup(ctx context.Context, cfg RestoreConfig) (Restored, error) {
	cfg.say("checking the backup")
	whole, err := cfg.readThrough()
	if err != nil {
		return Restored{}, err
	}
	h := &whole.Header
	id, err := cfg.mayRestore(h)
	if err != nil {
		return Restored{}, err
	}
	base := restoreBase(h, &whole.Trailer, cfg.Members)
	result := Restored{Content: whole, Replica: node.RestoreReplica(base, cfg.Members, cfg.Node)}
	change := state.Restore{
		At:     h.Time.UnixNano(),
		Reason: fmt.Sprintf("restored from a backup of %s, revision %d", h.Time.Format(time.RFC3339), h.Revision),
	}
	cfg.say(fmt.Sprintf("restoring %d rows into %s", whole.Trailer.Rows, cfg.DataDir))
	err = node.Restore(ctx, node.RestoreConfig{
		Dir: cfg.DataDir, Region: cfg.Region, RegionID: id, Node: cfg.Node, Members: cfg.Members, Base: base,
		Write: func(w io.Writer, applied uint64) error {
			change.AppliedIndex = applied
			var err error
			result.Hash, err = cfg.rewrite(w, &change, &whole)
			return err
		},
	})
	return result, err
}

// mayRestore judges whether a backup belongs to the configured region.
func (cfg *RestoreConfig) mayRestore(h *backup.Header) (id [16]byte, err error) {
	if id, err = h.ID(); err != nil {
		return id, err
	}
	switch {
	case cfg.ID == [16]byte{} && h.Federated:
		return id, fault.New(fault.Conflict, "the backup is of region %s (%s), which exchanges with others, and the configuration names no identity", h.Region, h.RegionID).
			WithHint("put the key files that `supercluster region init` made for it in place, and name their folder in identity.dir; they are in no backup")
	case cfg.ID != [16]byte{} && cfg.ID != id:
		return id, fault.New(fault.Conflict, "the backup is of region %s (%s), and the identity is that of region %x", h.Region, h.RegionID, cfg.ID).
			WithHint("restore a backup of this region, or name the identity files of region %s", h.RegionID)
	case cfg.Region != h.Region && cfg.ID == [16]byte{}:
		return id, fault.New(fault.Conflict, "the backup is of region %q, and the configuration is for region %q", h.Region, cfg.Region).
			WithHint("restore a backup of this region, or set region: %s", h.Region)
	case !slices.Contains(cfg.Members, cfg.Node):
		return id, fault.Field("members", "node %q is no member", cfg.Node)
	}
	return id, nil
}

// restoreBase is below the replica ids of the restored region: above all that the region ever had, as far as the backup
// knows, and another one for another backup or other members.
func restoreBase(h *backup.Header, t *backup.Trailer, members []string) uint64 {
	const perRestore, restores = 256, 1 << 20
	d := sha256.New()
	d.Write(t.Hash[:])
	for _, name := range slices.Sorted(slices.Values(members)) {
		d.Write(append([]byte(name), 0))
	}
	return h.Replica + perRestore + binary.LittleEndian.Uint64(d.Sum(nil))%restores*perRestore
}

// readThrough reads a backup as a whole before anything is made of it.
func (cfg *RestoreConfig) readThrough() (c BackupContent, err error) {
	err = cfg.rows(&c, func(_, _ []byte) error { return nil })
	return c, err
}

// rows calls fn with each row of the backup, and succeeds when the file is whole and its state the one that it names.
func (cfg *RestoreConfig) rows(c *BackupContent, fn func(key, value []byte) error) error {
	file, err := cfg.Open()
	if err != nil {
		return err
	}
	defer file.Close()
	in, err := backup.NewReader(file)
	if err != nil {
		return err
	}
	defer in.Close()
	rows, h, content := uint64(0), state.NewHasher(), state.NewContentHasher()
	err = state.ReadSnapshot(in, func(key, value []byte) error {
		rows++
		if err := errors.Join(h.Add(key, value), content.Add(key, value)); err != nil {
			return err
		}
		return fn(key, value)
	})
	if err == nil {
		err = drained(in)
	}
	if err != nil {
		return err
	}
	c.Header, c.Trailer, c.ContentHash = in.Header, in.Trailer, content.Sum()
	return checkContent(&in.Header, &in.Trailer, rows, h.Sum())
}

// rewrite writes the rows of the backup as they are after the restore, and gives their hash. Their content must be that of the backup.
func (cfg *RestoreConfig) rewrite(w io.Writer, change *state.Restore, whole *BackupContent) (sum [32]byte, err error) {
	out, h, content := record.NewSnapshotWriter(w, whole.Header.FeatureLevel), state.NewHasher(), state.NewContentHasher()
	var again BackupContent
	err = cfg.rows(&again, func(key, value []byte) error {
		value, keep, err := change.Row(key, value)
		if err != nil || !keep {
			return err
		}
		if err := errors.Join(h.Add(key, value), content.Add(key, value)); err != nil {
			return err
		}
		return out.Add(key, value)
	})
	switch {
	case err != nil:
	case again != *whole:
		err = fault.New(fault.Conflict, "the backup changed while it was read").WithHint("copy it to where nobody writes, and restore again")
	case content.Sum() != whole.ContentHash:
		err = fault.New(fault.Internal, "the restored state has the content hash %x, and the backup %x", content.Sum(), whole.ContentHash)
	}
	if err != nil {
		return sum, err
	}
	return h.Sum(), out.Close()
}

// OpenBackup opens a file as RestoreConfig wants it.
func OpenBackup(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		kind := fault.Invalid
		if errors.Is(err, fs.ErrNotExist) {
			kind = fault.NotFound
		}
		return nil, fault.Wrap(kind, err, "the backup %s cannot be opened", path).
			WithHint("name a file that `supercluster backup create` wrote, and that this user may read")
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fault.New(fault.Invalid, "%s is a folder, not a backup", path).WithHint("name one file: `supercluster backup ls %s` lists them", path)
	}
	return f, nil
}
