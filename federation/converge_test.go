package federation

import (
	"context"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

func TestThreeRegions(t *testing.T) {
	bubble.Test(t, func(t *testing.T) { threeRegions(newWorld(t, 40*time.Millisecond)) })
}

func TestThreeRegions_UDP(t *testing.T) { threeRegions(newUDP(t, 2*time.Millisecond)) }

func threeRegions(w *world) {
	t := w.t
	defer w.close()
	a, b, c := w.three()
	a.put(config("app"), "one")
	a.put(placed(record.KindService, "web"), "definition")
	for _, s := range w.regions {
		s.put(instance("web/"+s.name), s.name)
	}
	w.converge(15 * time.Second)
	a.put(config("app"), "two")
	b.delete(instance("web/beta"))
	c.put(instance("web/gamma"), "again")
	w.converge(5 * time.Second)
	for _, s := range []*site{b, c} {
		if !s.has(a, config("app"), "two") || !s.has(a, placed(record.KindService, "web"), "definition") || !s.has(a, instance("web/alpha"), "alpha") {
			t.Errorf("%s does not show what %s has", s.name, a.name)
		}
	}
	if _, found := a.of(b, instance("web/beta")); found || !a.has(c, instance("web/gamma"), "again") {
		t.Error("the deleted instance is still shown, or the changed one is not")
	}
	// Foreign records are read-only.
	foreign := instance("web/alpha")
	foreign.Scope = b.alias(a)
	for _, op := range []record.TxnOp{putOf(foreign, "mine"), deletionOf(foreign), putOf(config("app"), "mine")} {
		if _, err := b.store.apply(writing(op)); fault.KindOf(err) != fault.Denied && fault.KindOf(err) != fault.NotHome {
			t.Errorf("a foreign record was written: %v", err)
		}
	}
	// An age is bounded by what is between two probes and a round trip; in real time also by what else the machine does.
	fresh := 1500 * time.Millisecond
	if w.udp {
		fresh = 20 * time.Second
	}
	for range 20 {
		time.Sleep(100 * time.Millisecond)
		for _, s := range w.regions {
			for _, o := range w.regions {
				if age, ok := s.fed().Age(o.id); o != s && (!ok || age > fresh) {
					t.Fatalf("%s: what it has of %s is %v old (%v)", s.name, o.name, age, ok)
				}
			}
		}
	}
	w.verify()
	for _, s := range w.regions {
		s.truth(fresh)
	}
}

// truth compares what the API tells with what is.
func (s *site) truth(fresh time.Duration) {
	t := s.w.t
	t.Helper()
	others := len(s.w.regions) - 1
	links := s.fed().Links()
	if len(links.GetLinks()) != others || links.GetNode() != "n1" {
		t.Errorf("%s: %d links at %q", s.name, len(links.GetLinks()), links.GetNode())
	}
	for _, l := range links.GetLinks() {
		if l.GetState() != "up" || l.GetAddress() == "" || l.GetServer() != "n1" || l.GetBytesIn() == 0 || l.GetRoundTrip().AsDuration() < s.w.rtt/2 {
			t.Errorf("%s: link %v", s.name, l)
		}
	}
	channels, err := s.fed().ChannelList()
	if err != nil || len(channels) != firstChannels*(others+1) {
		t.Errorf("%s: %d channels, %v", s.name, len(channels), err)
	}
	for _, c := range channels {
		fine := c.GetSequence() == c.GetHeadSequence() && !c.GetResyncing() && !c.GetWalking() && c.GetQuarantined() == 0
		if c.GetOwn() {
			fine = fine && c.GetRegion() == s.name && c.GetVia() == "" && c.GetAge() == nil
		} else {
			fine = fine && c.GetVia() == c.GetRegion() && c.GetAge() != nil && c.GetAge().AsDuration() < fresh
		}
		if !fine {
			t.Errorf("%s: channel %v", s.name, c)
		}
	}
	status, err := s.fed().Status(context.Background())
	if err != nil || status.GetFence() != pb.Fence_FENCE_NONE || status.GetIncarnation() != 1 || len(status.GetPeers()) != others ||
		status.GetQuarantined() != 0 || len(status.GetDisagreements()) != 0 || status.GetRegion().GetName() != s.name || status.GetHealing() != nil {
		t.Errorf("%s: status %v, %v", s.name, status, err)
	}
	for _, p := range status.GetPeers() {
		if p.GetLink() != "up" || p.GetAge() == nil || len(p.GetFingerprints()) != 1 {
			t.Errorf("%s: peer %v", s.name, p)
		}
	}
}

func TestDisagreement(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 10*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(b)
		a.put(config("app"), "of alpha")
		b.put(config("app"), "of beta")
		w.until(15*time.Second, "both tell of the disagreement and keep their own", func() bool {
			for _, s := range w.regions {
				st, err := s.fed().Status(context.Background())
				if err != nil || len(st.GetDisagreements()) != 1 || st.GetQuarantined() != 1 {
					return false
				}
			}
			return true
		})
		q, err := b.fed().Quarantine(0)
		if err != nil || q.GetTotal() != 1 || len(q.GetRecords()) != 1 || q.GetRecords()[0].GetName() != "app" || q.GetRecords()[0].GetReason() != "not-home" {
			t.Errorf("quarantine %v, %v", q, err)
		}
		if got, _, _ := state.Get(b.store.pin(), config("app"), 0); string(got.Value) != "of beta" {
			t.Errorf("beta shows %q", got.Value)
		}
	})
}

// TestVerify_OneAtATime: it reads everything that was imported, whoever asks.
func TestVerify_OneAtATime(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b, _ := w.three()
		a.put(config("app"), "one")
		w.converge(15 * time.Second)
		b.fed().verifying <- struct{}{} // somebody verifies
		began := time.Now()
		if _, err := b.fed().Verify(context.Background(), time.Second); !fault.Is(err, fault.Busy) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.AfterFunc(500*time.Millisecond, func() { <-b.fed().verifying })
		if v, err := b.fed().Verify(context.Background(), 5*time.Second); err != nil || !v.GetEqual() {
			t.Errorf("%v, %v", v, err)
		}
		w.verify()
	})
}
