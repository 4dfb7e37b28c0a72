package server

import (
	"context"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
)

// sender sends the messages of one watch, each within a time. gRPC has no deadline for one send, so sends run in
// their own goroutine. When one is late the handler returns without it: that ends the stream, and the end of the
// stream ends the send.
type sender struct {
	ctx     context.Context
	stream  grpc.ServerStreamingServer[pb.WatchResponse]
	timeout time.Duration
	timer   *time.Timer
	queue   chan *pb.WatchResponse // unbuffered: the store's log is the queue
	done    chan error             // one result for each message taken from queue
	late    bool
	last    time.Time // when the last message was sent
	// resume is the revision after the last one that was sent.
	resume uint64
}

func newSender(ctx context.Context, stream grpc.ServerStreamingServer[pb.WatchResponse], timeout time.Duration, first uint64) *sender {
	w := &sender{
		ctx: ctx, stream: stream, timeout: timeout, timer: time.NewTimer(timeout), last: time.Now(), resume: first,
		queue: make(chan *pb.WatchResponse), done: make(chan error, 1),
	}
	w.timer.Stop()
	go w.run()
	return w
}

func (w *sender) run() {
	for msg := range w.queue {
		w.done <- w.stream.Send(msg)
	}
	close(w.done)
}

// send sends one message, or fails with SlowConsumer and the revision to resume from.
func (w *sender) send(msg *pb.WatchResponse) error {
	w.timer.Reset(w.timeout)
	defer w.timer.Stop()
	w.queue <- msg // run is waiting: it took the result of the message before
	select {
	case err := <-w.done:
		if err == nil {
			w.last, w.resume = time.Now(), max(w.resume, msg.GetRevision()+1)
		}
		return err
	case <-w.timer.C:
		w.late = true
		return fault.New(fault.SlowConsumer, "the client did not read for %s", w.timeout).
			WithHint("resume from revision %d", w.resume).WithRevision(w.resume)
	case <-w.ctx.Done():
		w.late = true
		return w.ctx.Err()
	}
}

// close ends the goroutine. A late send is left to the end of the stream, which comes with the handler's return.
func (w *sender) close() {
	close(w.queue)
	if !w.late {
		<-w.done
	}
}
