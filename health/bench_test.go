package health

import (
	"container/heap"
	"context"
	"fmt"
	"io"
	"runtime"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
)

// hundredThousand registers 100,000 sessions, each instance with one TTL check.
func hundredThousand(b *testing.B, ttl float64) (*region, []*pb.HeartbeatTarget) {
	b.Helper()
	r := newRegion(b)
	targets := make([]*pb.HeartbeatTarget, 0, 100000)
	for s := range 1000 {
		for i := range 100 {
			in := ttlInstance(fmt.Sprintf("service-%d", s), fmt.Sprintf("instance-%d", i), ttl)
			op, _, err := registry.RegisterOp(r.View(), in, registry.Write{})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := r.Propose(b.Context(), op); err != nil {
				b.Fatal(err)
			}
			targets = append(targets, &pb.HeartbeatTarget{Service: in.Service, Instance: in.Id})
		}
	}
	return r, targets
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHeartbeats is the processor time of one heartbeat among 100,000 sessions, in batches of 100: in a call to
// the owner, and in a message from another node, decoding included. cores@10k/s is what 10,000 a second cost.
func BenchmarkHeartbeats(b *testing.B) {
	r, targets := hundredThousand(b, 3600)
	n := r.node("n1")
	defer run(b, n)()
	for count := 0; count < len(targets); count, _ = n.sessions.sizes() {
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := n.Heartbeat(b.Context(), targets[:maxTargets]); err != nil {
		b.Fatal(err)
	}
	for at := 0; at < len(targets); at += maxTargets {
		if _, err := n.Heartbeat(b.Context(), targets[at:at+maxTargets]); err != nil {
			b.Fatal(err)
		}
	}
	for r.health("service-999", "instance-99") != passing {
		time.Sleep(10 * time.Millisecond)
	}
	const batch = 100
	measure := func(name string, one func(at int)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			_, before := r.counts()
			start, at := cpu(), 0
			for b.Loop() {
				one(at)
				at = (at + batch) % len(targets)
			}
			each := float64(cpu()-start) / float64(b.N) / batch
			b.ReportMetric(each, "cpu-ns/heartbeat")
			b.ReportMetric(each*10000/1e9, "cores@10k/s")
			if _, s := r.counts(); s != 0 && before == 0 {
				b.Errorf("%d transitions were written", s)
			}
		})
	}
	measure("call", func(at int) {
		if _, err := n.Heartbeat(context.Background(), targets[at:at+batch]); err != nil {
			b.Fatal(err)
		}
	})
	payloads := make([][]byte, 0, len(targets)/batch)
	for at := 0; at < len(targets); at += batch {
		p, err := proto.MarshalOptions{}.MarshalAppend([]byte{1}, &pb.HeartbeatRequest{Targets: targets[at : at+batch]})
		if err != nil {
			b.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	measure("message", func(at int) {
		if _, err := n.HandleHeartbeat(context.Background(), "n2", payloads[at/batch]); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkSessions_Turn is the cost of the wheel for 100,000 sessions with a TTL of 10 s that all are heard of: one
// second of ticks, and the memory of a session beside the view.
func BenchmarkSessions_Turn(b *testing.B) {
	r, targets := hundredThousand(b, 10)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := newSessions(newRegion(b).node("n1").sessions.guard)
	for i, t := range targets {
		in, _ := r.View().Instance(key(t.GetService(), t.GetInstance()))
		s.put(time.Duration(i)*100*time.Microsecond, in, 0)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	now := 10 * time.Second
	for b.Loop() {
		for range time.Second / tick {
			now += tick
			for i := range len(targets) {
				s.at(uint32(i + 1)).seen.Store(int64(now))
			}
			s.turn(now, 0)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(len(targets)), "bytes/session")
	runtime.KeepAlive(r)
	runtime.KeepAlive(targets)
}

// BenchmarkSchedule is the cost of scheduling one probe among 10,000 checks: take it from the agenda, put it back.
func BenchmarkSchedule(b *testing.B) {
	var a agenda
	for i := range 10000 {
		heap.Push(&a, &job{due: time.Duration(i) * time.Millisecond, to: target{every: 10 * time.Second}})
	}
	b.ReportAllocs()
	for b.Loop() {
		now := a[0].due
		j, _ := a.next(now)
		a.add(j, j.after(now, 0))
	}
}

// BenchmarkProbes is the processor time of the loop for one probe that takes none, among 10,000 checks each 100 ms:
// scheduling, goroutine, result and judgement.
func BenchmarkProbes(b *testing.B) {
	r := newRegion(b)
	n := r.node("n1")
	count := make(chan struct{}, 1<<16)
	n.probe = func(context.Context, target, io.Closer) outcome {
		count <- struct{}{}
		return passed("ok")
	}
	for s := range 100 {
		for i := range 100 {
			r.register(tcpInstance(fmt.Sprint("s", s), fmt.Sprint("i", i), 0.1))
		}
	}
	defer run(b, n)()
	for range 20000 {
		<-count
	}
	start := cpu()
	for b.Loop() {
		<-count
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/probe")
}
