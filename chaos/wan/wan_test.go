package wan

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv("WAN_TEST_VICTIM") != "" {
		victim()
	}
	goleak.VerifyTestMain(m)
}

// spaces gives a network of namespaces, or skips where there is no root.
func spaces(t *testing.T, sites ...string) *WAN {
	t.Helper()
	if err := Unavailable(); err != nil {
		if os.Getenv(RequireEnv) != "" {
			t.Fatal(err)
		}
		t.Skip("SKIP: no shaper of namespaces:", err)
	}
	w, err := New(sites...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func proxies(t *testing.T, sites ...string) *WAN {
	t.Helper()
	w, err := NewProxy(sites...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

// forms runs a test on both forms of the network.
func forms(t *testing.T, test func(t *testing.T, w *WAN)) {
	t.Run("namespaces", func(t *testing.T) { test(t, spaces(t, "a", "b", "c")) })
	t.Run("proxies", func(t *testing.T) { test(t, proxies(t, "a", "b", "c")) })
}

// end is a UDP server of a site, which echoes what begins with '?' and keeps the rest.
type end struct {
	conn    *net.UDPConn
	public  *net.UDPAddr
	answers chan string
}

func listen(t *testing.T, w *WAN, site string) *end {
	t.Helper()
	where, public, err := w.UDPAddress(site, 8302)
	if err != nil {
		t.Fatal(err)
	}
	e := &end{answers: make(chan string, 1<<16)}
	e.public, _ = net.ResolveUDPAddr("udp4", public)
	err = w.Inside(site, func() error {
		addr, err := net.ResolveUDPAddr("udp4", where)
		if err != nil {
			return err
		}
		e.conn, err = net.ListenUDP("udp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 2048)
		for {
			n, from, err := e.conn.ReadFromUDP(b)
			if err != nil {
				return
			}
			if b[0] != '?' {
				e.answers <- string(b[:n])
				continue
			}
			b[0] = '!'
			_, _ = e.conn.WriteToUDP(b[:n], from)
		}
	}()
	t.Cleanup(func() { e.conn.Close(); <-ended })
	return e
}

// ask sends a question and gives the time until its answer; 0: none came.
func (e *end) ask(t *testing.T, to *end, id int, within time.Duration) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := e.conn.WriteToUDP(fmt.Appendf(nil, "?%d", id), to.public); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(within)
	for {
		select {
		case a := <-e.answers:
			if a == fmt.Sprintf("!%d", id) {
				return time.Since(start)
			}
		case <-deadline:
			return 0
		}
	}
}

func TestShape_DelayIsOneWayAndOfItsPair(t *testing.T) {
	forms(t, func(t *testing.T, w *WAN) {
		w.Shape("a", "b", Line{Delay: 30 * time.Millisecond})
		w.Shape("b", "a", Line{Delay: 10 * time.Millisecond})
		w.Both("a", "c", Line{Delay: 5 * time.Millisecond})
		a, b, c := listen(t, w, "a"), listen(t, w, "b"), listen(t, w, "c")
		var slow, fast []time.Duration
		for i := range 20 {
			slow = append(slow, a.ask(t, b, i, 5*time.Second))
			fast = append(fast, a.ask(t, c, 1000+i, 5*time.Second))
		}
		slices.Sort(slow)
		slices.Sort(fast)
		// The machine is shared: the least is what the line gives, more may be others' work.
		if slow[0] < 40*time.Millisecond || slow[0] > 60*time.Millisecond {
			t.Errorf("40 ms there and back took %v", slow)
		}
		if fast[0] < 10*time.Millisecond || fast[0] > 30*time.Millisecond {
			t.Errorf("10 ms there and back took %v", fast)
		}
		if s := w.Stats("a", "b"); s.Delivered != 20 || s.Packets < 20 {
			t.Errorf("a to b: %+v, want 20 delivered", s)
		}
	})
}

func TestShape_LossIsCounted(t *testing.T) {
	forms(t, func(t *testing.T, w *WAN) {
		w.Shape("a", "b", Line{Loss: 0.3})
		a, b := listen(t, w, "a"), listen(t, w, "b")
		const sent = 2000
		for i := range sent {
			if _, err := a.conn.WriteToUDP(fmt.Appendf(nil, "#%d", i), b.public); err != nil {
				t.Fatal(err)
			}
			if i%20 == 0 {
				time.Sleep(time.Millisecond) // not faster than sockets take it: what they drop is not ours
			}
		}
		wait(t, "the fate of every datagram", func() bool { s := w.Stats("a", "b"); return s.Lost+s.Delivered >= sent })
		s := w.Stats("a", "b")
		if s.Lost < sent/5 || s.Lost > sent*2/5 || s.Delivered != s.Packets-s.Lost {
			t.Errorf("30 %% of %d: %+v", sent, s)
		}
		wait(t, "what was delivered", func() bool { return int64(len(b.answers)) == sent-s.Lost })
		if back := w.Stats("b", "a"); back.Lost != 0 {
			t.Errorf("the other direction lost: %+v", back)
		}
	})
}

func TestShape_CutDropsWhatIsUnderWayAndHeals(t *testing.T) {
	forms(t, func(t *testing.T, w *WAN) {
		w.Both("a", "b", Line{Delay: 100 * time.Millisecond})
		a, b, c := listen(t, w, "a"), listen(t, w, "b"), listen(t, w, "c")
		if _, err := a.conn.WriteToUDP([]byte("#1"), b.public); err != nil {
			t.Fatal(err)
		}
		wait(t, "the datagram on its way", func() bool { return w.Stats("a", "b").Packets == 1 })
		w.Shape("a", "b", Line{Delay: 0, Cut: true})
		if d := a.ask(t, b, 1, 50*time.Millisecond); d != 0 {
			t.Errorf("a question passed the cut in %v", d)
		}
		if d := a.ask(t, c, 2, 5*time.Second); d == 0 {
			t.Error("the cut is of another pair too")
		}
		if _, err := b.conn.WriteToUDP([]byte("#back"), a.public); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-a.answers: // the other direction is open
			if got != "#back" {
				t.Errorf("got %q", got)
			}
		case <-time.After(5 * time.Second):
			t.Error("the other direction is cut too")
		}
		wait(t, "the end of what was under way", func() bool { return w.Stats("a", "b").CutOff == 2 })
		if len(b.answers) != 0 {
			t.Errorf("%q arrived after the cut", <-b.answers)
		}
		w.Both("a", "b", Line{})
		if d := a.ask(t, b, 3, 5*time.Second); d == 0 {
			t.Error("no answer after healing")
		}
	})
}

func TestShape_Reorder(t *testing.T) {
	forms(t, func(t *testing.T, w *WAN) {
		w.Shape("a", "b", Line{Delay: time.Millisecond, Reorder: 0.2})
		a, b := listen(t, w, "a"), listen(t, w, "b")
		const sent = 200
		for i := range sent {
			if _, err := a.conn.WriteToUDP(fmt.Appendf(nil, "#%03d", i), b.public); err != nil {
				t.Fatal(err)
			}
		}
		swapped, last := 0, ""
		for range sent {
			select {
			case got := <-b.answers:
				if got < last {
					swapped++
				}
				last = max(last, got)
			case <-time.After(5 * time.Second):
				t.Fatal("a datagram is missing")
			}
		}
		if s := w.Stats("a", "b"); s.Reordered == 0 || swapped == 0 {
			t.Errorf("%d of %d came late, counted %d", swapped, sent, s.Reordered)
		}
	})
}

func TestShape_RateBoundsTCP(t *testing.T) {
	w := spaces(t, "a", "b")
	w.Shape("a", "b", Line{Delay: 2 * time.Millisecond, Rate: 1 << 20})
	w.Shape("b", "a", Line{Delay: 2 * time.Millisecond})
	var l net.Listener
	if err := w.Inside("b", func() (err error) { l, err = net.Listen("tcp4", w.IP("b")+":9000"); return err }); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan int64, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- -1
			return
		}
		defer c.Close()
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}()
	c, err := w.Dial(t.Context(), "a", w.IP("b")+":9000")
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := c.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if n := <-got; n != 1<<20 {
		t.Errorf("%d bytes arrived", n)
	}
	if took := time.Since(start); took < 900*time.Millisecond || took > 5*time.Second {
		t.Errorf("1 MiB at 1 MiB/s took %v; %+v", took, w.Stats("a", "b"))
	}
}

// A process that is killed leaves no namespace, no device and no child behind.
func TestNew_NothingIsLeftByAKill(t *testing.T) {
	_ = spaces(t, "z") // or skip
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "WAN_TEST_VICTIM=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 256)
	n, err := out.Read(b)
	namespace := strings.TrimSpace(string(b[:n]))
	if err != nil || !strings.HasPrefix(namespace, "net:[") {
		t.Fatalf("the victim says %q, %v", namespace, err)
	}
	if len(inside(namespace)) == 0 {
		t.Fatalf("nobody is in %s", namespace)
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
	wait(t, "an empty namespace", func() bool { return len(inside(namespace)) == 0 })
}

// inside lists the threads that are in a namespace and the descriptors that hold it.
func inside(namespace string) (found []string) {
	paths, _ := filepath.Glob("/proc/[0-9]*/task/[0-9]*/ns/net")
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	for _, path := range append(paths, descriptors...) {
		if target, err := os.Readlink(path); err == nil && target == namespace {
			found = append(found, path)
		}
	}
	return found
}

// victim makes a network with a process inside, says which namespace it is, and waits to be killed.
func victim() {
	w, err := New("a", "b")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	err = w.Inside("a", func() error {
		cmd := exec.Command("sleep", "600")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			return err
		}
		name, err := os.Readlink(threadNet)
		fmt.Println(name)
		return err
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

func wait(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ready(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}
