package federation

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/region/state"
)

// offers makes a channel of configuration, or changes the one with an id: of the names with a prefix, for some regions.
func (s *site) offers(id uint32, name, prefix string, audience ...string) {
	s.w.t.Helper()
	if _, err := s.fed().SetChannel(context.Background(), &pb.Channel{
		Id: id, Name: name, Class: "config", Selector: []*pb.Term{{Kind: "config", Name: prefix}}, Audience: audience,
	}, record.Writer{}); err != nil {
		s.w.t.Fatal(err)
	}
}

// comesBack has a region start again from an old copy of its rows, cut from the others.
func (s *site) comesBack(copied *state.Memory) {
	s.servers[0].stop()
	s.store.restore(copied)
	s.w.isolate(s, true)
	s.start("n1")
	s.store.lead("n1")
}

// channelNamed gives what a region says of one of its channels; nil: it has none of that name.
func (s *site) channelNamed(name string) *pb.Channel {
	s.w.t.Helper()
	channels, err := s.fed().ChannelList()
	if err != nil {
		s.w.t.Fatal(err)
	}
	for _, c := range channels {
		if c.GetOwn() && c.GetChannel().GetName() == name {
			return c.GetChannel()
		}
	}
	return nil
}

// config lists what a region has of its own configuration.
func (s *site) config() map[string]string {
	all := s.shown(s)
	maps.DeleteFunc(all, func(k, _ string) bool { return !strings.HasPrefix(k, "21/") })
	return all
}

// TestRestored_YoungerChannel: a channel was made, and another one narrowed, after the copy. Both documents come back, and so do the
// records of the one; what the other ceased to carry is not taken for deleted.
func TestRestored_YoungerChannel(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		a.put(config("own/1"), "old")
		a.put(config("new/1"), "old")
		w.converge(15 * time.Second)
		copied := a.store.pin()
		a.offers(uint32(record.ClassConfig), "all", "app/")
		a.offers(0, "late", "new/")
		a.put(config("new/1"), "new")
		a.put(config("new/2"), "new")
		w.until(15*time.Second, "the others have it", func() bool {
			_, found := b.of(a, config("own/1"))
			return !found && b.has(a, config("new/2"), "new") && c.has(a, config("new/2"), "new")
		})
		before, had := a.config(), a.channelNamed("late")
		a.comesBack(copied)
		defer b.forward(a)()
		defer c.forward(a)()
		w.isolate(a, false)
		w.until(30*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		w.until(20*time.Second, "the others follow both channels", func() bool {
			return b.behind(a) == "" && c.behind(a) == ""
		})
		if got := a.config(); !maps.Equal(got, before) {
			t.Errorf("after healing there are %v, before there were %v", got, before)
		}
		late, all := a.channelNamed("late"), a.channelNamed("all")
		if late.GetId() != had.GetId() || late.GetClass() != "config" || len(late.GetSelector()) != 1 {
			t.Errorf("the channel is %v, and was %v", late, had)
		}
		if _, found := b.of(a, config("own/1")); found || all == nil {
			t.Error("the channel that had been narrowed carries all again")
		}
		lost := a.status().GetHealing().GetLost()
		if len(lost) != 1 || !strings.Contains(lost[0], "late of class config, is younger") {
			t.Errorf("lost %q", lost)
		}
		a.put(config("new/3"), "after")
		w.until(5*time.Second, "the channel goes on", func() bool { return c.has(a, config("new/3"), "after") })
		w.linked()
		w.verify()
	})
}

// TestRestored_ChannelUnknown: the only region that has a channel which is younger than the copy is not reached while its home heals.
// There the channel ages, and verify says so, until the home makes it again.
func TestRestored_ChannelUnknown(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		w.converge(15 * time.Second)
		a.offers(uint32(record.ClassConfig), "all", "app/")
		w.converge(15 * time.Second)
		copied := a.store.pin()
		a.offers(0, "late", "new/", "beta")
		a.put(config("new/1"), "new")
		a.put(instance("web/1"), "new")
		w.until(15*time.Second, "beta has it", func() bool { return b.has(a, config("new/1"), "new") && c.has(a, instance("web/1"), "new") })
		a.comesBack(copied)
		w.heal(a, c)
		w.until(90*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		if lost := a.status().GetHealing().GetLost(); !slices.Contains(lost, "region beta was not reached: what only it had of this region") {
			t.Errorf("lost %q", lost)
		}
		w.isolate(a, false)
		w.linked()
		w.until(30*time.Second, "beta follows the rest", func() bool {
			return b.status().GetPeers()[0].GetLink() == "up" && b.has(a, instance("web/1"), "new")
		})
		b.unoffered("late")
		old := b.age(a)
		time.Sleep(20 * time.Second)
		if age := b.age(a); age < old+19*time.Second {
			t.Errorf("what nobody brings up to date is %v old, and was %v", age, old)
		}
		b.servers[0].stop()
		b.start("n1")
		b.store.lead("n1")
		w.until(time.Second, "beta knows the others", func() bool { return len(b.status().GetPeers()) == 2 })
		w.linked()
		w.until(20*time.Second, "beta heard of every other channel", func() bool { return b.heardOfAll(a, "late") })
		if age, known := b.fed().Age(a.id); known {
			t.Errorf("after a start, what nobody brings up to date is %v old", age)
		}
		b.unoffered("late")
		a.offers(0, "late", "new/", "beta")
		a.put(config("new/1"), "again")
		w.until(20*time.Second, "it is new again", func() bool {
			age, known := b.fed().Age(a.id)
			return known && age < 2*time.Second && b.has(a, config("new/1"), "again")
		})
		w.verify()
	})
}

// heardOfAll reports whether a region heard of every channel of another but one since it started.
func (s *site) heardOfAll(o *site, but string) bool {
	s.w.t.Helper()
	channels, err := s.fed().ChannelList()
	if err != nil {
		s.w.t.Fatal(err)
	}
	return !slices.ContainsFunc(channels, func(c *pb.ChannelStatus) bool {
		return c.GetRegion() == o.name && c.GetChannel().GetName() != but && c.GetAge() == nil
	})
}

// unoffered sees that a region verifies that a channel is no more offered by its home, and nothing else is wrong.
func (s *site) unoffered(name string) {
	s.w.t.Helper()
	if problem := s.verifies(name); !strings.Contains(problem, "federation channel put "+name+" --class config") {
		s.w.t.Errorf("problem %q", problem)
	}
}

// verifies gives the problem that a region has with a channel, if it has no other.
func (s *site) verifies(name string) (problem string) {
	s.w.t.Helper()
	v, err := s.fed().Verify(context.Background(), 0)
	if err != nil {
		s.w.t.Fatal(err)
	}
	for _, r := range v.GetResults() {
		if named := strings.Contains(r.GetProblem(), `channel "`+name+`"`); named {
			problem = r.GetProblem()
		} else if !r.GetEqual() {
			return ""
		}
	}
	if v.GetEqual() {
		return ""
	}
	return problem
}
