package federation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/feed"
	"supercluster/federation/link"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

func (s *site) status() *pb.GetFederationResponse {
	st, err := s.fed().Status(context.Background())
	if err != nil {
		s.w.t.Fatal(err)
	}
	return st
}

// forward sees, until its answer is called, that a region never goes back in what it has of another.
func (s *site) forward(o *site) (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		last := map[uint32]record.FeedPosition{}
		for {
			changed := replica{s.store, ""}.Changed()
			rows := s.store.pin()
			alias, _, _, _ := state.FindRegion(rows, o.id)
			_ = state.EachFeedState(rows, alias, func(channel uint32, st *record.FeedState) error {
				if last[channel].After(st.Position) {
					s.w.t.Errorf("%s went back in channel %d of %s: from %d.%d to %d.%d", s.name, channel, o.name,
						last[channel].Incarnation, last[channel].Sequence, st.Position.Incarnation, st.Position.Sequence)
				}
				last[channel] = st.Position
				return nil
			})
			select {
			case <-changed:
			case <-stop:
				return
			}
		}
	}()
	return func() { close(stop); <-done }
}

// restored is three regions of which the first lost what came after a backup. It runs again, cut from the others.
func (w *world) restored() (a, b, c *site, before map[string]string) {
	a, b, c = w.three()
	return a, b, c, w.loses(a)
}

// loses has a region lose what came after a backup. It runs again, cut from the others, and before is what it had.
func (w *world) loses(a *site) (before map[string]string) {
	for i := range 50 {
		a.put(instance(fmt.Sprint("web/", i)), "old")
		a.put(config(fmt.Sprint("app", i)), "old")
	}
	w.converge(15 * time.Second)
	backup := a.store.pin()
	for i := range 50 {
		switch i % 3 {
		case 0:
			a.put(instance(fmt.Sprint("web/", i)), "new")
			a.put(config(fmt.Sprint("app", i)), "new")
		case 1:
			a.delete(instance(fmt.Sprint("web/", i)))
			a.delete(config(fmt.Sprint("app", i)))
		}
		a.put(instance(fmt.Sprint("web/late", i)), "new")
	}
	w.converge(5 * time.Second)
	before = a.shown(a)
	a.servers[0].stop()
	a.store.restore(backup)
	w.isolate(a, true)
	a.start("n1")
	a.store.lead("n1")
	return before
}

// two is a world of two regions.
func (w *world) two() (a, b *site) {
	a, b = w.region("alpha"), w.region("beta")
	w.mesh(a, b)
	a.federate(a)
	b.federate(a)
	return a, b
}

// onHeal has fn judge what a region brings back before it is written.
func (s *site) onHeal(fn func() error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.refuse = func(op *record.Op) error {
		if op.Type != record.OpHeal {
			return nil
		}
		return fn()
	}
}

// uplink is the link that the leader of the region has to its only peer, while it is up.
func (s *site) uplink() *uplink {
	s.w.t.Helper()
	up := s.fed().upNow()
	if len(up) != 1 {
		s.w.t.Fatalf("%d links of %s are up", len(up), s.name)
	}
	return up[0]
}

// hasAgain sees that a region has what it had, and lost nothing.
func (s *site) hasAgain(before map[string]string) {
	s.w.t.Helper()
	if got := s.shown(s); !maps.Equal(got, before) {
		s.w.t.Errorf("after healing there are %d records, before there were %d", len(got), len(before))
	}
	if h := s.status().GetHealing(); h.GetRestored() != 118 || h.GetKept() != 0 || len(h.GetUnreachable()) > 0 || len(h.GetLost()) > 0 {
		s.w.t.Errorf("report %v", h)
	}
}

func TestRestored(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c, before := w.restored()
		defer b.forward(a)()
		defer c.forward(a)()
		lost, ended, err := a.fed().Life(t.Context())
		if err != nil || lost != 1 {
			t.Fatalf("life %d before it healed: %v", lost, err)
		}
		w.isolate(a, false)
		w.until(20*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		<-ended
		if next, _, err := a.fed().Life(t.Context()); err != nil || next != 2 {
			t.Errorf("life %d after it healed: %v", next, err)
		}
		w.converge(20 * time.Second)
		if got := a.shown(a); !maps.Equal(got, before) {
			t.Errorf("after healing there are %d records, before there were %d", len(got), len(before))
		}
		st := a.status()
		h := st.GetHealing()
		if len(h.GetLost()) > 0 || h.GetSeenRevision() <= h.GetRevision() {
			t.Errorf("lost %q, from revision %d of %d", h.GetLost(), h.GetRevision(), h.GetSeenRevision())
		}
		if st.GetFence() != pb.Fence_FENCE_NONE || st.GetIncarnation() != 2 || st.GetFenceReason() == "" || h.GetRestored() != 118 || h.GetKept() != 0 || len(h.GetUnreachable()) > 0 {
			t.Errorf("status %v", st)
		}
		a.put(config("app0"), "after")
		w.converge(5 * time.Second)
		w.linked()
		w.verify()
	})
}

// TestRestored_Kept: what was changed after the restore and before the fence is kept, and named.
func TestRestored_Kept(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c, before := w.restored()
		defer b.forward(a)()
		defer c.forward(a)()
		time.Sleep(2 * time.Second)
		a.put(instance("web/0"), "since")   // changed in what was lost
		a.put(config("app1"), "since")      // deleted in what was lost
		a.delete(instance("web/3"))         // changed in what was lost
		a.put(instance("web/brand"), "new") // nobody else knows it
		w.isolate(a, false)
		w.until(20*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		w.converge(20 * time.Second)
		delete(before, "17/web/3")
		before["17/web/0"], before["21/app1"], before["17/web/brand"] = "since", "since", "new"
		if got := a.shown(a); !maps.Equal(got, before) {
			for k, v := range before {
				if got[k] != v {
					t.Errorf("%s is %q, not %q", k, got[k], v)
				}
			}
			for k, v := range got {
				if before[k] == "" {
					t.Errorf("%s is %q, and should be gone", k, v)
				}
			}
		}
		h := a.status().GetHealing()
		slices.Sort(h.KeptNames)
		if got := strings.Join(h.GetKeptNames(), " "); got != "app1 web/0 web/3 web/brand" || h.GetKept() != 4 {
			t.Errorf("kept: %s (%d)", got, h.GetKept())
		}
	})
}

// TestRestored_Lost: what nobody can give back is named: what only a region has that is not reached, what was written in a namespace of
// this region alone, and what was in one that was federated after the backup.
func TestRestored_Lost(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		for _, name := range []string{"late", "private"} {
			a.do(record.Op{Type: record.OpCreateNamespace, Tenancy: &record.Tenancy{Tenant: "default", Namespace: name}})
		}
		inLate := record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 2, Kind: record.KindInstance, Scope: record.ScopeRegion}
		w.converge(15 * time.Second)
		backup := a.store.pin()
		for _, s := range []*site{a, b, c} {
			if s != a {
				s.do(record.Op{Type: record.OpCreateNamespace, Tenancy: &record.Tenancy{Tenant: "default", Namespace: "late"}})
			}
			s.placeIn(2, "late", "", a)
		}
		for i := range maxKeptNames + 20 {
			k := inLate
			k.Name = fmt.Sprintf("web/%03d", i)
			a.put(k, "new")
		}
		a.put(instance("web/1"), "new")
		w.converge(5 * time.Second)
		a.servers[0].stop()
		a.store.restore(backup)
		w.isolate(a, true)
		w.heal(a, b)
		a.start("n1")
		a.store.lead("n1")
		w.until(60*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		lost := a.status().GetHealing().GetLost()
		want := []string{
			"region gamma was not reached: what only it had of this region",
			fmt.Sprintf("%d records of namespace late, tenant id ", maxKeptNames+20),
			"namespace default/late is not federated", "namespace default/private is not federated",
		}
		if len(lost) != len(want) {
			t.Fatalf("lost: %q", lost)
		}
		for i := range want {
			if !strings.HasPrefix(lost[i], want[i]) {
				t.Errorf("lost: %q, want %q", lost[i], want[i])
			}
		}
		if n := strings.Count(lost[1], "web/"); n != maxKeptNames || !strings.HasSuffix(lost[1], ", ...") {
			t.Errorf("%d are named: %s", n, lost[1])
		}
	})
}

// TestRestored_Newest: the peer that has the newest comes last; healing waits for it.
func TestRestored_Newest(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c := w.three()
		a.put(instance("web/1"), "old")
		w.converge(15 * time.Second)
		backup := a.store.pin()
		a.put(instance("web/1"), "middle")
		w.converge(5 * time.Second)
		w.cut(b, c)
		w.cut(a, b)
		a.put(instance("web/1"), "newest")
		w.until(5*time.Second, "gamma has the newest", func() bool { return c.has(a, instance("web/1"), "newest") })
		a.servers[0].stop()
		a.store.restore(backup)
		w.cut(a, c)
		w.heal(a, b)
		a.start("n1")
		a.store.lead("n1")
		w.until(15*time.Second, "it fenced itself", func() bool { return a.store.counted(record.OpFence) > 0 })
		w.heal(a, c)
		w.until(60*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		w.heal(b, c)
		w.converge(30 * time.Second)
		if !b.has(a, instance("web/1"), "newest") {
			t.Error("the newest was lost although a peer had it")
		}
	})
}

func TestRestored_NobodyReached(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, c, _ := w.restored()
		time.Sleep(time.Second)
		a.fenced()
		fencedAt := time.Now()
		time.Sleep(5 * time.Second)
		if st := a.status(); st.GetFence() != pb.Fence_FENCE_HEALING || st.GetFenceReason() != "test" {
			t.Errorf("status %v", st)
		}
		if _, err := a.store.apply(writing(putOf(instance("web/1"), "x"))); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a fenced region took a write that would be exported: %v", err)
		}
		w.until(40*time.Second, "it gave up waiting", func() bool { return a.status().GetHealing() != nil })
		st := a.status()
		if took := time.Since(fencedAt); took < 25*time.Second || len(st.GetHealing().GetUnreachable()) != firstChannels || st.GetFence() != pb.Fence_FENCE_NONE || st.GetIncarnation() != 2 {
			t.Errorf("after %v: %v", took, st)
		}
		a.put(instance("web/1"), "alone")
		defer b.forward(a)()
		defer c.forward(a)()
		w.isolate(a, false)
		w.converge(30 * time.Second)
		if !b.has(a, instance("web/1"), "alone") {
			t.Error("the new incarnation did not arrive")
		}
	})
}

// TestRestored_LinkEnds: the link to the only peer ends when a part was brought back. The rest is brought back over the next one.
func TestRestored_LinkEnds(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		before := w.loses(a)
		var once sync.Once
		a.onHeal(func() error {
			once.Do(func() { a.uplink().conn.Close(fault.New(fault.Unavailable, "test")) })
			return nil
		})
		w.isolate(a, false)
		w.until(20*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		a.hasAgain(before)
		w.converge(20*time.Second, a, b)
	})
}

// TestRestored_NoRoom: a region whose disk is full for longer than healing waits for peers does not begin a new incarnation without what
// it lost, which its peers would lose with it.
func TestRestored_NoRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		before := w.loses(a)
		room := time.Now().Add(time.Minute)
		a.onHeal(func() error {
			if time.Now().Before(room) {
				return fault.New(fault.Exhausted, "the region is short of disk space")
			}
			return nil
		})
		w.isolate(a, false)
		time.Sleep(50 * time.Second)
		if st := a.status(); st.GetFence() != pb.Fence_FENCE_HEALING || st.GetIncarnation() != 1 {
			t.Errorf("without room: %v", st)
		}
		w.until(20*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		a.hasAgain(before)
		w.converge(20*time.Second, a, b)
	})
}

// TestExport_ReceiverGivesUp: who wants no more of a channel, as a region that heals when it has all of it, loses only the stream.
func TestExport_ReceiverGivesUp(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		a.put(config("app"), "one")
		w.converge(15*time.Second, a, b)
		conn := a.uplink().conn
		for range 100 {
			s, err := conn.Open(t.Context(), link.ClassConfig)
			if err != nil {
				t.Fatal(err)
			}
			pull := &feed.Message{Type: feed.TypePull, Region: a.id, Channel: uint32(record.ClassConfig), Pull: &feed.Pull{Credit: 1 << 30, Whole: true}}
			if err := errors.Join(hello(t.Context(), s, false, newLaneName()), s.Send(t.Context(), link.Message{Type: uint8(pull.Type), Body: feed.Append(nil, pull)})); err != nil {
				t.Fatal(err)
			}
			for range 2 { // that it was taken up, and a chunk
				if _, err := s.Recv(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s.Reset()
			time.Sleep(100 * time.Millisecond)
			if conn.Err() != nil {
				t.Fatal(conn.Err())
			}
		}
	})
}
