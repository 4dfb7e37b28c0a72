package federation

import (
	"testing"
	"time"

	"supercluster/federation/feed"
	"supercluster/region/record"
)

// A channel that moved wakes who serves it, once, and nobody else.
func TestTails_WakeWhoServesTheChannel(t *testing.T) {
	w := newUDP(t, 0)
	defer w.close()
	s, p := w.region("alpha"), w.plan("peer")
	p.servers = []*server{{site: p, node: "n1", address: "127.0.0.1:1"}}
	s.knows(p)
	s.federate(s)
	w.until(20*time.Second, "the channels are there", func() bool { return s.channels() == firstChannels })
	s.servers[0].stop() // nothing runs beside the test

	serve := func(class record.Class) *outlet {
		o := &outlet{f: s.fed(), peer: p.id, wake: make(chan struct{}, 1), exporters: map[channelName]*feed.Exporter{}}
		name := channelName{s.id, uint32(class)}
		if err := o.open(t.Context(), name, &feed.Pull{Region: s.id, Channel: name.channel, Credit: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		return o
	}
	endpoints, more, config := serve(record.ClassEndpoints), serve(record.ClassEndpoints), serve(record.ClassConfig)
	look := func() {
		t.Helper()
		if err := s.fed().tails.look(); err != nil {
			t.Fatal(err)
		}
	}
	woken := func(o *outlet) bool {
		select {
		case <-o.wake:
			return true
		default:
			return false
		}
	}
	look() // the first tail of a channel wakes, too
	for _, o := range []*outlet{endpoints, more, config} {
		woken(o)
	}

	s.put(instance("web/1"), "10.20.30.40:8080")
	look()
	if !woken(endpoints) || !woken(more) || woken(config) {
		t.Error("not the outlets of the endpoints alone were woken")
	}
	look()
	if woken(endpoints) || woken(config) {
		t.Error("an outlet was woken though nothing moved")
	}
	more.close()
	s.put(instance("web/1"), "10.20.30.40:8081")
	look()
	if !woken(endpoints) || woken(more) {
		t.Error("after one of two outlets ended not the other one alone was woken")
	}
}
