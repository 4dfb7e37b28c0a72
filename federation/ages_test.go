package federation

import (
	"fmt"
	"testing"
	"time"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// After a start a region is as old as all its channels, not as those that were answered for first.
func TestAges_EveryChannelCounts(t *testing.T) {
	a, region := newAges(), [16]byte{1}
	first, second := channelName{region, 1}, channelName{region, 2}
	if _, known := a.region(region); known {
		t.Error("a region that nothing was heard of has an age")
	}
	a.expect(first)
	a.expect(second)
	a.note(first, a.stamp(), 0)
	if age, known := a.region(region); known {
		t.Errorf("the age is %v, though nobody answered for a channel", age)
	}
	if _, heard := a.newest(region); !heard {
		t.Error("the region was heard")
	}
	told := newAges()
	if err := told.merge(a.encode(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if age, known := told.region(region); known {
		t.Errorf("another node takes the age for %v, though nobody answered for a channel", age)
	}
	a.note(second, a.stamp(), 0)
	a.expect(second) // offered again
	if age, known := a.region(region); !known || age > time.Minute {
		t.Errorf("the age is %v (%v), though both channels were answered for", age, known)
	}
	a.expect(channelName{region, 3})
	a.forget(func(n channelName) bool { return n.channel == 3 })
	if _, known := a.region(region); !known {
		t.Error("a channel that is withheld counts")
	}
	told.expect(channelName{region, 3})
	if err := told.merge(a.encode(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, known := told.region(region); !known {
		t.Error("a channel that is withheld counts at another node")
	}
}

// What a node says of ages is taken in whole or not at all.
func TestAges_BrokenAnswer(t *testing.T) {
	a := newAges()
	a.note(channelName{[16]byte{1}, 1}, a.stamp(), 0)
	a.note(channelName{[16]byte{2}, 300}, a.stamp(), time.Hour)
	whole := a.encode()
	for n := range len(whole) {
		told := newAges()
		if err := told.merge(whole[:n], time.Now()); err == nil && len(told.fresh) == 2 {
			t.Errorf("%d of %d bytes were taken for all", n, len(whole))
		} else if err != nil && len(told.fresh) > 0 {
			t.Errorf("%d of %d bytes were taken in part: %v", n, len(whole), err)
		}
	}
	if err := newAges().merge(whole, time.Now()); err != nil {
		t.Error(err)
	}
}

// A node that cannot tell whether it is behind vouches for nothing: what others have of its region grows old.
func TestAges_ServerThatIsCutOff(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		time.Sleep(3 * time.Second)
		if age := b.age(a); age > 1500*time.Millisecond {
			t.Fatalf("the age is %v, though all is well", age)
		}
		a.store.cut(true)
		time.Sleep(5 * time.Second)
		if age := b.age(a); age < 4*time.Second {
			t.Errorf("the age is %v, 5 s after the server was cut off from its region", age)
		}
		a.store.cut(false)
		w.until(20*time.Second, "the age is low again", func() bool { return b.age(a) < 1500*time.Millisecond })
	})
}

// A region that receives but cannot apply has nothing new: its age grows, and it does not say that it is further.
func TestAges_OfWhatWasOnlyReceived(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 20*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.mesh(a, b)
		a.federate(a)
		b.federate(a)
		w.converge(15 * time.Second)
		b.store.mu.Lock()
		b.store.refuse = func(op *record.Op) error {
			if op.Type == record.OpImport {
				return fault.New(fault.Unavailable, "no leader")
			}
			return nil
		}
		b.store.mu.Unlock()
		for i := range 50 {
			a.put(instance(fmt.Sprint("web/", i)), "new")
			time.Sleep(200 * time.Millisecond)
		}
		if age := b.age(a); age < 9*time.Second {
			t.Errorf("the age is %v, though nothing was applied for 10 s", age)
		}
		b.store.mu.Lock()
		b.store.refuse = nil
		b.store.mu.Unlock()
		w.converge(20 * time.Second)
		w.until(5*time.Second, "the age is low again", func() bool { return b.age(a) < 1500*time.Millisecond })
	})
}

// What was asked for before a read counts on from what was known then, and is answered from again until something is heard.
func TestAges_OfAMoment(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		a, region := newAges(), [16]byte{1}
		time.Sleep(time.Minute)
		a.expect(channelName{region, 1}, channelName{region, 2})
		if _, known := a.snapshot().age(region); known {
			t.Error("a region that nobody answered for has an age")
		}
		a.note(channelName{region, 1}, a.stamp(), 0)
		a.note(channelName{region, 2}, a.stamp(), 2*time.Second)
		before := a.snapshot()
		if before != a.snapshot() {
			t.Error("it is made again although nothing was heard")
		}
		time.Sleep(time.Second)
		a.note(channelName{region, 2}, a.stamp(), 0)
		if age, ok := before.age(region); !ok || age != 3*time.Second {
			t.Errorf("a read that began before says %v, %v; want 3 s", age, ok)
		}
		if age, ok := a.region(region); !ok || age != time.Second {
			t.Errorf("now it is %v, %v; want 1 s", age, ok)
		}
		a.forget(func(n channelName) bool { return n.channel == 1 })
		if age, ok := a.region(region); !ok || age != 0 {
			t.Errorf("without the older channel it is %v, %v; want 0", age, ok)
		}
	})
}
