package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

// TestStream_FloodBothWays has both ends send much more than all windows and queues hold, before either receives: no
// goroutine that sends may keep another from receiving (kuma#14486).
func TestStream_FloodBothWays(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 50*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassConfig)
		body := noise(200 << 10)
		const count = 60
		var all sync.WaitGroup
		for _, s := range []*Stream{near, far} {
			all.Go(func() {
				for i := range count {
					if err := s.Send(within(t, 5*time.Minute), Message{Type: uint8(i), Body: body}); err != nil {
						t.Errorf("Send: %v", err)
						return
					}
				}
			})
		}
		time.Sleep(30 * time.Second) // both are blocked in Send by now
		for _, s := range []*Stream{near, far} {
			if queued(s) == 0 {
				t.Error("nothing waits: the test floods nobody")
			}
			all.Go(func() {
				for i := range count {
					m, err := s.Recv(within(t, 5*time.Minute))
					if err != nil || m.Type != uint8(i) || len(m.Body) != len(body) {
						t.Errorf("Recv: message %d of %d bytes, %v", m.Type, len(m.Body), err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}

// TestStream_SlowReceiver fills every stream but one with what nobody receives: the one must not notice (I4).
func TestStream_SlowReceiver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const streams = 6
		_, a, b, end := pair(t, 50*time.Millisecond, func(c *Config) { c.Limits.MaxStreams = streams + 1 })
		defer end()
		body := noise(64 << 10)
		for range streams - 1 {
			near, far := open(t, a, b, ClassConfig)
			for range 60 { // read: the window of the stream grows to its limit
				if err := near.Send(within(t, time.Minute), Message{Body: body}); err != nil {
					t.Fatal(err)
				}
				if _, err := far.Recv(within(t, time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
			for { // not read
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				err := near.Send(ctx, Message{Body: body})
				cancel()
				if err != nil {
					break
				}
			}
		}
		near, far := open(t, a, b, ClassEndpoints)
		began := time.Now()
		go func() {
			for range 32 { // 2 MiB: a whole window
				if err := near.Send(within(t, 10*time.Second), Message{Body: body}); err != nil {
					t.Errorf("Send: %v", err)
				}
			}
		}()
		for range 32 {
			if _, err := far.Recv(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("2 MiB beside blocked streams took %v", took)
		}
	})
}

// TestStream_UrgentFirst sends control messages beside five bulk streams that want more than the path carries.
func TestStream_UrgentFirst(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w, a, b, end := pair(t, 100*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassControl)
		w.weather.set(func(w *weather) { w.loss = 0.01 })
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for range 5 {
			bulkNear, bulkFar := open(t, a, b, ClassSummaries)
			all.Go(func() {
				for body := noise(256 << 10); bulkNear.Send(ctx, Message{Body: body}) == nil; {
				}
			})
			all.Go(func() {
				for {
					if _, err := bulkFar.Recv(ctx); err != nil {
						return
					}
				}
			})
		}
		time.Sleep(10 * time.Second)
		var total time.Duration
		const count, size = 20, 64 << 10
		for range count {
			began := time.Now()
			if err := near.Send(ctx, Message{Type: 1, Body: noise(size)}); err != nil {
				t.Fatal(err)
			}
			if _, err := far.Recv(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			total += time.Since(began)
		}
		cancel()
		all.Wait()
		t.Logf("control of 64 KiB beside bulk, RTT 100 ms, 1 %% loss: %v each", total/count)
		if total/count > 900*time.Millisecond { // 64 KiB at 200 KiB/s, half a round trip, and a loss
			t.Errorf("a control message took %v", total/count)
		}
	})
}

func TestStream_ContextEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 50*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassConfig)
		body := noise(300 << 10)
		sent := 0
		for ; ; sent++ {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			err := near.Send(ctx, Message{Type: uint8(sent), Body: body})
			cancel()
			if err != nil {
				if !fault.Is(err, fault.Deadline) {
					t.Errorf("Send: %v", err)
				}
				break
			}
			if queued := queued(near); queued > 1<<20 {
				t.Fatalf("%d bytes are queued", queued)
			}
		}
		if sent < 4 || sent > 20 {
			t.Errorf("%d messages of 300 KiB went into a queue of 1 MiB and a window of 2 MiB", sent)
		}
		if _, err := far.Recv(canceled()); err == nil {
			t.Error("Recv with an ended context")
		}
		for i := range sent { // what was refused was not sent, what was taken arrives whole
			m, err := far.Recv(within(t, time.Minute))
			if err != nil || m.Type != uint8(i) || !bytes.Equal(m.Body, body) {
				t.Fatalf("message %d: type %d, %d bytes, %v", i, m.Type, len(m.Body), err)
			}
		}
		if err := near.Send(within(t, time.Minute), Message{Type: 99}); err != nil {
			t.Fatal(err)
		}
		if m, err := far.Recv(within(t, time.Minute)); err != nil || m.Type != 99 {
			t.Errorf("after a Send that failed: %d, %v", m.Type, err)
		}
	})
}

func queued(s *Stream) int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.queued
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestStream_HugeFrame has a peer claim a frame of 2 GiB: the connection ends, and both ends know why.
func TestStream_HugeFrame(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 50*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassConfig)
		if _, err := near.raw.Write(binary.BigEndian.AppendUint64(nil, 2<<30<<32)); err != nil {
			t.Fatal(err)
		}
		if _, err := near.raw.Write(make([]byte, 4)); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Recv(within(t, time.Minute)); !fault.Is(err, fault.TooLarge) {
			t.Errorf("Recv: %v", err)
		}
		<-a.Done()
		if err := a.Err(); !fault.Is(err, fault.TooLarge) || !strings.Contains(err.Error(), "2147483648") {
			t.Errorf("the sender learns: %v", err)
		}
		if err := b.Err(); !fault.Is(err, fault.TooLarge) {
			t.Errorf("the receiver says: %v", err)
		}
	})
}

func TestStream_UnknownClass(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 50*time.Millisecond)
		defer end()
		raw, err := a.raw.OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Write([]byte{200}); err != nil {
			t.Fatal(err)
		}
		open(t, a, b, ClassCalls) // the connection is as good as before
		if _, err := raw.Read(make([]byte, 1)); err == nil {
			t.Error("a stream of an unknown class is served")
		}
		if _, err := a.Open(context.Background(), 200); !fault.Is(err, fault.Invalid) {
			t.Errorf("Open: %v", err)
		}
	})
}

// TestStream_Weather loses, repeats in time and reorders packets: messages arrive once and in order.
func TestStream_Weather(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w, a, b, end := pair(t, 40*time.Millisecond)
		defer end()
		w.weather.set(func(w *weather) { w.loss, w.reorder = 0.01, 0.01 })
		ends := map[Class][2]*Stream{} // opened first: what is opened behind a megabyte of others takes its time
		for _, class := range Classes() {
			near, far := open(t, a, b, class)
			ends[class] = [2]*Stream{near, far}
		}
		var all sync.WaitGroup
		for class, ends := range ends {
			near, far := ends[0], ends[1]
			all.Go(func() {
				for i := range 60 {
					if err := near.Send(within(t, 10*time.Minute), Message{Type: uint8(i), Body: noise(i * 700)}); err != nil {
						t.Errorf("Send: %v", err)
					}
				}
				near.Close()
			})
			all.Go(func() {
				for i := range 60 {
					m, err := far.Recv(within(t, 10*time.Minute))
					if err != nil || m.Type != uint8(i) || !bytes.Equal(m.Body, noise(i*700)) {
						t.Errorf("class %s, message %d: type %d, %d bytes, %v", class, i, m.Type, len(m.Body), err)
						return
					}
				}
			})
		}
		all.Wait()
		if s := a.Stats(); s.Lost == 0 || s.PayloadOut == 0 || s.RTT < 40*time.Millisecond || w.weather.lostCount() == 0 {
			t.Errorf("figures of a lossy path: %+v, lost %d", s, w.weather.lostCount())
		}
	})
}

func TestStream_CloseAndReset(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 40*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassCalls)
		if err := near.Send(context.Background(), Message{Type: 5}); err != nil {
			t.Fatal(err)
		}
		near.Close()
		near.Close()
		if err := near.Send(context.Background(), Message{}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("Send after Close: %v", err)
		}
		if _, err := near.Recv(context.Background()); !fault.Is(err, fault.Unavailable) {
			t.Errorf("Recv after Close: %v", err)
		}
		if m, err := far.Recv(within(t, time.Minute)); err != nil || m.Type != 5 {
			t.Errorf("queued before Close: %d, %v", m.Type, err)
		}
		far.Close()
		// Streams that ended make room for others: far more than MaxStreams, one after the other.
		for i := range 100 {
			near, far := open(t, a, b, ClassCalls)
			if err := near.Send(context.Background(), Message{Body: noise(10)}); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 { // nobody receives it
				far.Close()
				near.Close()
				continue
			}
			if _, err := far.Recv(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			far.Reset()
			near.Reset()
			if _, err := far.Recv(context.Background()); err == nil {
				t.Fatal("Recv after Reset")
			}
		}
		near, _ = open(t, a, b, ClassCalls)
		got := make(chan error, 1)
		go func() { _, err := near.Recv(context.Background()); got <- err }()
		synctest.Wait()
		b.Close(fault.New(fault.Exhausted, "out of everything"))
		if err := <-got; !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), "out of everything") {
			t.Errorf("Recv on a connection that the peer closed: %v", err)
		}
		if err := near.Send(context.Background(), Message{}); err == nil {
			if synctest.Wait(); near.Send(context.Background(), Message{}) == nil {
				t.Error("Send on a closed connection")
			}
		}
	})
}

// TestStream_ReceiverGivesUp: streams on which the other end sent something, and would go on, make room for others too when who
// opened them wants no more.
func TestStream_ReceiverGivesUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 20*time.Millisecond)
		defer end()
		for i := range 100 {
			near, far := open(t, a, b, ClassConfig)
			for _, s := range []*Stream{near, far} {
				if err := s.Send(context.Background(), Message{Body: noise(10)}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := near.Recv(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
			near.Close()
			time.Sleep(time.Second)
			if err := far.Send(context.Background(), Message{}); !GivenUp(err) || a.Err() != nil || b.Err() != nil {
				t.Fatalf("stream %d: Send to who receives no more: %v; the connection: %v, %v", i, err, a.Err(), b.Err())
			}
			far.Close()
		}
	})
}
