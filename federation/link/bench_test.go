package link

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// TestThroughput_Connections measures what more connections give on a path that loses packets, in virtual time. The
// design counts on it (spread); LINK_MEASURE=1 makes the runs that gave the figures there.
func TestThroughput_Connections(t *testing.T) {
	losses, d := []float64{0.01}, 10*time.Second
	if os.Getenv("LINK_MEASURE") != "" {
		losses, d = []float64{0, 0.0001, 0.001, 0.01}, time.Minute
	}
	for _, loss := range losses {
		rates := map[int]float64{}
		for _, n := range []int{1, 2, 4} {
			bubble.Test(t, func(t *testing.T) { rates[n] = measure(t, loss, n, d) })
		}
		t.Logf("RTT 100 ms, loss %.2f %%: 1 connection %.0f KiB/s, 2: %.2fx, 4: %.2fx",
			100*loss, rates[1]/1024, rates[2]/rates[1], rates[4]/rates[1])
		if loss > 0 && rates[4] < 1.5*rates[1] {
			t.Errorf("loss %.3f: four connections give %.0f, one %.0f bytes/s", loss, rates[4], rates[1])
		}
	}
}

// measure sends over n connections for so long, after a warm-up, and gives bytes per second of virtual time.
func measure(t *testing.T, loss float64, n int, d time.Duration) float64 {
	w := newWorld(t, 100*time.Millisecond)
	a, b := w.config(west, time.Hour), w.config(east, time.Hour)
	conns := accepting(&b)
	from, _ := w.add(a)
	_, to := w.add(b)
	defer w.run()()
	type ends struct{ near, far *Stream }
	var streams []ends
	for range n {
		c, err := from.Dial(within(t, 5*time.Second), east, to)
		if err != nil {
			t.Fatal(err)
		}
		near, far := open(t, c, <-conns, ClassConfig)
		streams = append(streams, ends{near, far})
	}
	w.weather.set(func(w *weather) { w.loss = loss })
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	var got atomic.Int64
	body := noise(64 << 10)
	for _, s := range streams {
		all.Go(func() {
			for s.near.Send(ctx, Message{Body: body}) == nil {
			}
		})
		all.Go(func() {
			for {
				m, err := s.far.Recv(ctx)
				if err != nil {
					return
				}
				got.Add(int64(len(m.Body)))
			}
		})
	}
	time.Sleep(5 * time.Second)
	before := got.Load()
	time.Sleep(d)
	moved := got.Load() - before
	cancel()
	all.Wait()
	return float64(moved) / d.Seconds()
}

// udpPair connects two endpoints over loopback.
func udpPair(b testing.TB) (dialed, accepted *Conn, end func()) {
	return realPair(b, func(c net.PacketConn) net.PacketConn { return c }, func(*Config) {})
}

func BenchmarkLink_Throughput(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, kind := range []string{"random", "text"} {
			b.Run(fmt.Sprintf("%dKiB/%s", size>>10, kind), func(b *testing.B) { throughput(b, size, kind) })
		}
	}
}

func throughput(b *testing.B, size int, kind string) {
	from, to, end := udpPair(b)
	defer end()
	near, far := open(b, from, to, ClassConfig)
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(rand.Uint32())
		if kind == "text" {
			body[i] = "abcdefgh"[i%8] + byte(i/8%3) + byte(rand.Uint32N(8)/7)
		}
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range b.N {
			if err := near.Send(context.Background(), Message{Body: body}); err != nil {
				b.Error(err)
				return
			}
		}
	}()
	for range b.N {
		if _, err := far.Recv(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLink_RoundTrip(b *testing.B) {
	from, to, end := udpPair(b)
	defer end()
	near, far := open(b, from, to, ClassCalls)
	echo := make(chan struct{})
	go func() {
		defer close(echo)
		for {
			m, err := far.Recv(context.Background())
			if err != nil || far.Send(context.Background(), m) != nil {
				return
			}
		}
	}()
	body := make([]byte, 100)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := near.Send(context.Background(), Message{Body: body}); err != nil {
			b.Fatal(err)
		}
		if _, err := near.Recv(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	near.Close()
	<-echo
}
