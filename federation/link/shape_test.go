package link

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// shaped is a Shape that tests steer.
type shaped struct {
	drop  atomic.Bool
	delay atomic.Int64
}

func (s *shaped) shape(net.Addr) (bool, time.Duration) {
	return s.drop.Load(), time.Duration(s.delay.Load())
}

func TestShaper_Link(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		server := w.config(east, time.Hour)
		conns := accepting(&server)
		socket, _ := w.socket()
		var s shaped
		s.delay.Store(int64(40 * time.Millisecond))
		shaper := NewShaper(socket, s.shape)
		from, err := New(w.config(west, time.Hour), shaper)
		if err != nil {
			t.Fatal(err)
		}
		w.start = append(w.start, func() { w.stop = append(w.stop, runEndpoint(t, from)) })
		_, to := w.add(server)
		defer w.run()()
		a, err := from.Dial(within(t, 5*time.Second), east, to)
		if err != nil {
			t.Fatal(err)
		}
		b := <-conns
		near, far := open(t, a, b, ClassCalls)
		began := time.Now()
		if err := near.Send(context.Background(), Message{}); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Recv(within(t, time.Second)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 40*time.Millisecond {
			t.Errorf("one way took %v", took)
		}
		s.drop.Store(true)
		began = time.Now()
		<-a.Done()
		<-b.Done()
		if took := time.Since(began); took < 7*time.Second || took > 13*time.Second || shaper.Dropped() == 0 {
			t.Errorf("a cut was noticed after %v, %d datagrams dropped", took, shaper.Dropped())
		}
	})
}

func TestShaper_Order(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 0)
		near, _ := w.socket()
		far, _ := w.socket()
		var s shaped
		shaper := NewShaper(near, s.shape)
		end := w.run()
		send := func(i int, delay time.Duration) {
			s.delay.Store(int64(delay))
			if _, err := shaper.WriteTo(fmt.Append(nil, i), far.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			send(i, 10*time.Millisecond)
		}
		send(20, 20*time.Millisecond)
		send(21, 15*time.Millisecond)
		send(22, 5*time.Millisecond)
		b := make([]byte, 10)
		for i, want := range []int{22, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20} {
			n, _, err := far.ReadFrom(b)
			if got := string(b[:n]); err != nil || got != fmt.Sprint(want) {
				t.Fatalf("datagram %d is %s, not %d", i, got, want)
			}
		}
		for i := range maxShaped + 100 { // bounded
			send(i, time.Hour)
		}
		if n := shaper.Dropped(); n != 100 {
			t.Errorf("%d datagrams were dropped", n)
		}
		shaper.Close()
		shaper.Close()
		far.Close()
		end()
	})
}
