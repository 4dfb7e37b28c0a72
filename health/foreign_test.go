package health

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/region/record"
)

// foreignRecords are an instance of another region with an active check that passes and a TTL check.
func foreignRecords(t testing.TB, service, id, address string) []record.Record {
	t.Helper()
	var out []record.Record
	add := func(kind record.Kind, name string, m proto.Message) {
		value, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, record.Record{Key: record.Key{Kind: kind, Name: name}, Value: value})
	}
	name := service + "/" + id
	add(record.KindInstance, name, &pb.Instance{Address: address, Port: 80})
	add(record.KindCheck, name+"/tcp", &pb.Check{Type: pb.CheckType_CHECK_TYPE_TCP, Interval: seconds(1), Fall: 1, Rise: 1})
	add(record.KindCheck, name+"/ttl", &pb.Check{Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: seconds(1)})
	add(record.KindCheckStatus, name+"/tcp", &pb.CheckStatus{Health: passing})
	add(record.KindCheckStatus, name+"/ttl", &pb.CheckStatus{Health: passing})
	return out
}

// Instances of other regions are theirs: they are not probed, they do not expire, no heartbeat is for them, and one
// with the id of ours is another instance.
func TestForeign_InstancesAreLeftAlone(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		r, w, n := alone(t)
		r.register(tcpInstance("web", "1", 2))
		synctest.Wait()
		r.counts()
		r.imported(append(foreignRecords(t, "web", "1", "10.2.0.1"), foreignRecords(t, "far", "2", "10.2.0.2")...)...)
		w.set(critical, "10.2.0.1:80", "10.2.0.2:80")
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, addr := range []string{"10.2.0.1:80", "10.2.0.2:80"} {
			if got := w.since(addr, 0); len(got) > 0 {
				t.Errorf("%s was probed %d times", addr, len(got))
			}
		}
		if p, s := r.counts(); p != 0 || s != 0 {
			t.Errorf("%d operations with %d transitions", p, s)
		}
		if count, _ := n.sessions.sizes(); count != 0 {
			t.Errorf("%d sessions", count)
		}
		if got := beat(t, n, &pb.HeartbeatTarget{Service: "far", Instance: "2"}); len(got) != 1 {
			t.Errorf("a heartbeat for an instance of another region is known: %v", got)
		}
		if got := w.since(backend, 0); len(got) < 25 {
			t.Errorf("ours was probed %d times", len(got))
		}
		r.deregister("web", "1")
		synctest.Wait()
		was := len(w.since(backend, 0))
		time.Sleep(time.Minute)
		if now := len(w.since(backend, 0)); now != was {
			t.Errorf("ours was probed %d times more after it left", now-was)
		}
	})
}
