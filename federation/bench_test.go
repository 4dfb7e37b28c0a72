package federation

import (
	"fmt"
	"syscall"
	"testing"

	"supercluster/federation/feed"
	"supercluster/region/record"
	"supercluster/region/state"
)

// fan is a region whose channel many receivers pull. Nothing runs: the work of a change at the source is done step by step, without
// the sending.
type fan struct {
	*site
	channel channelName
	outlets []*outlet
	signs   int // signatures so far
	looks   int // how often the store was looked at
	n       int // changes so far
}

// looked is a Store that counts how often it is looked at.
type looked struct {
	Store
	looks *int
}

// Pin implements Store.
func (l looked) Pin() (state.Reader, func(), error) {
	*l.looks++
	return l.Store.Pin()
}

func newFan(tb testing.TB, w *world, receivers int) *fan {
	tb.Helper()
	f := &fan{site: w.region("alpha")}
	f.channel = channelName{f.id, uint32(record.ClassEndpoints)}
	for i := range max(receivers, 1) {
		p := w.plan(fmt.Sprint("peer-", i))
		p.servers = []*server{{site: p, node: "n1", address: "127.0.0.1:1"}}
		f.knows(p)
		if i < receivers {
			f.outlets = append(f.outlets, &outlet{f: f.fed(), peer: p.id, exporters: map[channelName]*feed.Exporter{}})
		}
	}
	f.federate(f.site)
	w.until(20e9, "the channels are there", func() bool { return f.channels() == firstChannels })
	f.servers[0].stop() // nothing runs beside it
	sign := f.fed().server.Sign
	f.fed().server.Sign = func(m []byte) [64]byte { f.signs++; return sign(m) }
	f.fed().cfg.Store = looked{f.fed().cfg.Store, &f.looks}
	for _, o := range f.outlets {
		if err := o.open(tb.Context(), f.channel, &feed.Pull{Region: f.id, Channel: f.channel.channel, Credit: 1 << 30}); err != nil {
			tb.Fatal(err)
		}
		drain(tb, o)
	}
	if err := f.fed().tails.look(); err != nil {
		tb.Fatal(err)
	}
	f.signs, f.looks = 0, 0
	return f
}

// change makes one change, and what each receiver is sent for it.
func (f *fan) change(tb testing.TB) (sent []*feed.Message) {
	tb.Helper()
	f.n++
	f.put(instance(fmt.Sprint("web/", f.n%1000)), "10.20.30.40:8080")
	if err := f.fed().tails.look(); err != nil {
		tb.Fatal(err)
	}
	for _, o := range f.outlets {
		o.exporters[f.channel].Credit(1 << 20)
		messages := drain(tb, o)
		if len(messages) != 1 {
			tb.Fatalf("%d messages for a change", len(messages))
		}
		sent = append(sent, messages[0])
	}
	return sent
}

// TestFanOut: however many regions receive a change, the source reads it once, signs once, and all of them are sent the very bytes
// that were encoded when it was written.
func TestFanOut(t *testing.T) {
	for _, receivers := range []int{1, 10, 60} {
		t.Run(fmt.Sprintf("receivers=%d", receivers), func(t *testing.T) {
			w := newUDP(t, 0)
			defer w.close()
			f := newFan(t, w, receivers)
			const changes = 5
			for range changes {
				sent := f.change(t)
				first := sent[0].Batch
				for i, m := range sent {
					if m.Batch == nil || len(m.Batch.Records) != 1 || &m.Batch.Records[0][0] != &first.Records[0][0] || &m.Batch.Head[0] != &first.Head[0] {
						t.Fatalf("receiver %d got a record or a head of its own", i)
					}
				}
			}
			if f.signs != changes || f.looks != changes {
				t.Errorf("%d changes: %d signatures, %d looks at the store", changes, f.signs, f.looks)
			}
		})
	}
}

// BenchmarkFanOut is the work of a change at the source by the number of receivers: the write with what goes into the log,
// and making the message for each receiver, without sending it.
//
// "signs" counts signatures for a change; receivers=0 is the write alone.
func BenchmarkFanOut(b *testing.B) {
	for _, receivers := range []int{0, 1, 10, 60} {
		b.Run(fmt.Sprintf("receivers=%d", receivers), func(b *testing.B) {
			w := newUDP(b, 0)
			defer w.close()
			f := newFan(b, w, receivers)
			before := processor(b)
			for b.Loop() {
				f.change(b)
			}
			b.ReportMetric(float64(processor(b)-before)/float64(f.n), "cpu-ns/op")
			b.ReportMetric(float64(f.signs)/float64(f.n), "signs/op")
		})
	}
}

func drain(tb testing.TB, o *outlet) (all []*feed.Message) {
	tb.Helper()
	for {
		messages, err := o.next()
		if err != nil {
			tb.Fatal(err)
		}
		if len(messages) == 0 {
			return all
		}
		all = append(all, messages...)
	}
}

// processor gives the time that this process has used: others use the machine as well.
func processor(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
