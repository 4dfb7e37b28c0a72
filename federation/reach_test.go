package federation

import (
	"slices"
	"strings"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/liveness"
	"supercluster/federation/plan"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// reached tells what a node thinks of a region.
func reached(f *Federation, s *site) plan.RegionReach {
	for _, g := range f.Reach().Regions {
		if g.ID == s.id {
			return g
		}
	}
	return plan.RegionReach{}
}

// settled waits until every region takes every other for up and knows what it costs.
func (w *world) settled() {
	w.t.Helper()
	w.until(20*time.Second, "all regions are up", func() bool {
		for _, s := range w.regions {
			for _, o := range w.regions {
				if g := reached(s.fed(), o); s != o && (g.State != plan.StateUp || g.Cost < 0 || g.Why != "") {
					return false
				}
			}
		}
		return true
	})
}

// becomes waits until a region is thought of in a way by all of some.
func (w *world) becomes(within time.Duration, of *site, state plan.State, by ...*site) time.Duration {
	w.t.Helper()
	return w.until(within, of.name+" is "+state.String(), func() bool {
		for _, s := range by {
			if reached(s.fed(), of).State != state {
				return false
			}
		}
		return true
	})
}

func TestReach_LossOfARegion(t *testing.T) {
	for _, how := range []string{"killed", "black hole"} {
		t.Run(how, func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, 80*time.Millisecond)
				defer w.close()
				a, b, c := w.three()
				w.converge(10 * time.Second)
				w.settled()
				if how == "killed" {
					b.servers[0].stop()
				} else {
					w.isolate(b, true)
				}
				began := time.Now()
				w.becomes(3*time.Second, b, plan.StateSuspect, a, c)
				w.becomes(6*time.Second, b, plan.StateAway, a, c)
				took := time.Since(began)
				if took > 6*time.Second || took < 4*time.Second {
					t.Errorf("away everywhere after %v, want 4 to 6 s", took)
				}
				if how == "black hole" {
					if w.becomes(time.Second, a, plan.StateUp, b); !b.fed().Reach().Island {
						t.Errorf("the region that is cut off is no island: %+v", b.fed().Reach())
					}
					w.isolate(b, false)
				} else {
					b.servers[0].run()
				}
				took = w.becomes(60*time.Second, b, plan.StateUp, a, c)
				w.until(10*time.Second, "no island", func() bool { return !b.fed().Reach().Island })
				t.Logf("up again after %v", took)
			})
		})
	}
}

// A region that is cut from all others demotes nobody, and its records stay.
func TestReach_Island(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.converge(10 * time.Second)
		w.settled()
		w.isolate(a, true)
		turned, settled := 0, time.Duration(0)
		for began := time.Now(); time.Since(began) < time.Minute; {
			changed := a.fed().ReachChanged()
			select {
			case <-changed:
				turned++
				settled = time.Since(began)
			case <-time.After(time.Second):
			}
			for _, o := range []*site{b, c} {
				if reached(a.fed(), o).State == plan.StateAway {
					t.Fatalf("the island demoted %s", o.name)
				}
			}
		}
		// Of each region three signs end, in any order: feed, probe listener and link. Then it is an island, and nothing changes.
		if !a.fed().Reach().Island || turned > 2*3+1 || settled > 5*time.Second {
			t.Errorf("island %v, %d changes, the last after %v", a.fed().Reach().Island, turned, settled)
		}
		s, err := a.fed().Status(t.Context())
		if err != nil || !s.GetReachability().GetIsland() || s.GetReachability().GetFor().AsDuration() < 50*time.Second {
			t.Errorf("status %v, %v", s.GetReachability(), err)
		}
		w.isolate(a, false)
		w.until(10*time.Second, "no island", func() bool { return !a.fed().Reach().Island })
		w.settled()
	})
}

// Two regions that are cut from each other only: each is away there, and up for the third, which brings its records.
func TestReach_CutPair(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.converge(10 * time.Second)
		w.settled()
		w.cut(a, b)
		w.becomes(7*time.Second, b, plan.StateAway, a)
		w.becomes(3*time.Second, a, plan.StateAway, b)
		time.Sleep(20 * time.Second)
		w.becomes(0, a, plan.StateUp, c)
		w.becomes(0, b, plan.StateUp, c)
		if g := reached(a.fed(), b); !strings.Contains(g.Why, "through others") || a.fed().Reach().Island {
			t.Errorf("%+v", g)
		}
		w.heal(a, b)
		w.settled()
	})
}

// One direction only is lost: nothing gets there and back.
func TestReach_OneWay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.converge(10 * time.Second)
		w.settled()
		w.oneWay(a, b, true)
		w.becomes(7*time.Second, b, plan.StateAway, a)
		w.becomes(7*time.Second, a, plan.StateAway, b)
		w.becomes(0, b, plan.StateUp, c)
		w.becomes(0, a, plan.StateUp, c)
	})
}

// The probe listener of a region is closed to one other, which hears from a third that it is open: it stays where it is.
func TestReach_ProbesClosed(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.converge(10 * time.Second)
		w.settled()
		w.closeProbes(a, b, true)
		time.Sleep(30 * time.Second)
		w.becomes(0, b, plan.StateSuspect, a)
		if g := reached(a.fed(), b); !strings.Contains(g.Why, `answers region "gamma"`) {
			t.Errorf("why: %q", g.Why)
		}
		w.closeProbes(c, b, true) // now it is closed to all
		w.becomes(6*time.Second, b, plan.StateAway, a, c)
		w.closeProbes(a, b, false)
		w.closeProbes(c, b, false)
		w.settled()
	})
}

// With two regions nobody can say which of them is cut off: both keep the other.
func TestReach_TwoRegions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		w.settled()
		b.servers[0].stop()
		time.Sleep(30 * time.Second)
		if r := a.fed().Reach(); !r.Island || reached(a.fed(), b).State == plan.StateAway {
			t.Errorf("%+v", r)
		}
	})
}

// All nodes of a region plan alike, and a new leader goes on from what the last one knew.
func TestReach_Nodes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, _ := w.three()
		second := a.start("n2")
		w.converge(10 * time.Second)
		w.settled()
		same := func() bool {
			x, y := a.servers[0].fed.Reach(), second.fed.Reach()
			if x.Island != y.Island || len(x.Regions) != len(y.Regions) {
				return false
			}
			for i := range x.Regions {
				if x.Regions[i] != y.Regions[i] {
					return false
				}
			}
			return true
		}
		w.until(2*time.Second, "both nodes know the same", same)
		w.isolate(b, true)
		w.until(6*time.Second, "both nodes know that it is away", func() bool { return reached(second.fed, b).State == plan.StateAway && same() })
		fell := reached(second.fed, b)
		a.store.lead("n2")
		for range 50 {
			time.Sleep(100 * time.Millisecond)
			if reached(second.fed, b).State != fell.State {
				t.Fatal("the new leader forgot that the region is away")
			}
		}
		w.isolate(b, false)
		w.until(15*time.Second, "it is up on both", func() bool { return reached(second.fed, b).State == plan.StateUp && same() })
	})
}

// A cost that is set is on every node, survives a leader, and ends.
func TestSetCost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, _ := w.three()
		second := a.start("n2")
		w.converge(10 * time.Second)
		w.settled()
		measured := reached(a.fed(), b).Cost
		if measured != 40*time.Millisecond {
			t.Errorf("measured %v, want 40 ms", measured)
		}
		cost := 3 * time.Millisecond
		if all, err := second.fed.SetCost(t.Context(), "beta", &cost, record.Writer{}); err != nil || len(all) != 1 {
			t.Fatalf("%v, %v", all, err)
		}
		w.until(2*time.Second, "the cost is everywhere", func() bool { return reached(a.fed(), b).Cost == cost && reached(second.fed, b).Cost == cost })
		if _, err := a.fed().SetCost(t.Context(), "alpha", &cost, record.Writer{}); err == nil {
			t.Error("a cost to itself was set")
		}
		if _, err := a.fed().SetCost(t.Context(), "nobody", &cost, record.Writer{}); err == nil {
			t.Error("a cost to nobody was set")
		}
		if all, err := a.fed().SetCost(t.Context(), "beta", nil, record.Writer{}); err != nil || len(all) != 0 {
			t.Fatalf("%v, %v", all, err)
		}
		w.until(2*time.Second, "the cost is measured again", func() bool { return reached(second.fed, b).Cost == measured })
	})
}

// Who changes a part of the region's document undoes nothing of what another node changed since it was read, and each is
// recorded.
func TestChangeSelf_Meanwhile(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		second := a.start("n2")
		w.converge(10 * time.Second)
		cost, tries := time.Millisecond, 0
		_, err := a.fed().changeSelf(t.Context(), record.Writer{Actor: "ada"}, func(doc *pb.Region) error {
			if tries++; tries == 1 {
				if _, err := second.fed.SetCost(t.Context(), b.name, &cost, record.Writer{Actor: "bob"}); err != nil {
					return err
				}
				if _, err := second.fed.SetCost(t.Context(), c.name, &cost, record.Writer{Actor: "eve"}); err != nil {
					return err
				}
			}
			doc.Name = "alef"
			return nil
		})
		doc, at, err2 := a.fed().storedSelf()
		if err != nil || err2 != nil || tries != 2 || doc.GetName() != "alef" || len(doc.GetCosts()) != 2 {
			t.Fatalf("after %d tries: %v: %v, %v", tries, doc, err, err2)
		}
		for i, want := range []string{"ada", "eve", "bob"} {
			if actor, err := state.ActorOf(a.store.pin(), record.ShardSystem, at-uint64(i)); err != nil || actor != want {
				t.Errorf("the change before %d others is by %q, not %q: %v", i, actor, want, err)
			}
		}
		if _, err := second.fed.Rename(t.Context(), "beth", record.Writer{Actor: "eve"}); err != nil {
			t.Fatal(err)
		}
		if doc, _, err := a.fed().storedSelf(); err != nil || doc.GetName() != "beth" || len(doc.GetCosts()) != 2 || !slices.Contains(doc.GetAliases(), "alef") {
			t.Errorf("%v: %v", doc, err)
		}
		_, err = a.fed().changeSelf(t.Context(), record.Writer{}, func(doc *pb.Region) error { // others are always faster
			cost += time.Millisecond
			_, err := second.fed.SetCost(t.Context(), b.name, &cost, record.Writer{})
			doc.Name = "daleth"
			return err
		})
		if fault.KindOf(err) != fault.Conflict {
			t.Errorf("who is never the fastest: %v", err)
		}
	})
}

// Rows of a peer that do not parse, or are of the future, do no harm.
func TestSeenOf_Hostile(t *testing.T) {
	if _, err := decodeReachability([]byte{0xff, 0xff}); err == nil {
		t.Error("noise was taken in")
	}
	m := liveness.New()
	m.SetPeers(0, []liveness.Peer{{Name: "x", Cost: -1}})
	m.Told([16]byte{9}, -time.Hour, nil)
	if p := m.Picture(0); len(p.Rows) != 0 {
		t.Errorf("rows %v", p.Rows)
	}
}
