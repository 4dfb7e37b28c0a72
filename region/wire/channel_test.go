package wire

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"supercluster/internal/fault"
)

func echo(_ context.Context, from string, payload []byte) ([]byte, error) {
	return append([]byte(from+" "), payload...), nil
}

func handle(method uint8, h Handler) func(*Wire) { return func(w *Wire) { w.Handle(method, h) } }

func TestCall_OverTheNetworkAndToSelf(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	n1 := m.run(m.config("n1"), handle(2, echo))
	m.run(m.config("n2"), handle(2, echo))
	eventually(t, "n1 hears n2", time.Second, func() bool { return len(n1.Alive()) == 2 })
	ctx := testContext(t, 2*time.Second)
	for _, node := range []string{"n1", "n2"} {
		got, err := n1.Call(ctx, node, 2, []byte("hi"))
		if err != nil || string(got) != "n1 hi" {
			t.Errorf("to %s: %q, %v", node, got, err)
		}
		if _, err := n1.Call(ctx, node, 9, nil); !fault.Is(err, fault.Unsupported) {
			t.Errorf("to %s, unknown method: %v", node, err)
		}
	}
	big := bytes.Repeat([]byte{'b'}, MaxPayload-8)
	if got, err := n1.Call(ctx, "n2", 2, big); err != nil || len(got) != len(big)+3 {
		t.Errorf("large call: %d bytes, %v", len(got), err)
	}
	if _, err := n1.Call(ctx, "n2", 2, make([]byte, MaxPayload+1)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("call over the limit: %v", err)
	}
	if _, err := n1.Call(ctx, "n2", 2, make([]byte, MaxPayload)); !fault.Is(err, fault.TooLarge) {
		t.Errorf("answer over the limit: %v", err)
	}
	if _, err := n1.Call(ctx, "n7", 2, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("no member: %v", err)
	}
}

func TestCall_ErrorsKeepKindAndText(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	n1 := m.run(m.config("n1"))
	m.run(m.config("n2"), handle(3, func(context.Context, string, []byte) ([]byte, error) {
		return nil, fault.Field("ttl", "must be positive").WithHint("try 10s").WithRevision(42)
	}))
	eventually(t, "n1 hears n2", time.Second, func() bool { return len(n1.Alive()) == 2 })
	_, err := n1.Call(testContext(t, time.Second), "n2", 3, nil)
	e, ok := fault.As(err)
	if !ok || e.Kind != fault.Invalid || e.Field != "ttl" || e.Hint != "try 10s" || e.Revision != 42 {
		t.Errorf("%#v", err)
	}
}

func TestCall_InFlightIsBounded(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	release := make(chan struct{})
	n1 := m.run(m.config("n1"))
	m.run(m.config("n2"), handle(3, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil, nil
	}))
	eventually(t, "n1 hears n2", time.Second, func() bool { return len(n1.Alive()) == 2 })
	var calls sync.WaitGroup
	var mu sync.Mutex
	kinds := map[fault.Kind]int{}
	answered := 0
	ctx := testContext(t, 5*time.Second)
	for range maxServing + 40 {
		calls.Go(func() {
			_, err := n1.Call(ctx, "n2", 3, nil)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				answered++
				return
			}
			kinds[fault.KindOf(err)]++
		})
	}
	eventually(t, "calls over the bound are refused", 2*time.Second, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return kinds[fault.Busy] == 40
	})
	if alive := n1.Alive(); len(alive) != 2 {
		t.Errorf("busy handlers must not look dead: %v", alive)
	}
	close(release)
	calls.Wait()
	if answered != maxServing {
		t.Errorf("%d answered, %v", answered, kinds)
	}
}

func TestCall_CallersTimeReachesTheHandler(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	got := make(chan time.Duration, 1)
	n1 := m.run(m.config("n1"))
	m.run(m.config("n2"), handle(3, func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		d, _ := ctx.Deadline()
		got <- time.Until(d)
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	eventually(t, "n1 hears n2", time.Second, func() bool { return len(n1.Alive()) == 2 })
	if _, err := n1.Call(testContext(t, 300*time.Millisecond), "n2", 3, nil); !fault.Is(err, fault.Deadline) {
		t.Errorf("%v", err)
	}
	if d := <-got; d <= 0 || d > 300*time.Millisecond {
		t.Errorf("the handler had %v", d)
	}
}

func TestLiveness_PartitionAndHeal(t *testing.T) {
	m := newMesh(t, "n1", "n2", "n3")
	faults := &scripted{cut: map[string]bool{}}
	for _, name := range []string{"n1", "n2", "n3"} {
		cfg := m.config(name)
		cfg.Faults = faults
		m.run(cfg, handle(2, echo))
	}
	n1 := m.wires["n1"]
	eventually(t, "all hear all", 2*time.Second, func() bool { return len(n1.Alive()) == 3 && len(m.wires["n3"].Alive()) == 3 })
	faults.set(func(s *scripted) { s.cut["n1>n3"], s.cut["n3>n1"] = true, true })
	cut := time.Now()
	eventually(t, "n1 misses n3", 4*time.Second, func() bool { return slices.Equal(n1.Alive(), []string{"n1", "n2"}) })
	if took := time.Since(cut); took < DeadAfter-pingEvery-200*time.Millisecond || took > DeadAfter+pingEvery {
		t.Errorf("noticed after %v", took)
	}
	faults.set(func(s *scripted) { clear(s.cut) })
	eventually(t, "n1 hears n3 again", 5*time.Second, func() bool { return len(n1.Alive()) == 3 })
	eventually(t, "calls work again", 5*time.Second, func() bool {
		_, err := n1.Call(testContext(t, time.Second), "n3", 2, nil)
		return err == nil
	})
}

func TestCall_UnderDelayAndDuplicates(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	faults := &scripted{frame: shaky(rand.New(rand.NewPCG(1, 2)))}
	for _, name := range []string{"n1", "n2"} {
		cfg := m.config(name)
		cfg.Faults = faults
		m.run(cfg, handle(2, echo))
	}
	n1 := m.wires["n1"]
	eventually(t, "n1 hears n2", 2*time.Second, func() bool { return len(n1.Alive()) == 2 })
	var calls sync.WaitGroup
	for i := range maxServing / 2 {
		calls.Go(func() {
			payload := strings.Repeat("x", i)
			got, err := n1.Call(testContext(t, 3*time.Second), "n2", 2, []byte(payload))
			if err != nil || string(got) != "n1 "+payload {
				t.Errorf("call %d: %q, %v", i, got, err)
			}
		})
	}
	calls.Wait()
}

func TestCall_PeerRestartsOnTheSameAddress(t *testing.T) {
	m := newMesh(t, "n1", "n2")
	n1 := m.run(m.config("n1"))
	block := func(ctx context.Context, _ string, _ []byte) ([]byte, error) { <-ctx.Done(); return nil, nil }
	w, err := New(m.config("n2"))
	if err != nil {
		t.Fatal(err)
	}
	w.Handle(2, block)
	stop := runWire(t, w)
	eventually(t, "n1 hears n2", time.Second, func() bool { return len(n1.Alive()) == 2 })
	broken := make(chan error, 1)
	go func() {
		_, err := n1.Call(context.Background(), "n2", 2, nil)
		broken <- err
	}()
	eventually(t, "the call is on its way", time.Second, func() bool {
		l := n1.links["n2"]
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.waiting) == 1
	})
	w.mu.Lock()
	for c := range w.conns {
		c.Close()
	}
	w.mu.Unlock()
	if err := <-broken; !fault.Is(err, fault.OutcomeUnknown) {
		t.Errorf("call that was cut: %v", err)
	}
	stop()
	eventually(t, "calls to nobody fail at once", time.Second, func() bool {
		_, err := n1.Call(testContext(t, time.Second), "n2", 2, nil)
		return fault.Is(err, fault.Unavailable)
	})
	l, err := net.Listen("tcp", m.members["n2"])
	if err != nil {
		t.Fatal(err)
	}
	m.listeners["n2"] = l
	m.run(m.config("n2"), handle(2, echo))
	eventually(t, "calls work again", 3*time.Second, func() bool {
		_, err := n1.Call(context.Background(), "n2", 2, nil)
		return err == nil
	})
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skipf("SKIP: no IPv6 on this machine: %v", err)
	}
	m := newMesh(t, "n1")
	m.listeners["n2"], m.members["n2"] = l, l.Addr().String()
	n1 := m.run(m.config("n1"))
	m.run(m.config("n2"), handle(2, echo))
	eventually(t, "n1 hears n2", time.Second, func() bool { return len(n1.Alive()) == 2 })
	if _, err := n1.Call(testContext(t, time.Second), "n2", 2, nil); err != nil {
		t.Error(err)
	}
}
