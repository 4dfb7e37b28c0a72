package server

import (
	"bytes"
	"context"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// chunkSender sends what is written to it, each message within a time, as sender does for watches.
type chunkSender struct {
	ctx     context.Context
	timeout time.Duration
	queue   chan *pb.BackupResponse // unbuffered: the store is the queue
	done    chan error              // one result for each message taken from queue
	late    bool
	sent    uint64 // bytes that the stream took
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
		c.sent += uint64(n)
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
