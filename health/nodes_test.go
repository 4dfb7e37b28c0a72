package health

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/wire"
)

// takeOverWithin is how long after the death of a node others probe its checks, at the latest.
const takeOverWithin = 3 * time.Second

// TestNodes_TakeOverInTime: a node that dies is found dead, and its checks are probed, in time: here are all waits on that way.
// A probe is due at once then.
func TestNodes_TakeOverInTime(t *testing.T) {
	if most := wire.DeadAfter + alivePeriod + tick; most > takeOverWithin {
		t.Errorf("checks of a dead node are taken over after %v, want at most %v", most, takeOverWithin)
	}
}

// TestNodes_TakeOver: each check is one node's; when a node dies the others probe its checks within 3 s of its death,
// and theirs stay where they are; when it returns it gets its own back.
func TestNodes_TakeOver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w := newRegion(t), newWorld()
		stops := map[string]func(){}
		for _, name := range []string{"n1", "n2", "n3"} {
			r.node(name)
		}
		for name, n := range r.nodes {
			stops[name] = run(t, w.attach(n))
		}
		const n = 90
		addr := func(i int) string { return fmt.Sprintf("10.0.0.1:%d", 1000+i) }
		for i := range n {
			in := tcpInstance("web", fmt.Sprint(i), 1)
			in.Port = uint32(1000 + i)
			r.register(in)
		}
		time.Sleep(10 * time.Second)
		owner := map[int]string{}
		share := map[string]int{}
		for i := range n {
			for _, p := range w.since(addr(i), 0) {
				if owner[i] == "" {
					owner[i] = p.node
					share[p.node]++
				} else if owner[i] != p.node {
					t.Fatalf("check %d is probed by %s and %s", i, owner[i], p.node)
				}
			}
		}
		for _, name := range []string{"n1", "n2", "n3"} {
			if share[name] < n/6 {
				t.Errorf("node %s has %d of %d checks", name, share[name], n)
			}
		}
		r.counts()

		// n2 dies, and with it a backend that n2 probed; the others notice as late as the node channel lets them.
		stops["n2"]()
		r.kill("n2")
		died := time.Since(w.start)
		dead := 0
		for ; owner[dead] != "n2"; dead++ {
		}
		w.set(critical, addr(dead))
		time.Sleep(wire.DeadAfter)
		r.forget("n2")
		time.Sleep(takeOverWithin - wire.DeadAfter)
		synctest.Wait()
		for i := range n {
			after := w.since(addr(i), died+1)
			if len(after) == 0 {
				t.Errorf("check %d of %s was not probed within %v", i, owner[i], takeOverWithin)
				continue
			}
			if owner[i] != "n2" && after[0].node != owner[i] {
				t.Errorf("check %d moved from %s to %s, though %s lives", i, owner[i], after[0].node, owner[i])
			}
		}
		time.Sleep(time.Second)
		if got := r.health("web", fmt.Sprint(dead)); got != critical {
			t.Errorf("the backend that died with its prober is %v", got)
		}
		if p, s := r.counts(); p != 1 || s != 1 {
			t.Errorf("the takeover made %d operations with %d transitions, want the one of the dead backend", p, s)
		}

		stops["n2"] = run(t, w.attach(r.node("n2")))
		time.Sleep(5 * time.Second)
		back := time.Since(w.start)
		time.Sleep(3 * time.Second)
		for i := range n {
			for _, p := range w.since(addr(i), back+1) {
				if p.node != owner[i] {
					t.Errorf("after the return check %d of %s is probed by %s", i, owner[i], p.node)
				}
			}
		}
		if p, s := r.counts(); p != 0 || s != 0 {
			t.Errorf("the return made %d operations with %d transitions", p, s)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// TestNodes_WrongLastWord: two nodes both take a check for theirs for a while, and the one that is wrong writes last.
// The owner sees it at its next probe and writes again.
func TestNodes_WrongLastWord(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, _ := alone(t)
		r.register(tcpInstance("web", "1", 1))
		time.Sleep(3 * time.Second)
		in, _ := r.View().Instance(key("web", "1"))
		r.must(statusOp(in, &pb.CheckStatus{CheckId: "tcp", Health: critical, Node: "n9"}))
		synctest.Wait()
		if got := r.health("web", "1"); got != critical {
			t.Fatalf("health %v", got)
		}
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		if got := r.health("web", "1"); got != passing {
			t.Errorf("the owner did not correct it: %v", got)
		}
		if len(w.since(backend, 0)) < 3 {
			t.Error("no probes")
		}
	})
}

// TestNodes_Heartbeats: any node takes heartbeats for any session; the owner hears them all.
func TestNodes_Heartbeats(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		for _, name := range []string{"n1", "n2", "n3"} {
			r.node(name)
		}
		stops := map[string]func(){}
		for name, n := range r.nodes {
			stops[name] = run(t, n)
		}
		const n = 60
		var targets []*pb.HeartbeatTarget
		for i := range n {
			r.register(ttlInstance("web", fmt.Sprint(i), 10))
			targets = append(targets, &pb.HeartbeatTarget{Service: "web", Instance: fmt.Sprint(i)})
		}
		synctest.Wait()
		total := 0
		for name, node := range r.nodes {
			count, _ := node.sessions.sizes()
			if total += count; count < n/6 {
				t.Errorf("node %s has %d of %d sessions", name, count, n)
			}
		}
		if total != n {
			t.Errorf("%d sessions on all nodes, want %d", total, n)
		}
		asked := append(targets, &pb.HeartbeatTarget{Service: "web", Instance: "none"}, &pb.HeartbeatTarget{Service: "web", Instance: "1", Check: "none"})
		for range 6 {
			unknown, err := r.nodes["n1"].Heartbeat(t.Context(), asked)
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(unknown) != fmt.Sprint([]int{n, n + 1}) {
				t.Errorf("unknown %v", unknown)
			}
			time.Sleep(5 * time.Second)
		}
		for i := range n {
			if got := r.health("web", fmt.Sprint(i)); got != passing {
				t.Fatalf("instance %d is %v", i, got)
			}
		}
		if p, s := r.counts(); s != n {
			t.Errorf("%d sessions made %d operations with %d transitions", n, p, s)
		}

		// The owner of some of them dies: until the others notice, a heartbeat for them is refused, not swallowed.
		stops["n2"]()
		r.kill("n2")
		if _, err := r.nodes["n1"].Heartbeat(t.Context(), targets); !fault.Is(err, fault.Unavailable) {
			t.Errorf("with a dead owner: %v", err)
		}
		r.forget("n2")
		time.Sleep(time.Second)
		// Its sessions get one fresh TTL, and then expire like any.
		time.Sleep(8 * time.Second)
		for i := range n {
			if got := r.health("web", fmt.Sprint(i)); got != passing {
				t.Fatalf("8 s after the takeover instance %d is %v", i, got)
			}
		}
		if _, err := r.nodes["n3"].Heartbeat(t.Context(), targets); err != nil {
			t.Errorf("after the takeover: %v", err)
		}
		if _, s := r.counts(); s != 0 {
			t.Errorf("the takeover made %d transitions", s)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// TestNodes_Disagree: while nodes do not agree on who lives, a heartbeat goes on to the node that its receiver takes
// for the owner, and no further.
func TestNodes_Disagree(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r := newRegion(t)
		n1, n2, n3 := r.node("n1"), r.node("n2"), r.node("n3")
		// n1 knows n1 and n2, n2 knows n2 and n3, n3 knows only itself: it takes every check for its own.
		n1.cfg.Alive = func() []string { return []string{"n2"} }
		var other atomic.Value
		other.Store("n3")
		n2.cfg.Alive = func() []string { return []string{other.Load().(string)} }
		n3.cfg.Alive = func() []string { return []string{"n3"} }
		for _, n := range r.nodes {
			t.Cleanup(run(t, n))
		}
		r.register(ttlInstance("web", "1", 10))
		synctest.Wait()
		target := []*pb.HeartbeatTarget{{Service: "web", Instance: "1"}}
		if unknown, err := n1.Heartbeat(t.Context(), target); err != nil || unknown != nil {
			t.Fatalf("%v, %v", unknown, err)
		}
		synctest.Wait()
		if got := r.health("web", "1"); got != passing {
			t.Errorf("the owner did not hear: %v", got)
		}
		// A circle of nodes ends after two hops.
		other.Store("n1")
		time.Sleep(time.Second)
		r.calls = 0
		if unknown, err := n1.Heartbeat(t.Context(), target); err != nil || unknown != nil {
			t.Fatalf("%v, %v", unknown, err)
		}
		if r.calls != maxHops {
			t.Errorf("%d hops", r.calls)
		}
	})
}

// TestOwner: every node computes the same owner, checks spread evenly, and only what must move moves.
func TestOwner(t *testing.T) {
	all := newNodeSet([]string{"n1", "n2", "n3", "n4", "n5"})
	less := newNodeSet([]string{"n1", "n2", "n3", "n5"})
	share := map[string]int{}
	const n = 10000
	for i := range n {
		h := checkHash(key("web", fmt.Sprint(i)).Check("tcp"))
		before, after := all.owner(h), less.owner(h)
		share[before]++
		if before != "n4" && before != after {
			t.Fatalf("check %d moved from %s to %s, though only n4 left", i, before, after)
		}
	}
	for name, got := range share {
		if got < n/5*9/10 || got > n/5*11/10 {
			t.Errorf("node %s has %d of %d checks", name, got, n)
		}
	}
	// Part of the contract between versions: the numbers must never change.
	if got := checkHash(key("web", "1").Check("tcp")); got != 0xb44e655b3c4504f7 {
		t.Errorf("checkHash changed: %#x", got)
	}
	if got := instanceHash(key("web", "1")); got != 0xcf1e60b49007cdc2 {
		t.Errorf("instanceHash changed: %#x", got)
	}
}
