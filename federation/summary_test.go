package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/region/record"
	"supercluster/registry"
)

// viewer gives the views of a region that has them, nil of one that has none.
func (s *site) viewer() func() *registry.View {
	if !s.w.views {
		return nil
	}
	return func() *registry.View {
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		return s.store.view
	}
}

// regional writes a record of this region that a view decodes.
func (s *site) regional(kind record.Kind, name string, m proto.Message) {
	s.w.t.Helper()
	value, err := marshal(m)
	if err != nil {
		s.w.t.Fatal(err)
	}
	k := instance(name)
	k.Kind = kind
	s.put(k, string(value))
}

func (s *site) serves(name, zone string) {
	s.w.t.Helper()
	s.regional(record.KindInstance, name, &pb.Instance{Address: "10.0.0.1", Port: 80, Zone: zone})
	s.regional(record.KindCheck, name+"/tcp", &pb.Check{Type: pb.CheckType_CHECK_TYPE_TCP})
	s.turns(name, pb.Health_HEALTH_PASSING)
}

func (s *site) turns(name string, h pb.Health) {
	s.w.t.Helper()
	s.regional(record.KindCheckStatus, name+"/tcp", &pb.CheckStatus{Health: h})
}

// summarizes offers a channel of summaries to some regions.
func (s *site) summarizes(audience ...string) {
	s.w.t.Helper()
	doc := &pb.Channel{Name: "all", Class: "summaries", Projection: "summary", Audience: audience}
	if _, err := s.fed().SetChannel(context.Background(), doc, record.Writer{}); err != nil {
		s.w.t.Fatal(err)
	}
}

// summary is what is shown of a service of another region: of each zone, how many of its instances serve.
func (s *site) summary(o *site, service string) string {
	v := s.viewer()()
	var zones []string
	for _, x := range v.Summaries(registry.ServiceOf("", "", service)) {
		if x.Alias != s.alias(o) || x.Origin.Home != o.id || x.Origin.HomeRevision == 0 {
			s.w.t.Errorf("%s has a summary of alias %d, origin %+v", s.name, x.Alias, x.Origin)
		}
		for _, z := range x.Capacity.GetZones() {
			zones = append(zones, fmt.Sprintf("%s %d/%d", z.GetZone(), z.GetServing(), z.GetInstances()))
		}
	}
	return strings.Join(zones, ", ")
}

// summaryWrites notes from now on when this region writes summaries, and gives them.
func (s *site) summaryWrites() func() []time.Time {
	var times []time.Time
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.lateness = func(op *record.Op) {
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		if isSummary(op) {
			times = append(times, time.Now())
		}
	}
	return func() []time.Time {
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		return slices.Clone(times)
	}
}

func isSummary(op *record.Op) bool {
	return op.Type == record.OpTxn && len(op.Txn.Then) > 0 && op.Txn.Then[0].Key.Kind == record.KindSummary
}

// TestSummaries: a region that gets no instances of another follows what that has of each service, in numbers. However often
// health flips, they are written once a second.
func TestSummaries(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		w.views = true
		defer w.close()
		a, b, c := w.three()
		w.converge(15 * time.Second)
		a.audience(c.name)
		follows := func(want string) {
			t.Helper()
			w.until(10*time.Second, fmt.Sprintf("beta shows %q", want), func() bool { return b.summary(a, "web") == want })
		}
		a.serves("web/1", "a")
		a.serves("web/2", "b")
		time.Sleep(3 * time.Second)
		if got := a.summary(a, "web") + b.summary(a, "web"); got != "" {
			t.Errorf("summaries before anybody wants them: %s", got)
		}
		a.summarizes(b.name)
		follows("a 1/1, b 1/1")
		if n := b.instancesOf(a); n > 0 {
			t.Errorf("%d instances came too", n)
		}
		if got := c.summary(a, "web"); got != "" {
			t.Errorf("gamma, who is not in the audience, shows %s", got)
		}
		if got := brought(b.standing(record.KindSummary, "web")) + brought(c.standing(record.KindSummary, "web")); got != "alpha: summaries/all" {
			t.Errorf("watches of summaries hear of %s", got)
		}
		writes, began := a.summaryWrites(), time.Now()
		for time.Since(began) < 10*time.Second {
			a.turns("web/1", pb.Health_HEALTH_CRITICAL)
			time.Sleep(70 * time.Millisecond)
			a.turns("web/1", pb.Health_HEALTH_PASSING)
			time.Sleep(60 * time.Millisecond)
		}
		a.turns("web/1", pb.Health_HEALTH_CRITICAL)
		follows("a 0/1, b 1/1")
		requireSpaced(t, writes())

		failed := a.failNextSummary()
		a.turns("web/1", pb.Health_HEALTH_PASSING)
		follows("a 1/1, b 1/1")
		if !failed.Load() {
			t.Error("no write failed")
		}

		a.delete(instance("web/1"))
		follows("b 1/1")
		a.delete(instance("web/2"))
		follows("")
		if _, known := b.viewer()().KnownService(registry.ServiceOf("", "", "web")); known {
			t.Error("beta still knows the service")
		}
		w.converge(15 * time.Second)
	})
}

// requireSpaced checks that there were some writes, and none sooner after another than may be.
func requireSpaced(t *testing.T, writes []time.Time) {
	t.Helper()
	if len(writes) < 3 || len(writes) > 12 {
		t.Errorf("%d writes in 10 s", len(writes))
	}
	for i := 1; i < len(writes); i++ {
		if d := writes[i].Sub(writes[i-1]); d < summaryEvery {
			t.Errorf("a summary was written %s after another", d)
		}
	}
}

// failNextSummary fails the next write of a summary, and tells when it did.
func (s *site) failNextSummary() *atomic.Bool {
	failed := new(atomic.Bool)
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.refuse = func(op *record.Op) error {
		if !isSummary(op) || failed.Swap(true) {
			return nil
		}
		return errors.New("the leader changed")
	}
	return failed
}
