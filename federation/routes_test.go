package federation

import (
	"testing"
	"time"

	"supercluster/internal/bubble"
)

func TestRoutes(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		home, b, c := [16]byte{1}, [16]byte{2}, [16]byte{3}
		name := channelName{region: home, channel: 4}
		const after = 3 * time.Second
		r := newRoutes()
		take := func(via [16]byte) *claim {
			t.Helper()
			x, ok := r.claim(name, via, after, time.Now())
			if !ok {
				t.Fatalf("%x may not serve", via[0])
			}
			return x
		}
		refused := func(via [16]byte) {
			t.Helper()
			if _, ok := r.claim(name, via, after, time.Now()); ok {
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
