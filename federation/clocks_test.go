package federation

import (
	"context"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/internal/bubble"
	"supercluster/region/record"
)

// offsetOf is how far a region says that the clock of another is ahead.
func (s *site) offsetOf(o *site) (time.Duration, bool) {
	s.w.t.Helper()
	status, err := s.fed().Status(context.Background())
	if err != nil {
		s.w.t.Fatal(err)
	}
	for _, g := range status.GetReachability().GetRegions() {
		if g.GetRegion() == o.name && g.GetClockOffset() != nil {
			return g.GetClockOffset().AsDuration(), true
		}
	}
	return 0, false
}

// showsOffset waits until a region shows by how much another one's clock is ahead.
func (w *world) showsOffset(s, o *site, want time.Duration) {
	w.t.Helper()
	w.until(10*time.Second, s.name+" shows the clock of "+o.name, func() bool {
		got, known := s.offsetOf(o)
		return known && (got-want).Abs() < time.Second
	})
}

// A region whose clock is an hour off joins, exchanges, knows how old everything is, and loses and finds others as any does. Each
// of both sides shows the difference, until the clock is set right.
func TestClock_AnHourOff(t *testing.T) {
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			bubble.Test(t, func(t *testing.T) {
				w := newWorld(t, 40*time.Millisecond)
				defer w.close()
				a, b, c := w.region("alpha"), w.region("beta"), w.region("gamma")
				a.store.ahead.Store(int64(off))
				for _, x := range [][2]*site{{a, b}, {c, a}, {b, c}} { // who invites, who accepts
					if _, err := x[1].fed().Accept(t.Context(), invite(t, x[0]), record.Writer{Actor: "ada"}); err != nil {
						t.Fatalf("%s accepts what %s gave out: %v", x[1].name, x[0].name, err)
					}
				}
				for _, s := range w.regions {
					for _, o := range w.regions {
						if s != o {
							s.links(o)
						}
					}
					s.federate(a)
				}
				exchange := func(value string) {
					t.Helper()
					a.put(config("app"), value)
					b.put(instance("web/1"), value)
					w.converge(15 * time.Second)
					w.verify()
				}
				exchange("one")
				w.settled()
				w.showsOffset(b, a, off)
				w.showsOffset(a, b, -off)
				w.showsOffset(b, c, 0)
				for _, x := range [][2]*site{{a, b}, {b, a}} {
					if age, ok := x[0].fed().ages.region(x[1].id); !ok || age > 3*time.Second {
						t.Errorf("what %s has of %s is said to be %v old", x[0].name, x[1].name, age)
					}
				}
				w.isolate(b, true)
				w.becomes(6*time.Second, b, plan.StateAway, a, c)
				w.isolate(b, false)
				w.becomes(60*time.Second, b, plan.StateUp, a, c)
				a.store.ahead.Store(0)
				exchange("two")
				w.showsOffset(b, a, 0)
			})
		})
	}
}

// A node whose clock is off is shown by its region, whichever node is asked.
func TestClock_OfANode(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		second := a.start("n2")
		second.ahead.Store(int64(-time.Hour))
		nodes := func() []*pb.NodeClock {
			s, err := a.fed().Status(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			return s.GetReachability().GetNodes()
		}
		w.until(5*time.Second, "the leader shows it", func() bool {
			all := nodes()
			return len(all) == 1 && all[0].GetNode() == "n2" && (all[0].GetOffset().AsDuration()+time.Hour).Abs() < time.Second
		})
		a.store.lead("n2") // whose clock the others are measured by now
		w.until(5*time.Second, "the new leader shows the other", func() bool {
			all := second.fed.reach.message().GetNodes()
			return len(all) == 1 && all[0].GetNode() == "n1" && (all[0].GetOffset().AsDuration()-time.Hour).Abs() < time.Second
		})
	})
}
