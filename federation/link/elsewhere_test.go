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
