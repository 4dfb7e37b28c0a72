package federation

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// refusing has the region refuse operations, from now on.
func (s *site) refusing(refuse func(op *record.Op) error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.refuse = refuse
}

// isReport tells the proposal that has the region keep a report.
func isReport(op *record.Op) bool {
	return op.Type == record.OpTxn && op.Txn.Shard == record.ShardSystem && op.Txn.Then[0].Key.Name == "healing"
}

// shows waits until a node of the region shows a report.
func (s *site) shows(me *server, want *pb.Healing) {
	s.w.t.Helper()
	var got *pb.Healing
	s.w.until(10*time.Second, "node "+me.node+" shows the report", func() bool {
		st, err := me.fed.Status(s.w.t.Context())
		got = st.GetHealing()
		return err == nil && proto.Equal(got, want)
	})
}

// The report of a healing, with what could not be healed, outlives the leader that healed and the processes of all nodes.
func TestHealing_ReportIsKept(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b, _, _ := w.restored()
		w.heal(a, b) // gamma is not reached
		w.until(60*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		report := a.status().GetHealing()
		if len(report.GetLost()) == 0 || report.GetAt() == nil || report.GetRestored() != 118 {
			t.Fatalf("report %v", report)
		}
		second := a.start("n2")
		a.shows(second, report)
		a.store.lead("n2")
		a.servers[0].stop()
		a.shows(second, report)
		second.stop()
		third := a.start("n3")
		a.store.lead("n3")
		a.shows(third, report)
		if at := third.fed.unkeptReport(); at != nil {
			t.Errorf("the node holds %v itself", at)
		}
	})
}

// A report is shown when healing is over, not while the region is still fenced, and tells what all attempts brought back.
func TestHealing_ReportOfWhatIsNotOver(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, _ := w.two()
		w.loses(a)
		var kept, minted atomic.Bool
		a.refusing(func(op *record.Op) error {
			if isReport(op) {
				kept.Store(true)
			}
			if op.Type == record.OpMint {
				minted.Store(true)
				return fault.New(fault.Unavailable, "no leader")
			}
			return nil
		})
		w.isolate(a, false)
		w.until(30*time.Second, "the incarnation was refused", minted.Load)
		if st := a.status(); !kept.Load() || st.GetHealing() != nil || st.GetFence() != pb.Fence_FENCE_HEALING {
			t.Errorf("while it heals: %v", st)
		}
		a.refusing(nil)
		w.until(60*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		st := a.status()
		if st.GetFence() != pb.Fence_FENCE_NONE {
			t.Errorf("it has a report, and the fence %v", st.GetFence())
		}
		if n := st.GetHealing().GetRestored(); n != 118 {
			t.Errorf("after several attempts %d records are called restored, want 118", n)
		}
	})
}

// A region whose disk is full keeps no report, and heals all the same; it keeps the report when there is room.
func TestHealing_ReportWithoutRoom(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		before := w.loses(a)
		a.refusing(func(op *record.Op) error {
			if isReport(op) {
				return fault.New(fault.Exhausted, "the region is short of disk space")
			}
			return nil
		})
		w.isolate(a, false)
		w.until(30*time.Second, "it healed", func() bool { return a.status().GetHealing() != nil })
		a.hasAgain(before)
		w.converge(20*time.Second, a, b)
		report := a.status().GetHealing()
		second := a.start("n2")
		a.refusing(nil)
		a.shows(second, report)
		w.until(5*time.Second, "nobody holds it any more", func() bool { return a.fed().unkeptReport() == nil })
		a.shows(a.servers[0], report)
	})
}

// A report names what there is room for, in text, and how much more there is.
func TestFitReport(t *testing.T) {
	long := strings.Repeat("x", maxReportBytes/4)
	r := &pb.Healing{Kept: 7, KeptNames: []string{"a\xff", long, long, long, long}, Lost: []string{long, long, long, long, long, "b"}, Unreachable: []string{"c"}}
	fitReport(r)
	if _, err := proto.Marshal(r); err != nil {
		t.Errorf("it is no text: %v", err)
	}
	if len(r.GetKeptNames()) != 4 || r.GetKeptNames()[0] != "a\uFFFD" {
		t.Errorf("%d kept are named, the first %q", len(r.GetKeptNames()), r.GetKeptNames()[0])
	}
	if got := r.GetLost(); len(got) != 5 || got[4] != "and 2 more" {
		t.Errorf("%d losses are named, the last %.20q", len(got), got[len(got)-1])
	}
	if len(r.GetUnreachable()) != 1 {
		t.Errorf("unreachable: %q", r.GetUnreachable())
	}
}
