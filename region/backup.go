package region

import (
	"context"
	"encoding/hex"
	"io"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/backup"
	"supercluster/region/record"
	"supercluster/region/state"
)

// Backup writes a backup of the region as this node has it once it shows every write acknowledged before the call. Updates
// go on meanwhile. at is for display.
func (r *Region) Backup(ctx context.Context, w io.Writer, version string, at time.Time) (backup.Trailer, error) {
	rows, release, err := r.linearized(ctx)
	if err != nil {
		return backup.Trailer{}, err
	}
	defer release()
	head, err := r.backupHeader(rows)
	if err != nil {
		return backup.Trailer{}, err
	}
	head.Version, head.Time = version, at.UTC()
	return writeBackup(w, &head, rows)
}

func writeBackup(w io.Writer, head *backup.Header, rows state.Reader) (backup.Trailer, error) {
	out, err := backup.NewWriter(w, head)
	if err != nil {
		return backup.Trailer{}, err
	}
	n, sum, err := state.WriteHashed(out, rows)
	if err != nil {
		return backup.Trailer{}, err
	}
	return out.Close(n, sum)
}

// Hashes are those of the state at an entry.
type Hashes struct {
	// Applied and Revision are the entry and the revision of the data that they are of.
	Applied, Revision uint64
	// State is equal on all nodes at the same entry.
	State [32]byte
	// Content is equal for a backup and for the region that was restored from it, until somebody writes.
	Content [32]byte
}

// StateHash reads all of the state.
func (r *Region) StateHash(ctx context.Context) (h Hashes, err error) {
	rows, release, err := r.linearized(ctx)
	if err != nil {
		return h, err
	}
	defer release()
	sum, err := state.Summarize(rows)
	if err != nil {
		return h, err
	}
	h.Applied, h.Revision = sum.AppliedIndex, sum.Positions.Data
	if h.State, err = state.Hash(rows); err != nil {
		return h, err
	}
	h.Content, err = state.Content(rows)
	return h, err
}

// pinWithin is how long a region without a leader is waited for.
const pinWithin = 10 * time.Second

func (r *Region) linearized(ctx context.Context) (state.Reader, func(), error) {
	ctx, cancel := context.WithTimeout(ctx, pinWithin)
	defer cancel()
	if _, err := r.reach(ctx, record.LevelLinearizable); err != nil {
		return nil, nil, err
	}
	return r.Pin()
}

func (r *Region) backupHeader(rows state.Reader) (backup.Header, error) {
	sum, err := state.Summarize(rows)
	if err != nil {
		return backup.Header{}, err
	}
	if sum.RegionID == [16]byte{} {
		return backup.Header{}, errNoIdentity
	}
	fed, federated, err := state.ReadFederation(rows)
	if err != nil {
		return backup.Header{}, err
	}
	highest, err := state.MaxReplica(rows)
	if err != nil {
		return backup.Header{}, err
	}
	return backup.Header{
		Region: sum.RegionName, RegionID: hex.EncodeToString(sum.RegionID[:]), Federated: federated, Incarnation: fed.Incarnation,
		SystemRevision: sum.Positions.System, Revision: sum.Positions.Data, CompactedRevision: sum.Compacted.Data,
		AppliedIndex: sum.AppliedIndex, FeatureLevel: sum.FeatureLevel, Replica: highest, Node: r.cfg.Node,
	}, nil
}

// checkContent compares what a backup says of itself with what its state is.
func checkContent(h *backup.Header, t *backup.Trailer, rows uint64, sum [32]byte) error {
	switch {
	case rows != t.Rows:
		return fault.New(fault.Corrupt, "the backup has %d rows, not %d", rows, t.Rows)
	case sum != t.Hash:
		return fault.New(fault.Corrupt, "the state of the backup has the hash %x, not %x", sum, t.Hash).
			WithHint("this file cannot be restored: use another backup")
	case h.FeatureLevel > record.FeatureLevel:
		return fault.New(fault.Unsupported, "the backup needs feature level %d; this version has %d", h.FeatureLevel, record.FeatureLevel).
			WithHint("use the version that made it, or a newer one")
	}
	return nil
}
