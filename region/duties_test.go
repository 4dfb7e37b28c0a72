package region

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/store"
)

func TestHistory_Floor(t *testing.T) {
	start := time.Unix(0, 0)
	h := &history{}
	if h.floor(record.ShardData, start, 1<<20) != 0 {
		t.Error("a floor without a past")
	}
	for minute := range 180 {
		h.note(start.Add(time.Duration(minute)*time.Minute), record.Positions{Data: uint64(minute) * 10_000, System: uint64(minute)})
	}
	now := start.Add(179 * time.Minute)
	if len(h.marks) > 62 {
		t.Errorf("%d marks are kept", len(h.marks))
	}
	tests := []struct {
		name    string
		shard   uint32
		current uint64
		want    uint64
	}{
		{"an hour old", record.ShardData, 1_790_000, 119 * 10_000},
		{"an hour old, but among the newest revisions", record.ShardData, 1_200_000, 1_100_000},
		{"few revisions", record.ShardSystem, 179, 0},
	}
	for _, tt := range tests {
		if got := h.floor(tt.shard, now, tt.current); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	young := &history{}
	young.note(start, record.Positions{Data: 1 << 20})
	if got := young.floor(record.ShardData, start.Add(keepTime-time.Second), 1<<21); got != 0 {
		t.Errorf("a process younger than the time that is kept compacts to %d", got)
	}
}

func TestDuties_ClockIsClaimedAndCompactedHistoryIsPurged(t *testing.T) {
	t.Parallel()
	m := devRegion(t, t.TempDir())
	defer m.stop(t)
	var last uint64
	for i := range 50 {
		last = m.put(t, "k", fmt.Sprint(i))
	}
	eventually(t, "the clock is claimed", 5*time.Second, func() bool {
		sum, err := m.parts.Load().store.Summary()
		return err == nil && sum.Clock.Owner == 1 && sum.Clock.Term == m.Status().Term
	})
	op := record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: record.ShardData, Revision: last - 5}}
	if _, err := m.Propose(within(t, 5*time.Second), op); err != nil {
		t.Fatal(err)
	}
	eventually(t, "history is purged", 3*purgeIdle, func() bool { return m.Status().Purged.Data == last-5 })
	if got := m.get(t, "k", record.LevelLocal); got != "49" {
		t.Errorf("after the purge: %q", got)
	}
	before := m.Status().Applied
	time.Sleep(purgeIdle + purgeEvery)
	if after := m.Status().Applied; after != before {
		t.Errorf("an idle region wrote %d entries", after-before)
	}
}

func TestDisk_AlarmIsRaisedAndClearedThenTheNodeStops(t *testing.T) {
	t.Parallel()
	var free atomic.Uint64
	free.Store(50)
	r, err := New(Config{Region: "dev", Node: "dev", Members: map[string]string{"dev": freeAddress(t)}, DataDir: t.TempDir(), Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	r.disk = func() (store.DiskState, error) {
		n := free.Load()
		return store.DiskState{Total: 1000, Free: n, Reserve: 100, Low: n < 100, Enough: n > 150}, nil
	}
	m := runRegion(r)
	defer m.cancel()
	<-m.Ready()
	p := m.parts.Load()
	ctx := within(t, 10*time.Second)
	eventually(t, "the alarm is raised", 5*time.Second, func() bool { return len(m.Status().Alarms) == 1 })
	if _, err := m.Propose(ctx, putOp("k", "1")); !fault.Is(err, fault.Exhausted) {
		t.Errorf("growth: %v", err)
	}
	remove := record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{
		Shard: record.ShardData, Then: []record.TxnOp{{Type: record.TxnDelete, Key: key("k")}},
	}}
	if _, err := m.Propose(ctx, remove); err != nil {
		t.Errorf("a delete: %v", err)
	}
	free.Store(120)
	if err := r.checkDisk(ctx, p); err != nil || len(m.Status().Alarms) != 1 {
		t.Errorf("between the marks: %v, %v", err, m.Status().Alarms)
	}
	free.Store(200)
	if err := r.checkDisk(ctx, p); err != nil || len(m.Status().Alarms) != 0 {
		t.Errorf("with room: %v, %v", err, m.Status().Alarms)
	}
	if _, err := m.Propose(ctx, putOp("k", "1")); err != nil {
		t.Errorf("growth with room: %v", err)
	}
	free.Store(3)
	if err := m.wait(t, 2*diskEvery); !fault.Is(err, fault.Exhausted) || !strings.Contains(err.Error(), "nearly full") {
		t.Errorf("the node ended with %v", err)
	}
}
