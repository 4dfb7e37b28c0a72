package link

import (
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/bubble"
)

// While a server is asked and answers nothing, another one of its region takes its place long before the connection ends. A line
// that carries nothing at all ends no connection earlier.
func TestLink_AnotherServerWhileOneIsQuiet(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		second := ""
		var quiet atomic.Bool
		k := keep(t, func(w *world, server *Config, cfg *LinkConfig) {
			_, second = w.add(*server)
			cfg.Addresses, cfg.Quiet = func() []string { return []string{second, "1.0.0.3:9000"} }, quiet.Load
		})
		defer k.stop()
		k.reach(Up, time.Second)
		k.weather.set(func(w *weather) { w.black = true })
		quiet.Store(true)
		time.Sleep(7 * time.Second)
		k.weather.set(func(w *weather) { w.black = false })
		quiet.Store(false)
		time.Sleep(6 * time.Second)
		if s := k.link.Status(); s.State != Up || s.Address != second {
			t.Fatalf("a line that carried nothing for a while made it %+v", s)
		}
		k.weather.set(func(w *weather) { w.dead = second })
		quiet.Store(true)
		began := time.Now()
		for k.link.Status().Address != "1.0.0.3:9000" {
			if time.Since(began) > 3*time.Second {
				t.Fatalf("after %v: %+v", time.Since(began), k.link.Status())
			}
			time.Sleep(10 * time.Millisecond)
		}
		quiet.Store(false)
		if s := k.link.Status(); s.State != Up {
			t.Errorf("status %+v", s)
		}
		time.Sleep(time.Minute)
		if s := k.link.Status(); s.State != Up || s.Address != "1.0.0.3:9000" {
			t.Errorf("a minute later: %+v", s)
		}
	})
}

// A link moves to the server that is preferred without being without a connection, but not with a backlog, and stays where it is
// while that server is not reached, or is none of the peer.
func TestLink_MovesToThePreferredServer(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		second := ""
		k := keep(t, func(w *world, server *Config, cfg *LinkConfig) {
			_, second = w.add(*server)
			cfg.Addresses = func() []string { return []string{second, "1.0.0.3:9000"} }
		})
		defer k.stop()
		k.reach(Up, time.Second)
		stays := func(why, at string) {
			t.Helper()
			time.Sleep(5 * time.Second)
			if s := k.link.Status(); s.State != Up || s.Address != at {
				t.Fatalf("%s: %+v", why, s)
			}
		}
		k.link.Prefer("1.0.0.9:9000")
		stays("an address that is none of the peer", second)
		k.link.Backlog(true)
		k.link.Prefer("1.0.0.3:9000")
		stays("a backlog", second)
		k.link.Backlog(false)
		stays("the preferred server", "1.0.0.3:9000")
		k.link.Prefer("")
		stays("any server", "1.0.0.3:9000")
		k.weather.set(func(w *weather) { w.dead = second })
		k.link.Prefer(second)
		stays("a server that is not reached", "1.0.0.3:9000")
		k.weather.set(func(w *weather) { w.dead = "" })
		stays("a server that was not reached a moment ago", "1.0.0.3:9000")
		time.Sleep(preferAgain)
		stays("a server that is reached again", second)
		if s := k.link.Status(); s.Err != nil {
			t.Errorf("a move is no failure: %v", s.Err)
		}
	})
}
