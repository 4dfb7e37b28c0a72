package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry/access"
)

// backupChunk is how much of a backup one message carries.
const backupChunk = 64 << 10

// Backup streams a backup. It pins the state while it runs, which costs the disk what is written meanwhile: so one at a time,
// and a client that does not read is left.
func (k clusterService) Backup(_ *pb.BackupRequest, stream grpc.ServerStreamingServer[pb.BackupResponse]) error {
	ctx := stream.Context()
	c := callFrom(ctx)
	if err := decide(c, access.Request{Verb: access.VerbAdmin, Kind: access.KindCluster, Name: "backup"}); err != nil {
		return err
	}
	done, err := k.s.readWhole()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := k.s.untilStop(ctx, nil)
	defer cancel()
	chunks := newChunkSender(ctx, stream, k.s.cfg.Limits.SendTimeout)
	defer chunks.close()
	out := bufio.NewWriterSize(chunks, backupChunk)
	trailer, err := k.s.cfg.Region.Backup(ctx, out, k.s.cfg.Version, time.Now())
	if err == nil {
		err = out.Flush()
	}
	switch {
	case stream.Context().Err() != nil:
		return stream.Context().Err()
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Unavailable, "this node is stopping").WithHint("ask another node for the backup")
	case err == nil:
		k.s.log.Info("a backup was made", "principal", c.principal.Name, "rows", trailer.Rows, "state_hash", hex.EncodeToString(trailer.Hash[:]))
	}
	return err
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
	sum, at, err := s.cfg.Region.StateHash(ctx)
	if err != nil {
		return err
	}
	resp.StateHash, resp.AppliedIndex, resp.Revision = hex.EncodeToString(sum[:]), at.AppliedIndex, at.Positions.Data
	return nil
}

// chunkSender sends what is written to it, each message within a time, as sender does for watches.
type chunkSender struct {
	ctx     context.Context
	timeout time.Duration
	queue   chan *pb.BackupResponse // unbuffered: the store is the queue
	done    chan error              // one result for each message taken from queue
	late    bool
}

func newChunkSender(ctx context.Context, stream grpc.ServerStreamingServer[pb.BackupResponse], timeout time.Duration) *chunkSender {
	c := &chunkSender{ctx: ctx, timeout: timeout, queue: make(chan *pb.BackupResponse), done: make(chan error, 1)}
	go func() {
		for msg := range c.queue {
			c.done <- stream.Send(msg)
		}
		close(c.done)
	}()
	return c
}

// Write sends a part of the backup.
func (c *chunkSender) Write(p []byte) (int, error) {
	sent := 0
	for len(p) > 0 {
		n := min(len(p), backupChunk)
		if err := c.send(&pb.BackupResponse{Data: bytes.Clone(p[:n])}); err != nil {
			return sent, err
		}
		sent, p = sent+n, p[n:]
	}
	return sent, nil
}

func (c *chunkSender) send(msg *pb.BackupResponse) error {
	if c.late {
		return fault.New(fault.SlowConsumer, "the backup was given up")
	}
	timer := time.NewTimer(c.timeout)
	defer timer.Stop()
	c.queue <- msg // the goroutine is waiting: it took the result of the message before
	select {
	case err := <-c.done:
		return err
	case <-timer.C:
		c.late = true
		return fault.New(fault.SlowConsumer, "the client did not take the backup for %s", c.timeout).WithHint("begin the backup again")
	case <-c.ctx.Done():
		c.late = true
		return c.ctx.Err()
	}
}

// close ends the goroutine. A late send is left to the end of the stream, which comes with the handler's return.
func (c *chunkSender) close() {
	close(c.queue)
	if !c.late {
		<-c.done
	}
}
