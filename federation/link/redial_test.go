package link

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
)

// keep runs a link in a world of west, which keeps it, and east.
type kept struct {
	*world
	link *Link
	far  *Endpoint
	stop func()
}

func keep(t *testing.T, change func(w *world, server *Config, cfg *LinkConfig)) *kept {
	t.Helper()
	k := &kept{world: newWorld(t, 40*time.Millisecond)}
	server := k.config(east, time.Hour)
	near, _ := k.add(k.config(west, time.Hour))
	cfg := LinkConfig{
		Region: east, Addresses: func() []string { return []string{"1.0.0.2:9000"} },
		Handler: func(ctx context.Context, _ *Conn) error { <-ctx.Done(); return ctx.Err() },
	}
	change(k.world, &server, &cfg)
	k.far, _ = k.add(server)
	l, err := near.NewLink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	k.link = l
	end := k.run()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	k.stop = func() { cancel(); running.Wait(); end() }
	return k
}

// reach waits, in virtual time, for a state.
func (k *kept) reach(s State, within time.Duration) time.Duration {
	k.t.Helper()
	began := time.Now()
	for k.link.Status().State != s {
		if time.Since(began) > within {
			k.t.Fatalf("not %s within %v: %+v", s, within, k.link.Status())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func TestLink_BlackHole(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := keep(t, func(*world, *Config, *LinkConfig) {})
		defer k.stop()
		k.reach(Up, time.Second)
		if s := k.link.Status(); s.Peer.Region != east || s.Address != "1.0.0.2:9000" || s.Stats.Connections != 1 || s.Stats.RTT < 40*time.Millisecond {
			t.Errorf("status %+v", s)
		}
		k.weather.set(func(w *weather) { w.black = true })
		took := k.reach(Connecting, 13*time.Second)
		t.Logf("a black hole was noticed after %v", took)
		time.Sleep(time.Minute)
		if s := k.link.Status(); s.Attempts < 5 || s.Attempts > 20 || !fault.Is(s.Err, fault.Unavailable) || s.Address != "" {
			t.Errorf("after a minute in the dark: %+v", s)
		}
		k.weather.set(func(w *weather) { w.black = false })
		// At worst an attempt had just begun (5 s) and the longest pause follows (5 s).
		t.Logf("connected %v after the path healed", k.reach(Up, 11*time.Second))
		if s := k.link.Status(); s.Attempts != 0 || s.Err == nil {
			t.Errorf("after healing: %+v", s)
		}
	})
}

// attempts gives when a link to nobody asks for addresses.
func attempts(t *testing.T, jitter func() float64) []time.Duration {
	var at []time.Duration
	bubble.Test(t, func(t *testing.T) {
		began := time.Now()
		k := keep(t, func(_ *world, _ *Config, cfg *LinkConfig) {
			cfg.Addresses = func() []string { at = append(at, time.Since(began)); return nil }
			cfg.Jitter = jitter
		})
		time.Sleep(30 * time.Second)
		k.stop()
	})
	return at
}

func TestLink_Backoff(t *testing.T) {
	least := attempts(t, func() float64 { return 0 })
	most := attempts(t, func() float64 { return 1 })
	for i, want := range []time.Duration{0, 125, 375, 875, 1875, 3875, 6375, 8875} {
		if got := least[i] - least[0]; got != want*time.Millisecond {
			t.Errorf("shortest, attempt %d after %v, not %v", i, got, want*time.Millisecond)
		}
		if got := most[i] - most[0]; got != 2*want*time.Millisecond {
			t.Errorf("longest, attempt %d after %v, not %v", i, got, 2*want*time.Millisecond)
		}
	}
	a, b := attempts(t, nil), attempts(t, nil)
	if a[3]-a[0] == b[3]-b[0] {
		t.Errorf("two links dial in step: %v", a[:4])
	}
}

func TestLink_Stall(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var stuck atomic.Bool
		var used atomic.Int64
		stuck.Store(true)
		var k *kept
		handler := func(ctx context.Context, _ *Conn) error {
			used.Add(1)
			for applied := uint64(0); ; applied++ {
				position := applied
				if stuck.Load() {
					position = 7
				}
				k.link.Progress("config", 1000, position)
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(time.Second):
				}
			}
		}
		k = keep(t, func(_ *world, _ *Config, cfg *LinkConfig) { cfg.Handler = handler })
		defer k.stop()
		k.reach(Up, time.Second)
		took := k.reach(Stalled, 17*time.Second)
		if took < 14*time.Second {
			t.Errorf("stalled after %v", took)
		}
		if s := k.link.Status(); s.Stalls != 1 || !strings.Contains(s.Err.Error(), "feed config stands at 7 of 1000") {
			t.Errorf("status %+v", s)
		}
		time.Sleep(5 * time.Second) // connected again, nothing advances: not up
		if s := k.link.Status(); used.Load() != 2 || s.State != Stalled || s.Address == "" {
			t.Errorf("used %d times, status %+v", used.Load(), s)
		}
		stuck.Store(false)
		k.reach(Up, 20*time.Second)
		time.Sleep(time.Minute)
		if s := k.link.Status(); s.State != Up || s.Stalls != 1 {
			t.Errorf("while positions advance: %+v", s)
		}
	})
}

func TestLink_Silence(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := keep(t, func(_ *world, _ *Config, cfg *LinkConfig) { cfg.Silence = 20 * time.Second })
		defer k.stop()
		k.reach(Up, time.Second)
		k.reach(Stalled, 22*time.Second)
	})
}

// TestLink_Refused holds that a peer without a common version is shown with its reason and not dialed in a hot loop.
func TestLink_Refused(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := keep(t, func(_ *world, server *Config, _ *LinkConfig) { server.versions = versionRange{5, 6} })
		defer k.stop()
		k.reach(Refused, 2*time.Second)
		time.Sleep(10 * time.Minute)
		s := k.link.Status()
		if s.State != Refused || s.Attempts < 15 || s.Attempts > 45 || !fault.Is(s.Err, fault.Unsupported) ||
			!strings.Contains(s.Err.Error(), "versions") || s.Since.After(time.Now().Add(-9*time.Minute)) {
			t.Errorf("after ten minutes: %+v", s)
		}
	})
}

func TestLink_Retry(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var address atomic.Pointer[string]
		wrong, right := "1.0.0.2", "1.0.0.2:9000"
		address.Store(&wrong)
		k := keep(t, func(_ *world, _ *Config, cfg *LinkConfig) {
			cfg.Addresses = func() []string { return []string{*address.Load()} }
		})
		defer k.stop()
		k.reach(Refused, time.Second)
		address.Store(&right)
		k.link.Retry()
		k.reach(Up, time.Second)
	})
}

// TestLink_Anew: a link whose peer is back is up after the round trips of one attempt, whatever it was waiting for.
func TestLink_Anew(t *testing.T) {
	for away := 20 * time.Second; away < 30*time.Second; away += 700 * time.Millisecond {
		bubble.Test(t, func(t *testing.T) {
			k := keep(t, func(*world, *Config, *LinkConfig) {})
			defer k.stop()
			k.reach(Up, time.Second)
			k.weather.set(func(w *weather) { w.black = true })
			time.Sleep(away)
			k.weather.set(func(w *weather) { w.black = false })
			k.link.Anew()
			k.reach(Up, 400*time.Millisecond)
		})
	}
}

func TestLink_AddressesInTurn(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := keep(t, func(_ *world, _ *Config, cfg *LinkConfig) {
			cfg.Addresses = func() []string { return []string{"1.0.0.77:9000", "no address", "1.0.0.2:9000"} }
		})
		defer k.stop()
		k.reach(Up, 7*time.Second) // one address that is silent for the whole time-out
		if s := k.link.Status(); s.Address != "1.0.0.2:9000" {
			t.Errorf("status %+v", s)
		}
		k.link.mu.Lock()
		c := k.link.conn
		k.link.mu.Unlock()
		c.Close(nil)
		synctest.Wait()
		k.reach(Up, time.Second) // the address that worked last is tried first
	})
}

// A server that died is asked last: the others are not kept waiting by its silence.
func TestLink_SilentServerIsAskedLast(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		second := ""
		k := keep(t, func(w *world, server *Config, cfg *LinkConfig) {
			_, second = w.add(*server)
			cfg.Addresses = func() []string { return []string{second, "1.0.0.3:9000"} }
		})
		defer k.stop()
		k.reach(Up, time.Second)
		if s := k.link.Status(); s.Address != second {
			t.Fatalf("status %+v", s)
		}
		k.weather.set(func(w *weather) { w.dead = second })
		k.reach(Connecting, 13*time.Second)
		k.reach(Up, time.Second)
		if s := k.link.Status(); s.Address != "1.0.0.3:9000" {
			t.Errorf("status %+v", s)
		}
	})
}

// receive does what a puller does: it opens a stream, and takes what the peer sends.
func receive(ctx context.Context, c *Conn) error {
	s, err := c.Open(ctx, ClassConfig)
	if err != nil {
		return err
	}
	if err := s.Send(ctx, Message{}); err != nil {
		return err
	}
	for {
		if _, err := s.Recv(ctx); err != nil {
			return err
		}
	}
}

// TestLink_Extra holds that a backlog on a lossy path is fetched over more connections, and that they go again.
func TestLink_Extra(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		var extras atomic.Int64
		serve := func(ctx context.Context, c *Conn) error {
			if c.Extra() {
				extras.Add(1)
			}
			s, err := c.Accept(ctx)
			if err != nil {
				return err
			}
			body := noise(64 << 10)
			for {
				if err := s.Send(ctx, Message{Body: body}); err != nil {
					return err
				}
			}
		}
		k := keep(t, func(w *world, server *Config, cfg *LinkConfig) {
			w.weather.every = 100 // a loss by chance tells over minutes, not over the 2 s in which a link decides
			server.Accept = serve
			cfg.Handler, cfg.Extra = receive, receive
		})
		defer k.stop()
		k.reach(Up, 5*time.Second)
		time.Sleep(5 * time.Second)
		if n := k.link.Status().Stats.Connections; n != 1 {
			t.Errorf("%d connections without a backlog", n)
		}
		const long = 20 * time.Second
		moved := func() uint64 {
			before := k.link.Status().Stats.PayloadIn
			time.Sleep(long)
			return k.link.Status().Stats.PayloadIn - before
		}
		alone := moved()
		k.link.Backlog(true)
		time.Sleep(14 * time.Second)
		n := k.link.Status().Stats.Connections
		many := moved()
		t.Logf("1 %% loss, RTT 40 ms: %d bytes in %v over one connection, %d over %d", alone, long, many, n)
		if n < 3 || n > maxConnections || int(extras.Load()) < n-1 || many < alone*2 {
			t.Errorf("%d connections, %d extra accepted, %d and %d bytes", n, extras.Load(), alone, many)
		}
		k.link.Backlog(false)
		time.Sleep(3 * time.Second)
		if n := k.link.Status().Stats.Connections; n != 1 {
			t.Errorf("%d connections after the backlog", n)
		}
	})
}

// TestLink_ExtraForAStream: what begins to come steadily from far away soon has as many connections as it needs, and keeps them for
// a while.
func TestLink_ExtraForAStream(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		const far = 300 * time.Millisecond // a round trip takes 170 ms: the near end has 20 ms of the path, the far one half of far
		begin := make(chan struct{})
		serve := func(ctx context.Context, c *Conn) error {
			s, err := c.Accept(ctx)
			if err != nil || c.Extra() {
				return err
			}
			<-begin
			for body := noise(1000); ctx.Err() == nil; time.Sleep(time.Second / 300) {
				if err := s.Send(ctx, Message{Body: body}); err != nil {
					return err
				}
			}
			return nil
		}
		k := keep(t, func(w *world, server *Config, cfg *LinkConfig) {
			w.rtt = far
			server.Accept = serve
			cfg.Handler = receive
			cfg.Extra = func(ctx context.Context, _ *Conn) error { <-ctx.Done(); return nil }
		})
		defer k.stop()
		k.reach(Up, 5*time.Second)
		time.Sleep(5 * time.Second)
		if n := k.link.Status().Stats.Connections; n != farLeast {
			t.Errorf("%d connections before anything comes", n)
		}
		close(begin)
		began := time.Now()
		for k.link.Status().Stats.Connections < 3 && time.Since(began) < 10*time.Second {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(began); took > 900*time.Millisecond {
			t.Errorf("three connections after %v", took)
		}
		time.Sleep(spreadHold / 2)
		if n := k.link.Status().Stats.Connections; n < 3 {
			t.Errorf("%d connections while the stream goes on", n)
		}
	})
}

func TestLink_StopWhileDialing(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		k := keep(t, func(w *world, _ *Config, _ *LinkConfig) { w.weather.black = true })
		time.Sleep(time.Second)
		began := time.Now()
		if k.stop(); time.Since(began) > time.Second {
			t.Errorf("stopping took %v", time.Since(began))
		}
	})
}
