package federation

import (
	"context"
	"fmt"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// audience says who may have the instances of a region.
func (s *site) audience(names ...string) {
	s.w.t.Helper()
	if _, err := s.fed().SetChannel(context.Background(), &pb.Channel{
		Id: uint32(record.ClassEndpoints), Name: "all", Class: "endpoints", Audience: names,
	}, record.Writer{}); err != nil {
		s.w.t.Fatal(err)
	}
}

// instancesOf counts the instances of a region that are shown.
func (s *site) instancesOf(o *site) (n int) {
	for k := range s.shown(o) {
		if k[:3] == "17/" {
			n++
		}
	}
	return n
}

// withdrawn reports whether nothing is left of the instances of a region.
func (s *site) withdrawn(o *site) bool {
	rows := s.store.pin()
	st, _, err := state.FeedStateOf(rows, s.alias(o), uint32(record.ClassEndpoints))
	if err != nil {
		s.w.t.Fatal(err)
	}
	items, _, err := state.FeedContent(rows, s.alias(o), uint32(record.ClassEndpoints), nil, 1)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return s.instancesOf(o) == 0 && st.Records == 0 && !st.Walking && len(items) == 0
}

// TestWithdraw: a region that is taken out of the audience of a channel gives up what it had of it, while writes go on, and
// has all of it when it is in again.
func TestWithdraw(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		for i := range 1500 { // more than a step of a walk
			a.put(instance(fmt.Sprint("web/", i)), "before")
		}
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		a.audience("beta")
		for i := range 60 {
			a.put(instance(fmt.Sprint("web/", i)), "after")
			time.Sleep(3 * time.Millisecond)
		}
		w.until(10*time.Second, "what it had is gone", func() bool { return c.withdrawn(a) })
		w.converge(10*time.Second, a, b)
		if n := b.instancesOf(a); n != 1500 || !c.has(a, config("app"), "one") {
			t.Errorf("%d instances where they may be, or more went than should", n)
		}
		channels, err := c.fed().ChannelList()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range channels {
			if want := s.GetRegion() == "alpha" && s.GetChannel().GetClass() == "endpoints"; s.GetWithdrawn() != want {
				t.Errorf("channel %v", s)
			}
		}
		a.put(config("app"), "two")
		w.until(5*time.Second, "the rest goes on", func() bool { return c.has(a, config("app"), "two") })
		if age := c.age(a); age > 1500*time.Millisecond {
			t.Errorf("age %v", age)
		}
		w.verify()

		a.audience()
		w.until(20*time.Second, "all of it is back", func() bool { return c.behind(a) == "" })
		w.converge(5 * time.Second)
		w.linked()
		w.verify()
	})
}

// TestWithdraw_Relay: nothing goes while nobody says so; a relay may say so in the place of the home, by what the home signed.
func TestWithdraw_Relay(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		a.put(instance("web/1"), "up")
		w.converge(15 * time.Second)
		w.isolate(c, true)
		a.audience("beta")
		a.put(instance("web/2"), "up")
		w.converge(10*time.Second, a, b)
		time.Sleep(30 * time.Second)
		if age := c.age(a); !c.has(a, instance("web/1"), "up") || age < 25*time.Second {
			t.Errorf("a region that is only away lost its records, or they are %v old", age)
		}
		w.heal(b, c)
		w.until(30*time.Second, "what it had is gone", func() bool { return c.withdrawn(a) })
		if !b.has(a, instance("web/2"), "up") {
			t.Error("the relay lost it too")
		}
		w.heal(a, c)
		w.linked()
		a.audience()
		w.converge(30 * time.Second)
	})
}
