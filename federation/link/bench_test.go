package link

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// TestThroughput_Connections measures what more connections give on a path that loses packets. It prints, in virtual
// time, and fails only when four connections are not faster than one where the design counts on it.
func TestThroughput_Connections(t *testing.T) {
	if testing.Short() {
		t.Skip("measures")
	}
	for _, loss := range []float64{0, 0.001, 0.01} {
		rates := map[int]float64{}
		for _, n := range []int{1, 2, 4} {
			bubble.Test(t, func(t *testing.T) { rates[n] = measure(t, loss, n, 30*time.Second) })
		}
		t.Logf("RTT 100 ms, loss %.1f %%: 1 connection %.0f KiB/s, 2: %.2fx, 4: %.2fx",
			100*loss, rates[1]/1024, rates[2]/rates[1], rates[4]/rates[1])
		if loss > 0 && rates[4] < 1.5*rates[1] {
			t.Errorf("loss %.3f: four connections give %.0f, one %.0f bytes/s", loss, rates[4], rates[1])
		}
	}
}

// measure sends over n connections for so long and gives bytes per second of virtual time.
func measure(t *testing.T, loss float64, n int, d time.Duration) float64 {
	w := newWorld(t, 100*time.Millisecond)
	a, b := w.config(west, time.Hour), w.config(east, time.Hour)
	conns := accepting(&b)
	from, _ := w.add(a)
	_, to := w.add(b)
	defer w.run()()
	body := make([]byte, 64<<10)
	for i := range body {
		body[i] = byte(rand.Uint32())
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	var got int
	for range n {
		c, err := from.Dial(within(t, 5*time.Second), east, to)
		if err != nil {
			t.Fatal(err)
		}
		near, far := open(t, c, <-conns, ClassConfig)
		all.Go(func() {
			for near.Send(ctx, Message{Body: body}) == nil {
			}
		})
		all.Go(func() {
			for {
				m, err := far.Recv(ctx)
				if err != nil {
					return
				}
				mu.Lock()
				got += len(m.Body)
				mu.Unlock()
			}
		})
	}
	w.weather.set(func(w *weather) { w.loss = loss })
	all.Wait()
	return float64(got) / d.Seconds()
}

// udpPair connects two endpoints over loopback.
func udpPair(b testing.TB) (dialed, accepted *Conn, end func()) {
	w := newWorld(b, 0)
	run := func(cfg Config) (*Endpoint, func()) {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		e, err := New(cfg, socket)
		if err != nil {
			b.Fatal(err)
		}
		return e, runEndpoint(b, e)
	}
	server := w.config(east, time.Hour)
	conns := accepting(&server)
	to, stopTo := run(server)
	from, stopFrom := run(w.config(west, time.Hour))
	c, err := from.Dial(within(b, 5*time.Second), east, to.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	return c, <-conns, func() { stopFrom(); stopTo() }
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
