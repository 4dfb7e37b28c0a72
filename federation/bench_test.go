package federation

import (
	"fmt"
	"syscall"
	"testing"

	"supercluster/federation/feed"
	"supercluster/region/record"
)

// BenchmarkFanOut is the work of a change at the source by the number of receivers: the write with what goes into the log,
// and making the message for each receiver, without sending it.
//
// "signs" counts signatures for a change; receivers=0 is the write alone.
func BenchmarkFanOut(b *testing.B) {
	for _, receivers := range []int{0, 1, 10, 60} {
		b.Run(fmt.Sprintf("receivers=%d", receivers), func(b *testing.B) {
			w := newUDP(b, 0)
			defer w.close()
			s := w.region("alpha")
			var outlets []*outlet
			for i := range receivers {
				p := w.plan(fmt.Sprint("peer-", i))
				p.servers = []*server{{site: p, node: "n1", address: "127.0.0.1:1"}}
				s.knows(p)
				outlets = append(outlets, &outlet{f: s.fed(), peer: p.id, exporters: map[channelName]*feed.Exporter{}})
			}
			if receivers == 0 {
				p := w.plan("peer")
				p.servers = []*server{{site: p, node: "n1", address: "127.0.0.1:1"}}
				s.knows(p)
			}
			s.federate(s)
			w.until(20e9, "the channels are there", func() bool { return s.channels() == firstChannels })
			s.servers[0].stop() // nothing runs beside it
			signs := 0
			sign := s.fed().server.Sign
			s.fed().server.Sign = func(m []byte) [64]byte { signs++; return sign(m) }
			name := channelName{s.id, uint32(record.ClassEndpoints)}
			for _, o := range outlets {
				if err := o.open(b.Context(), name, &feed.Pull{Region: s.id, Channel: name.channel, Credit: 1 << 30}); err != nil {
					b.Fatal(err)
				}
				drain(b, o)
			}
			if err := s.fed().tails.look(); err != nil {
				b.Fatal(err)
			}
			signs = 0
			i := 0
			before := processor(b)
			for b.Loop() {
				i++
				s.put(instance(fmt.Sprint("web/", i%1000)), "10.20.30.40:8080")
				if err := s.fed().tails.look(); err != nil {
					b.Fatal(err)
				}
				for _, o := range outlets {
					o.exporters[name].Credit(1 << 20)
					if n := drain(b, o); n != 1 {
						b.Fatalf("%d messages for a change", n)
					}
				}
			}
			b.ReportMetric(float64(processor(b)-before)/float64(i), "cpu-ns/op")
			b.ReportMetric(float64(signs)/float64(i), "signs/op")
		})
	}
}

func drain(b *testing.B, o *outlet) (n int) {
	for {
		messages, err := o.next()
		if err != nil {
			b.Fatal(err)
		}
		if len(messages) == 0 {
			return n
		}
		n += len(messages)
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
