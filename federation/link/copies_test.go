package link

import (
	"context"
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

// TestLag_Copies measures how long messages take that go once and twice over a path that loses packets, in virtual time.
// LINK_MEASURE=1 makes the runs that gave the figures in copies.go.
func TestLag_Copies(t *testing.T) {
	const rtt = 300 * time.Millisecond
	losses, conns, d := []float64{0.001}, []int{2}, 3*time.Minute
	if os.Getenv("LINK_MEASURE") != "" {
		losses, conns, d = []float64{0.001, 0.01}, []int{1, 2, 3, 4}, time.Hour
	}
	for _, loss := range losses {
		for _, n := range conns {
			var lags [2][]time.Duration
			for i, twice := range []bool{false, true} {
				bubble.Test(t, func(t *testing.T) { lags[i] = lag(t, rtt, loss, d, n, twice) })
				t.Logf("RTT %s, loss %.1f %%, %d connections, twice %t: p50 %s, p99 %s, p99.9 %s, max %s", rtt, 100*loss, n, twice,
					quantile(lags[i], 0.5), quantile(lags[i], 0.99), quantile(lags[i], 0.999), quantile(lags[i], 1))
			}
			if once := quantile(lags[0], 0.999); once < rtt {
				t.Errorf("the path lost too little to tell anything: %s", once)
			}
			after, _ := copyTurn(rtt, true)
			if twice := quantile(lags[1], 0.999); loss < 0.01 && n > 1 && twice > rtt/2+after+20*time.Millisecond {
				t.Errorf("one of 1000 messages that go twice takes %s", twice)
			}
		}
	}
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Millisecond)
}

// lag sends 100 messages a second over several connections in turn, and gives how long each took until it and all before
// it had come, sorted.
func lag(t *testing.T, rtt time.Duration, loss float64, d time.Duration, conns int, twice bool) []time.Duration {
	const every = 10 * time.Millisecond
	w := newWorld(t, rtt)
	a, b := w.config(west, 2*d), w.config(east, 2*d)
	accepted := accepting(&b)
	from, _ := w.add(a)
	_, to := w.add(b)
	defer w.run()()
	got := &orderly{sent: make([]time.Time, d/every), have: map[int]bool{}, done: make(chan struct{})}
	var lanes []*Stream
	for range conns {
		c, err := from.Dial(within(t, 5*time.Second), east, to)
		if err != nil {
			t.Fatal(err)
		}
		near, far := open(t, c, <-accepted, ClassConfig)
		lanes = append(lanes, near)
		go got.receive(far)
	}
	w.weather.set(func(w *weather) { w.loss = loss })
	for i := range got.sent {
		m := Message{Type: 1, Body: noise(400)}
		binary.BigEndian.PutUint32(m.Body, uint32(i))
		got.send(i)
		if err := lanes[i%conns].Send(within(t, 10*time.Second), m); err != nil {
			t.Fatal(err)
		}
		if twice {
			lanes[(i+1)%conns].SendCopy(m, conns > 1)
		}
		time.Sleep(every)
	}
	<-got.done
	slices.Sort(got.lags)
	return got.lags
}

// orderly notes when messages came and all before them.
type orderly struct {
	mu   sync.Mutex
	sent []time.Time
	have map[int]bool
	lags []time.Duration
	done chan struct{}
}

func (o *orderly) send(i int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent[i] = time.Now()
}

func (o *orderly) receive(s *Stream) {
	for {
		m, err := s.Recv(context.Background())
		if err != nil {
			return
		}
		o.take(int(binary.BigEndian.Uint32(m.Body)))
	}
}

func (o *orderly) take(i int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if i >= len(o.lags) {
		o.have[i] = true
	}
	for o.have[len(o.lags)] {
		delete(o.have, len(o.lags))
		o.lags = append(o.lags, time.Since(o.sent[len(o.lags)]))
		if len(o.lags) == len(o.sent) {
			close(o.done)
		}
	}
}

// Whatever comes in a datagram, the peer that sent it loses its connection at most, and this end no memory.
func TestCopies_Broken(t *testing.T) {
	frame := func(h header, body string) []byte { return append(h.append([]byte{0}), body...) } // for stream 0
	packed, ok := newTestCodec(t).pack(make([]byte, 64<<10))
	if !ok {
		t.Fatal("zeros do not compress")
	}
	for _, x := range []struct {
		name     string
		datagram []byte
		want     fault.Kind // Internal: the connection lives
	}{
		{"empty", []byte{}, fault.Corrupt},
		{"half a stream id", []byte{0xc0}, fault.Corrupt},
		{"no such stream", []byte{0x3f, 1, 2, 3}, fault.Internal},
		{"no message", []byte{0}, fault.Internal},
		{"half a header", []byte{0, 0, 0, 0}, fault.Corrupt},
		{"half a body", frame(header{length: 10, size: 10}, "half"), fault.Corrupt},
		{"more to come", frame(header{length: 4, size: 8, flags: flagMore}, "half"), fault.Corrupt},
		{"unknown flag", frame(header{length: 4, size: 4, flags: 1 << 7}, "body"), fault.Unsupported},
		{"large when unpacked", frame(header{length: uint32(len(packed)), size: 64 << 10, flags: flagZstd}, string(packed)), fault.TooLarge},
	} {
		t.Run(x.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				_, a, b, end := pair(t, 40*time.Millisecond)
				defer end()
				near, far := open(t, a, b, ClassConfig)
				if id := near.raw.StreamID(); len(x.datagram) > 1 && x.datagram[0] == 0 {
					x.datagram[0] = byte(id)
				}
				if err := a.raw.SendDatagram(x.datagram); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if x.want != fault.Internal {
					if err := b.Err(); fault.KindOf(err) != x.want {
						t.Errorf("the connection ended with %v, want %v", err, x.want)
					}
					return
				}
				if err := near.Send(within(t, time.Second), Message{Type: 7}); err != nil {
					t.Fatal(err)
				}
				if m, err := far.Recv(within(t, time.Second)); err != nil || m.Type != 7 || m.Copy {
					t.Errorf("after it came %+v, %v", m, err)
				}
			})
		})
	}
}

func newTestCodec(t *testing.T) *codec {
	c, err := newCodec(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// Nobody receives: what waits is bounded, and the stream is as good as before. The receiver gets copies as such, only of
// what fits, and none where the path is short or the peer takes none.
func TestCopies_AreBoundedAndMarked(t *testing.T) {
	for _, x := range []struct {
		name string
		rtt  time.Duration
		deaf bool
		size int
		want bool
	}{
		{"far", 100 * time.Millisecond, false, 100, true},
		{"compressed", 100 * time.Millisecond, false, maxCopied, true},
		{"too long", 100 * time.Millisecond, false, maxCopied + 1, false},
		{"near", 10 * time.Millisecond, false, 100, false},
		{"a peer without datagrams", 100 * time.Millisecond, true, 100, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				_, a, b, end := pair(t, x.rtt)
				defer end()
				a.copies = a.copies && !x.deaf
				near, far := open(t, a, b, ClassConfig)
				for range 1000 {
					near.SendCopy(Message{Type: 3, Body: make([]byte, x.size)}, true)
					time.Sleep(time.Millisecond)
				}
				time.Sleep(time.Second)
				waiting := len(far.copied)
				if (waiting > 0) != x.want || waiting > copiesAhead {
					t.Errorf("%d copies wait", waiting)
				}
				for range waiting {
					if m, err := far.Recv(within(t, time.Second)); err != nil || !m.Copy || m.Type != 3 || len(m.Body) != x.size {
						t.Fatalf("a copy came as %+v, %v", m, err)
					}
				}
				if err := near.Send(within(t, time.Second), Message{Type: 4}); err != nil {
					t.Fatal(err)
				}
				if m, err := far.Recv(within(t, time.Second)); err != nil || m.Copy || m.Type != 4 {
					t.Errorf("%+v, %v", m, err)
				}
			})
		})
	}
}

// Of a turn with more than there is room for, nothing goes; the next one does.
func TestCopies_AllOfATurnOrNone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 400*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassConfig)
		for i, step := range []struct{ send, come int }{{3, 3}, {4, 0}, {3, 3}} {
			for range step.send {
				near.SendCopy(Message{Body: noise(300)}, false)
			}
			time.Sleep(time.Second)
			if got := len(far.copied); got != step.come {
				t.Errorf("turn %d: %d copies of %d came, not %d", i, got, step.send, step.come)
			}
			for range len(far.copied) {
				<-far.copied
			}
		}
	})
}

// While messages wait for room in the window, no copies take it.
func TestCopies_GiveWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		_, a, b, end := pair(t, 400*time.Millisecond)
		defer end()
		near, far := open(t, a, b, ClassConfig)
		if err := near.Send(within(t, time.Second), Message{Body: noise(1 << 20)}); err != nil { // it takes several round trips
			t.Fatal(err)
		}
		near.SendCopy(Message{Body: noise(300)}, true)
		if m, err := far.Recv(within(t, 20*time.Second)); err != nil || m.Copy {
			t.Fatalf("first came a copy (%t), %v", m.Copy, err)
		}
		near.SendCopy(Message{Body: noise(300)}, true)
		time.Sleep(time.Second)
		if n := len(far.copied); n != 1 {
			t.Errorf("%d copies came, not the second alone", n)
		}
	})
}

func TestCopyTurn(t *testing.T) {
	for _, x := range []struct {
		rtt    time.Duration
		beside bool
		after  time.Duration
		room   int
	}{
		{copyFrom - 1, true, 0, 0},
		{copyFrom, true, 5 * time.Millisecond, 1310},
		{300 * time.Millisecond, true, 75 * time.Millisecond, 19660},
		{300 * time.Millisecond, false, 75 * time.Millisecond, maxDatagram},
		{10 * time.Second, true, maxCopyAfter, 26214},
	} {
		if after, room := copyTurn(x.rtt, x.beside); after != x.after || room != x.room {
			t.Errorf("%v, beside %t: %v, %d bytes; not %v, %d", x.rtt, x.beside, after, room, x.after, x.room)
		}
	}
}
