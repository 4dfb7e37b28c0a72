package lan

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// Two servers talk through the network; what goes one way is held back, the other way goes on, and nothing is lost.
func TestHold(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	got := make(chan net.Conn, 4)
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			got <- conn
		}
	}()
	var d net.Dialer
	l := New(Config{
		Listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		Dial:   func(ctx context.Context, address string) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) },
	})
	defer l.Close()
	address, err := l.Reach(0, 1, echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	there, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	here := <-got
	defer here.Close()
	say(t, there, here, "first")
	l.Hold(0, 1)
	if _, err := there.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	say(t, here, there, "back") // the other way is open
	for deadline := time.Now().Add(10 * time.Second); l.Held(0, 1) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is held back")
		}
	}
	_ = here.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := here.Read(make([]byte, 4)); err == nil {
		t.Errorf("%d bytes passed a way that is closed", n)
	}
	_ = here.SetReadDeadline(time.Time{})
	l.Release(0, 1)
	hear(t, here, "late")
	say(t, there, here, "on")
	if l.Held(1, 0) != 0 {
		t.Error("something was held on the way back")
	}
}

func say(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	hear(t, to, text)
}

func hear(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	b := make([]byte, len(text))
	if _, err := io.ReadFull(conn, b); err != nil || string(b) != text {
		t.Fatalf("heard %q, %v; said was %q", b, err, text)
	}
}
