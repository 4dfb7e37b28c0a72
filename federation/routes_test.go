package federation

import (
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/region/record"
)

func TestRoutes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, b, c := [16]byte{1}, [16]byte{2}, [16]byte{3}
		name := channelName{region: home, channel: 4}
		const after = 3 * time.Second
		r := newRoutes()
		var offered record.FeedPosition
		take := func(via [16]byte) *claim {
			t.Helper()
			x, ok := r.claim(name, via, offered, after, time.Now())
			if !ok {
				t.Fatalf("%x may not serve", via[0])
			}
			return x
		}
		refused := func(via [16]byte) {
			t.Helper()
			if _, ok := r.claim(name, via, offered, after, time.Now()); ok {
				t.Fatalf("%x may serve", via[0])
			}
		}
		refused(b) // nobody serves yet, but not for long enough
		time.Sleep(after)
		first := take(b)
		refused(b)
		refused(c)
		lives := first.context(t.Context())
		direct := take(home)
		if lives.Err() == nil || !r.direct(home) {
			t.Error("the relay goes on beside the home")
		}
		r.drop(home)
		if _, ok := r.through(name); ok || direct.context(t.Context()).Err() == nil {
			t.Error("the home serves on a link that ended")
		}
		refused(b)
		time.Sleep(after)
		second := take(b)
		first.release() // late: the puller before had much to do yet
		if via, ok := r.through(name); !ok || via != b || second.context(t.Context()).Err() != nil {
			t.Error("a claim that was lost long ago took a later one away")
		}
		refused(c)
		second.release()
		time.Sleep(after)
		take(c)
	})
}

// TestRoutes_Quiet: who is asked and does not answer loses a channel to whoever has as much of it, and the home takes it
// back, but not at once.
func TestRoutes_Quiet(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, b, c := [16]byte{1}, [16]byte{2}, [16]byte{3}
		name := channelName{region: home, channel: 4}
		const after = 3 * time.Second
		at := func(n uint64) record.FeedPosition { return record.FeedPosition{Incarnation: 1, Sequence: n} }
		r := newRoutes()
		may := func(via [16]byte, offered uint64, want bool) *claim {
			t.Helper()
			x, ok := r.claim(name, via, at(offered), after, time.Now())
			if ok != want {
				t.Fatalf("%x may serve up to %d: %v", via[0], offered, ok)
			}
			return x
		}
		direct := may(home, 7, true)
		r.applied(name, at(7))
		may(b, 9, false)
		asked := r.wants()
		direct.falls(true)
		select {
		case <-asked:
		default:
			t.Error("nobody else is asked")
		}
		if r.direct(home) {
			t.Error("a home that does not answer counts as direct")
		}
		direct.falls(false)
		may(b, 9, false) // it answers again
		direct.falls(true)
		may(b, 6, false) // it has less than this region
		relay := may(b, 7, true)
		direct.falls(true) // it has no say any more
		may(c, 9, false)
		may(home, 9, false)
		time.Sleep(after)
		r.applied(name, at(8))
		time.Sleep(after - 1)
		may(home, 9, false)
		time.Sleep(after)
		may(c, 9, false)
		time.Sleep(time.Nanosecond)
		may(c, 8, false) // nothing newer
		other := may(c, 9, true)
		r.applied(name, at(9))
		may(b, 10, false)
		relay.release()
		other.falls(true)
		may(home, 9, true)
		may(b, 10, false)
	})
}

// TestRoutes_Idle: a relay that brings nothing keeps no channel from its home, which has more and answers; nor does one that
// brought something, when the home has a new connection.
func TestRoutes_Idle(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, relay := [16]byte{1}, [16]byte{2}
		name := channelName{region: home, channel: 4}
		const after = 3 * time.Second
		at := func(n uint64) record.FeedPosition { return record.FeedPosition{Incarnation: 1, Sequence: n} }
		for _, c := range []struct {
			what    string
			happens func(r *routes)
			free    bool
		}{
			{"it brought nothing yet", func(*routes) { time.Sleep(after/2 - 1) }, false},
			{"it brought nothing", func(*routes) { time.Sleep(after / 2) }, true},
			{"it brought something", func(r *routes) { r.applied(name, at(8)) }, false},
			{"it brought a part of a snapshot", func(r *routes) { r.moves(name) }, false},
			{"it brought something long ago", func(r *routes) { r.applied(name, at(8)); time.Sleep(after) }, true},
			{"it brought all there is", func(r *routes) { r.applied(name, at(9)); time.Sleep(after) }, false},
			{"the home is connected anew", func(r *routes) { r.applied(name, at(8)); r.connected(home) }, true},
			{"another region is connected anew", func(r *routes) { r.applied(name, at(8)); r.connected(relay) }, false},
		} {
			r := newRoutes()
			direct, _ := r.claim(name, home, at(7), after, time.Now())
			r.applied(name, at(7))
			direct.falls(true)
			if _, ok := r.claim(name, relay, at(7), after, time.Now()); !ok {
				t.Fatal("the relay may not serve")
			}
			c.happens(r)
			if _, free := r.claim(name, home, at(9), after, time.Now()); free != c.free {
				t.Errorf("%s: the home may serve: %v", c.what, free)
			}
		}
	})
}

func TestInlet_LaterPullerStays(t *testing.T) {
	name := channelName{region: [16]byte{1}, channel: 4}
	in := &inlet{pullers: map[channelName]*puller{}}
	old, now := &puller{}, &puller{}
	in.add(name, old)
	in.add(name, now)
	in.remove(name, old)
	if in.pullers[name] != now {
		t.Error("the end of a puller took a later one of the same channel out")
	}
	if in.remove(name, now); len(in.pullers) != 0 {
		t.Error("a puller stays after its end")
	}
}

// TestRoutes_WantedWhileAsked: a channel that falls quiet while peers are asked what they offer has them asked again at once.
func TestRoutes_WantedWhileAsked(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		f := &Federation{routes: newRoutes(), cfg: Config{Tuning: Tuning{OfferEvery: time.Minute}}}
		name := channelName{[16]byte{1}, 1}
		c, ok := f.routes.claim(name, name.region, record.FeedPosition{}, time.Second, time.Now())
		if !ok {
			t.Fatal("the home may not serve its channel")
		}
		wanted := f.routes.wants()
		c.falls(true)
		began := time.Now()
		if err := f.untilOffers(t.Context(), wanted); err != nil || time.Since(began) > 0 {
			t.Errorf("asked again after %v, %v", time.Since(began), err)
		}
		if err := f.untilOffers(t.Context(), f.routes.wants()); err != nil || time.Since(began) != time.Minute {
			t.Errorf("and then after %v, %v", time.Since(began), err)
		}
	})
}
