package health

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/health/check"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

func statusOp(in *registry.InstanceView, s *pb.CheckStatus) (record.Op, error) {
	return registry.CheckStatusOp(in, s, registry.Write{})
}

func beat(t *testing.T, n *Runner, targets ...*pb.HeartbeatTarget) []uint32 {
	t.Helper()
	unknown, err := n.Heartbeat(t.Context(), targets)
	if err != nil {
		t.Fatal(err)
	}
	return unknown
}

func TestTTL_Lifecycle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, _, n := alone(t)
		r.register(ttlInstance("web", "1", 10))
		web := &pb.HeartbeatTarget{Service: "web", Instance: "1"}
		synctest.Wait()
		expect := func(what string, want pb.Health, output string) {
			t.Helper()
			synctest.Wait()
			if got := r.health("web", "1"); got != want || r.output("web", "1") != output {
				t.Errorf("%s: %v %q, want %v %q", what, got, r.output("web", "1"), want, output)
			}
		}
		expect("registered", critical, "")
		beat(t, n, web)
		expect("first heartbeat", passing, "heartbeat")
		for range 10 {
			time.Sleep(9 * time.Second)
			beat(t, n, web)
		}
		expect("heard of in time", passing, "heartbeat")
		if p, s := r.counts(); p != 1 || s != 1 {
			t.Errorf("eleven heartbeats made %d operations with %d transitions", p, s)
		}
		time.Sleep(10*time.Second - time.Millisecond)
		expect("just before its TTL", passing, "heartbeat")
		time.Sleep(tick + time.Millisecond)
		expect("just after its TTL", critical, "no heartbeat for 10s")
		time.Sleep(time.Minute)
		expect("silent", critical, "no heartbeat for 10s")
		beat(t, n, web)
		expect("is back", passing, "heartbeat")
		beat(t, n, &pb.HeartbeatTarget{Service: "web", Instance: "1", Health: warning, Output: "busy"})
		expect("says it is busy", warning, "busy")
		beat(t, n, &pb.HeartbeatTarget{Service: "web", Instance: "1", Check: "ttl", Health: critical, Output: "help"})
		expect("says it is ill", critical, "help")
		beat(t, n, web)
		expect("says it is well", passing, "heartbeat")
		r.drain("web", "1")
		time.Sleep(time.Minute)
		expect("draining: nobody waits for it", passing, "heartbeat")
		if unknown := beat(t, n, web); unknown != nil {
			t.Error("a draining instance is unknown")
		}
		r.deregister("web", "1")
		synctest.Wait()
		if unknown := beat(t, n, web); len(unknown) != 1 {
			t.Error("an instance that is gone is known")
		}
		if count, _ := n.sessions.sizes(); count != 0 {
			t.Errorf("%d sessions left", count)
		}
	})
}

// A heartbeat that comes when the view shows a new check and the loop has not adopted it is not lost.
func TestTTL_HeardOfAtOnce(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, _, n := alone(t)
		const all = 50
		for i := range all {
			id := fmt.Sprint(i)
			r.register(ttlInstance("web", id, 3600))
			if unknown := beat(t, n, &pb.HeartbeatTarget{Service: "web", Instance: id}); len(unknown) > 0 {
				t.Fatalf("instance %s is not known", id)
			}
		}
		synctest.Wait()
		for i := range all {
			if got := r.health("web", fmt.Sprint(i)); got != passing {
				t.Errorf("instance %d is %v", i, got)
			}
		}
		r.register(ttlInstance("web", "drains", 3600))
		synctest.Wait()
		r.drain("web", "drains")
		began := time.Now()
		beat(t, n, &pb.HeartbeatTarget{Service: "web", Instance: "drains"})
		if took := time.Since(began); took > 0 {
			t.Errorf("the heartbeat of an instance that drains took %v", took)
		}
	})
}

// TestTTL_NeverHeardOf: the expiry of a check that never had a heartbeat is written once, for it says why.
func TestTTL_NeverHeardOf(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, _, _ := alone(t)
		r.register(ttlInstance("web", "1", 5))
		time.Sleep(time.Minute)
		if p, s := r.counts(); p != 1 || s != 1 || r.output("web", "1") != "no heartbeat for 5s" {
			t.Errorf("%d operations, %d transitions, output %q", p, s, r.output("web", "1"))
		}
	})
}

// TestTTL_MassExpiry: when most of many sessions fall silent at once they are given one more TTL, once.
func TestTTL_MassExpiry(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, _, n := alone(t)
		const sessions = 100
		var targets []*pb.HeartbeatTarget
		for i := range sessions {
			r.register(ttlInstance("web", fmt.Sprint(i), 10))
			targets = append(targets, &pb.HeartbeatTarget{Service: "web", Instance: fmt.Sprint(i)})
		}
		synctest.Wait()
		beat(t, n, targets...)
		synctest.Wait()
		r.counts()
		time.Sleep(15 * time.Second)
		if _, s := r.counts(); s != 0 {
			t.Errorf("%d sessions that fell silent together expired at once", s)
		}
		beat(t, n, targets[:40]...)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if p, s := r.counts(); s != 60 || p > 3 {
			t.Errorf("after one more TTL %d transitions in %d operations, want the 60 that are still silent", s, p)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if _, s := r.counts(); s != 0 {
			t.Errorf("%d of the other 40 expired: all of those alive, so they are held too", s)
		}
	})
}

// TestTTL_Pause: what expires while this process did not run is held once; its clients could not reach it.
func TestTTL_Pause(t *testing.T) {
	r := newRegion(t)
	s := newSessions(check.Guard{MaxGap: maxGap, Percent: 50, Minimum: 20})
	r.register(ttlInstance("web", "1", 10))
	in, _ := r.View().Instance(key("web", "1"))
	s.put(0, in, 0)
	s.beat(0, in.Key, &pb.HeartbeatTarget{})
	turn := func(at, gap time.Duration) (changed, held int) {
		c, h := s.turn(at, gap)
		return len(c), h
	}
	if c, h := turn(30*time.Second, 29*time.Second); c != 0 || h != 1 {
		t.Errorf("after a pause: %d expired, %d held", c, h)
	}
	if c, h := turn(39*time.Second, 0); c != 0 || h != 0 {
		t.Errorf("within the TTL it was given: %d expired, %d held", c, h)
	}
	if c, h := turn(75*time.Second, 30*time.Second); c != 1 || h != 0 {
		t.Errorf("after another pause without a heartbeat: %d expired, %d held", c, h)
	}
}

// TestSessions_Model compares the slab and the wheel with a map of deadlines.
func TestSessions_Model(t *testing.T) {
	r := newRegion(t)
	const instances = 8
	views := make([]*registry.InstanceView, instances)
	for i := range views {
		in := ttlInstance("web", fmt.Sprint(i), []float64{1, 3, 60, 200}[i%4])
		in.Checks = append(in.Checks, &pb.Check{Id: "two", Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: seconds(7)})
		r.register(in)
		views[i], _ = r.View().Instance(key("web", fmt.Sprint(i)))
	}
	type session struct {
		deadline time.Duration
		health   pb.Health
	}
	rapid.Check(t, func(t *rapid.T) {
		s := newSessions(check.Guard{MaxGap: time.Hour, Percent: 100})
		model := map[registry.CheckKey]*session{}
		now := time.Duration(0)
		ttl := func(in *registry.InstanceView, c int) time.Duration { return in.Checks[c].GetTtl().AsDuration() }
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			in := views[rapid.IntRange(0, instances-1).Draw(t, "instance")]
			c := rapid.IntRange(0, 1).Draw(t, "check")
			k := in.Key.Check(in.Checks[c].GetId())
			switch rapid.SampledFrom([]string{"put", "drop", "beat", "turn"}).Draw(t, "step") {
			case "put":
				s.put(now, in, c)
				if model[k] == nil {
					model[k] = &session{deadline: now + ttl(in, c)}
				}
			case "drop":
				if got, want := s.drop(in.Key, k.ID), model[k] != nil; got != want {
					t.Fatalf("drop = %v, want %v", got, want)
				}
				delete(model, k)
			case "beat":
				changed, known := s.beat(now, in.Key, &pb.HeartbeatTarget{Check: k.ID})
				m := model[k]
				if known != (m != nil) {
					t.Fatalf("known = %v, want %v", known, m != nil)
				}
				if m == nil {
					continue
				}
				if (len(changed) == 1) != (m.health != passing) {
					t.Fatalf("%d changes, it was %v", len(changed), m.health)
				}
				m.deadline, m.health = now+ttl(in, c), passing
			case "turn":
				now += time.Duration(rapid.IntRange(1, 3000).Draw(t, "ticks")) * tick
				changed, _ := s.turn(now, 0)
				expired := map[registry.CheckKey]bool{}
				for _, x := range changed {
					// The view of this test never shows what was written, so it is also written again.
					if x.state.Health == critical && x.state.Output != writtenAgain {
						expired[x.key] = true
					}
				}
				for k, m := range model {
					due := m.health != critical && m.deadline <= now
					if expired[k] != due {
						t.Fatalf("%v at %v with deadline %v: expired = %v", k, now, m.deadline, expired[k])
					}
					if due {
						m.health = critical
					}
				}
			}
			if count, _ := s.sizes(); count != len(model) {
				t.Fatalf("%d sessions, want %d", count, len(model))
			}
		}
	})
}

// TestSession_Size is the memory that a session costs beside its place in the map.
func TestSession_Size(t *testing.T) {
	if size := unsafe.Sizeof(session{}); size > 64 {
		t.Errorf("a session has %d bytes, the limit is 64", size)
	}
}

func TestHeartbeat_Bad(t *testing.T) {
	r := newRegion(t)
	n := r.node("n1")
	one := []*pb.HeartbeatTarget{{Service: "web", Instance: "1"}}
	if _, err := n.Heartbeat(t.Context(), one); !fault.Is(err, fault.Unavailable) {
		t.Errorf("before Run: %v", err)
	}
	stop := run(t, n)
	for n.nodes.Load() == nil {
		runtime.Gosched()
	}
	if _, err := n.Heartbeat(t.Context(), make([]*pb.HeartbeatTarget, maxTargets+1)); !fault.Is(err, fault.Invalid) {
		t.Errorf("too many: %v", err)
	}
	if _, err := n.Heartbeat(t.Context(), []*pb.HeartbeatTarget{{Health: 9}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("unknown health: %v", err)
	}
	if unknown, err := n.Heartbeat(t.Context(), []*pb.HeartbeatTarget{{}}); err != nil || len(unknown) != 1 {
		t.Errorf("no name: %v, %v", unknown, err)
	}
	for _, payload := range [][]byte{nil, {0, 1, 2, 3}, {0, 0xff}, {0, 10, 2, 48, 9}} {
		if _, err := n.HandleHeartbeat(t.Context(), "n2", payload); !fault.Is(err, fault.Invalid) {
			t.Errorf("%x: %v", payload, err)
		}
	}
	stop()
	// An owner elsewhere cannot be asked any more.
	n.nodes.Store(newNodeSet([]string{"n2"}))
	if _, err := n.Heartbeat(t.Context(), one); !fault.Is(err, fault.Unavailable) {
		t.Errorf("after Run: %v", err)
	}
}

func FuzzHandleHeartbeat(f *testing.F) {
	payload, err := proto.MarshalOptions{}.MarshalAppend([]byte{1}, &pb.HeartbeatRequest{
		Targets: []*pb.HeartbeatTarget{{Service: "web", Instance: "1"}, {Service: "web", Instance: "1", Check: "ttl", Health: critical}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(payload)
	f.Add([]byte{9})
	r := newRegion(f)
	r.register(ttlInstance("web", "1", 10))
	n := r.node("n1")
	in, _ := r.View().Instance(key("web", "1"))
	n.sessions.put(0, in, 0)
	n.nodes.Store(newNodeSet([]string{"n1"}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		answer, err := n.HandleHeartbeat(t.Context(), "n2", payload)
		if err != nil {
			return
		}
		var req pb.HeartbeatRequest
		var res pb.HeartbeatResponse
		if proto.Unmarshal(payload[1:], &req) != nil || proto.Unmarshal(answer, &res) != nil || len(res.GetUnknown()) > len(req.GetTargets()) {
			t.Errorf("%x was answered by %x", payload, answer)
		}
	})
}
