package xds

import (
	"testing"
)

// An instance of another region serves when ours has none, and stops when ours is back: for a gRPC client each step is
// complete once the client has the new assignment.
func TestGRPC_FailsOverBetweenRegions(t *testing.T) {
	r := newRegistry(t)
	here, there := grpcBackend(t), grpcBackend(t)
	r.register(t, "greeter", here)
	r.imported(t, "greeter", there)
	s := start(t, r)
	c := grpcClient(t, "greeter", s.address)
	only := func(want int) func() bool {
		return func() bool {
			for range 10 {
				if port, err := call(c); err != nil || port != want {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "this region alone", only(here))
	r.deregister(t, "greeter", here)
	eventually(t, "the other region alone", only(there))
	r.register(t, "greeter", here)
	eventually(t, "this region again", only(here))
	r.unimported("greeter", there)
	eventually(t, "the other region is gone", only(here))
	requireNoNacks(t, s)
}

func TestEnvoy_FailsOverBetweenRegions(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	here, there := runBackend(t, "here"), runBackend(t, "there")
	r.register(t, "web", here.port)
	r.imported(t, "web", there.port)
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)
	only := func(want string) func() bool {
		return func() bool {
			for range 10 {
				if code, body := e.get("shop.example", "/"); code != 200 || body != want+" /" {
					return false
				}
			}
			return true
		}
	}
	eventually(t, "this region alone", only("here"))
	r.register(t, "web", here.port, draining)
	eventually(t, "the other region alone", only("there"))
	r.deregister(t, "web", here.port)
	eventually(t, "the other region still", only("there"))
	r.register(t, "web", here.port)
	eventually(t, "this region again", only("here"))
	requireNoNacks(t, s)
}

func requireNoNacks(t *testing.T, s *running) {
	t.Helper()
	for _, p := range s.Proxies() {
		for _, pt := range p.GetTypes() {
			if pt.GetNacks() != 0 {
				t.Errorf("%s: %s", pt.GetType(), pt.GetNack())
			}
		}
	}
}
