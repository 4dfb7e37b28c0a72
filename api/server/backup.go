package server

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region/backup"
	"supercluster/registry/access"
)

// backupChunk is how much of a backup one message carries.
const backupChunk = 64 << 10

// Backup streams a backup. It pins the state while it runs, which costs the disk what is written meanwhile: so one at a time, a
// client that does not read is left, and so is one that reads for too long.
func (k clusterService) Backup(_ *pb.BackupRequest, stream grpc.ServerStreamingServer[pb.BackupResponse]) error {
	c := callFrom(stream.Context())
	if err := decide(c, access.Request{Verb: access.VerbAdmin, Kind: access.KindCluster, Name: "backup"}); err != nil {
		return err
	}
	done, err := k.s.readWhole()
	if err != nil {
		return err
	}
	defer done()
	began := time.Now()
	trailer, size, err := k.s.sendBackup(stream)
	took := time.Since(began)
	k.s.backups.note(stream.Context(), err, began, size, took)
	if err != nil {
		return err
	}
	k.s.log.Info("a backup was made", "principal", c.principal.Name, "rows", trailer.Rows, "size", size, "took", took, "state_hash", hex.EncodeToString(trailer.Hash[:]))
	return nil
}

// sendBackup sends a backup and gives its end and the bytes that were sent.
func (s *Server) sendBackup(stream grpc.ServerStreamingServer[pb.BackupResponse]) (t backup.Trailer, size uint64, err error) {
	limit := s.cfg.Limits.BackupTimeout
	ctx, cancel := context.WithTimeoutCause(stream.Context(), limit, fault.New(fault.SlowConsumer,
		"the client did not take the whole backup within %s: it was given up, so that the disk of this node gets its space back", limit).
		WithHint("take it to a machine with a faster connection to this node"))
	defer cancel()
	ctx, stopped := s.untilStop(ctx, nil)
	defer stopped()
	chunks := newChunkSender(ctx, stream, s.cfg.Limits.SendTimeout)
	defer chunks.close()
	out := bufio.NewWriterSize(chunks, backupChunk)
	t, err = s.cfg.Region.Backup(ctx, out, s.cfg.Version, time.Now())
	if err == nil {
		err = out.Flush()
	}
	slow, late := fault.As(context.Cause(ctx))
	switch {
	case err == nil:
	case stream.Context().Err() != nil:
		err = stream.Context().Err()
	case late && ctx.Err() != nil:
		err = slow
	case errors.Is(err, context.Canceled):
		err = fault.New(fault.Unavailable, "this node is stopping").WithHint("ask another node for the backup")
	}
	return t, chunks.sent, err
}

// readWhole lets one caller at a time read all of the state.
func (s *Server) readWhole() (done func(), err error) {
	if !s.whole.TryLock() {
		return nil, fault.New(fault.Busy, "this node is reading its whole state for somebody else").
			WithHint("wait for the backup that is under way, or ask another node")
	}
	return s.whole.Unlock, nil
}

// hashState fills in the hash of the state, with the positions that it is of.
func (s *Server) hashState(ctx context.Context, resp *pb.GetStatusResponse) error {
	if err := decide(callFrom(ctx), access.Request{Verb: access.VerbAdmin, Kind: access.KindCluster, Name: "state hash"}); err != nil {
		return err
	}
	done, err := s.readWhole()
	if err != nil {
		return err
	}
	defer done()
	h, err := s.cfg.Region.StateHash(ctx)
	if err != nil {
		return err
	}
	resp.StateHash, resp.ContentHash = hex.EncodeToString(h.State[:]), hex.EncodeToString(h.Content[:])
	resp.AppliedIndex, resp.Revision = h.Applied, h.Revision
	return nil
}
