package region

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/wire"
)

// writers put counted values until they are stopped, each its own keys, and remember what was acknowledged.
type writers struct {
	stop  atomic.Bool
	group sync.WaitGroup
	mu    sync.Mutex
	acked map[string]bool
	last  time.Time     // of the last acknowledgement
	gap   time.Duration // the longest time without one
}

// write starts writers, each on the nodes that via names for the moment.
func write(t testing.TB, n int, via func(writer int) *member) *writers {
	w := &writers{acked: map[string]bool{}, last: time.Now()}
	for i := range n {
		w.group.Go(func() {
			for j := 0; !w.stop.Load(); j++ {
				name := fmt.Sprintf("w%d/%d", i, j)
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				_, err := via(i).Propose(ctx, putOp(name, name))
				cancel()
				switch {
				case err == nil:
					w.ack(name)
				case fault.KindOf(err).Retryable(): // the node is stopping, or the outcome is not known
				default:
					t.Errorf("put %s: %v", name, err)
				}
			}
		})
	}
	return w
}

func (w *writers) ack(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[name] = true
	w.gap = max(w.gap, time.Since(w.last))
	w.last = time.Now()
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

// snapshot gives what was acknowledged up to now.
func (w *writers) snapshot() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.acked)
}

// longest gives the longest time without an acknowledgement since the last call.
func (w *writers) longest() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	gap := w.gap
	w.gap = 0
	return gap
}

// end stops the writers and checks that every acknowledged write is there, on every running node.
func (w *writers) end(t testing.TB, c *cluster) {
	t.Helper()
	w.stop.Store(true)
	w.group.Wait()
	for name, m := range c.nodes {
		if _, err := m.Linearize(within(t, 10*time.Second)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		missing := 0
		for k := range w.acked {
			if _, found, _, err := m.Get(context.Background(), key(k), 0, record.LevelLocal); err != nil || !found {
				missing++
			}
		}
		if missing > 0 {
			t.Errorf("%s misses %d of %d acknowledged writes", name, missing, len(w.acked))
		}
	}
}

func TestCluster_WritesGoOnWhenTheLeaderIsKilled(t *testing.T) {
	c := threeNodes(t)
	survivor := func() *member { return c.nodes[c.follower()] }
	for round := range 2 {
		m := survivor()
		w := write(t, 8, func(int) *member { return m })
		eventually(t, "writes flow", 5*time.Second, func() bool { return w.count() > 50 })
		w.longest()
		leader := c.leader()
		c.kill(leader)
		before := w.count()
		eventually(t, "writes go on", 2*time.Second, func() bool { return w.count() > before+50 })
		t.Logf("round %d: writes paused for %v", round, w.longest())
		w.end(t, c)
		c.start(leader, false)
		c.ready(leader)
	}
}

func TestCluster_CleanStopHandsOver(t *testing.T) {
	c := threeNodes(t)
	leader := c.leader()
	m := c.nodes[c.follower()]
	w := write(t, 4, func(int) *member { return m })
	eventually(t, "writes flow", 5*time.Second, func() bool { return w.count() > 50 })
	w.longest()
	c.stop(leader)
	// An election would begin 200 ms later at the earliest.
	if now := m.Status().Leader; now == leader || now == "" {
		t.Errorf("when the leader had stopped, the leader was %q: leadership was not handed over", now)
	}
	before := w.count()
	eventually(t, "writes go on", 2*time.Second, func() bool { return w.count() > before+50 })
	t.Logf("writes paused for %v", w.longest())
	w.end(t, c)
}

func TestCluster_LeaderIsCutOffAndComesBack(t *testing.T) {
	t.Parallel()
	c := threeNodes(t)
	leader := c.leader()
	old, follower := c.nodes[leader], c.nodes[c.follower()]
	follower.put(t, "k", "before")
	c.faults.isolate(leader, c.names())
	eventually(t, "the others elect", 3*time.Second, func() bool {
		l := follower.Status().Leader
		return l != leader && l != ""
	})
	follower.put(t, "k", "after")
	// The old leader may not answer as if it still led, neither writes nor linearizable reads.
	_, err := old.Propose(within(t, 500*time.Millisecond), putOp("k", "old"))
	if err == nil {
		t.Error("a leader without a majority acknowledged a write")
	}
	if _, _, _, err := old.Get(within(t, 500*time.Millisecond), key("k"), 0, record.LevelLinearizable); err == nil {
		t.Error("a leader without a majority answered a linearizable read")
	}
	if got := old.get(t, "k", record.LevelLocal); got != "before" {
		t.Errorf("local read: %q", got)
	}
	eventually(t, "its knowledge ages", 5*time.Second, func() bool {
		return time.Duration(old.Freshness().AgeNanos) > time.Second
	})
	c.faults.heal()
	eventually(t, "the old leader catches up", 5*time.Second, func() bool {
		return old.Status().Leader == follower.Status().Leader && old.Status().Positions == follower.Status().Positions
	})
	if got := old.get(t, "k", record.LevelLinearizable); got != "after" && got != "old" {
		t.Errorf("after the cut: %q", got)
	}
}

func TestCluster_WholeRegionRestarts(t *testing.T) {
	t.Parallel()
	c := threeNodes(t)
	revision := c.nodes["n1"].put(t, "k", "kept")
	id := c.nodes["n1"].Status().RegionID
	for _, name := range c.names() {
		c.stop(name)
	}
	for _, name := range c.names() {
		c.start(name, false)
	}
	c.ready(c.names()...)
	for _, name := range c.names() {
		m := c.nodes[name]
		if got := m.get(t, "k", record.LevelLinearizable); got != "kept" {
			t.Errorf("%s: %q", name, got)
		}
		if s := m.Status(); s.RegionID != id || s.Positions.Data != revision {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// A watch resumes on a node that restarted, and on another node, without a gap or a repetition.
func TestCluster_FollowSurvivesARestart(t *testing.T) {
	t.Parallel()
	c := threeNodes(t)
	name := c.follower()
	other := c.leader()
	var from record.Positions
	var seen []uint64
	follow := func(m *member, until uint64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := m.Follow(ctx, from, 50*time.Millisecond, func(commits []record.Commit, at record.Positions) error {
			for _, commit := range commits {
				if commit.Position.Shard == record.ShardData {
					seen = append(seen, commit.Position.Revision)
				}
			}
			from = at
			if at.Data >= until {
				cancel()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var last uint64
	for i := range 20 {
		last = c.nodes[other].put(t, "k", fmt.Sprint(i))
	}
	follow(c.nodes[name], last)
	c.stop(name)
	for i := range 20 {
		last = c.nodes[other].put(t, "k", fmt.Sprint(i))
	}
	c.start(name, false)
	c.ready(name)
	follow(c.nodes[name], last)
	last = c.nodes[name].put(t, "k", "last")
	follow(c.nodes[other], last)
	for i := 1; i < len(seen); i++ {
		if seen[i] != seen[i-1]+1 {
			t.Fatalf("revision %d follows %d", seen[i], seen[i-1])
		}
	}
	if len(seen) == 0 || seen[len(seen)-1] != last {
		t.Errorf("%d revisions seen, the last is not %d", len(seen), last)
	}
}

// Messages between nodes are lost, repeated, delayed and reordered while writes go on: each runs once.
func TestCluster_ExactlyOnceOverABadNetwork(t *testing.T) {
	t.Parallel()
	c := threeNodes(t)
	m := c.nodes[c.follower()]
	r := rand.New(rand.NewPCG(1, 1))
	var mu sync.Mutex
	c.faults.disturb(func(_, _ string, kind wire.Kind) wire.Fault {
		mu.Lock()
		defer mu.Unlock()
		if kind != wire.KindRaft {
			return wire.Fault{}
		}
		return wire.Fault{Drop: r.IntN(30) == 0, Duplicate: r.IntN(10) == 0, Delay: time.Duration(r.IntN(20)) * time.Millisecond}
	})
	const writers, each = 4, 25
	var group sync.WaitGroup
	var acked, unknown atomic.Int64
	for i := range writers {
		group.Go(func() {
			for range each {
				ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
				_, err := m.Propose(ctx, putOp(fmt.Sprintf("count%d", i), "x"))
				cancel()
				switch {
				case err == nil:
					acked.Add(1)
				case fault.Is(err, fault.OutcomeUnknown):
					unknown.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	c.faults.heal()
	var versions int64
	for i := range writers {
		rec, _, _, err := m.Get(within(t, 10*time.Second), key(fmt.Sprintf("count%d", i)), 0, record.LevelLinearizable)
		if err != nil {
			t.Fatal(err)
		}
		versions += int64(rec.Version)
	}
	t.Logf("%d acknowledged, %d unknown, %d versions", acked.Load(), unknown.Load(), versions)
	if versions < acked.Load() || versions > acked.Load()+unknown.Load() {
		t.Errorf("%d versions after %d acknowledged and %d unknown writes", versions, acked.Load(), unknown.Load())
	}
}

// A follower that was away while the log was truncated gets the whole state as a stream.
func TestCluster_StreamedCatchUp(t *testing.T) {
	t.Parallel()
	tune := func(_ string, cfg *Config) { cfg.Tuning = Tuning{SnapshotEvery: 50, LogTail: 10} }
	c := threeNodes(t, tune)
	away := c.follower()
	leader := c.nodes[c.leader()]
	leader.put(t, "old", "1")
	c.stop(away)
	value := strings.Repeat("v", 1000)
	for i := range 300 {
		leader.put(t, fmt.Sprintf("k%03d", i), value)
	}
	back := c.start(away, false)
	c.ready(away)
	for _, k := range []string{"old", "k000", "k299"} {
		if got := back.get(t, k, record.LevelLinearizable); got == "(none)" {
			t.Errorf("%s is missing after the catch-up", k)
		}
	}
	hash, at := hashOf(t, back)
	want, wantAt := hashOf(t, leader)
	if at == wantAt && hash != want {
		t.Error("the states differ after the catch-up")
	}
	// It is a replica like any other afterwards, over a restart too.
	c.stop(away)
	leader.put(t, "later", "1")
	back = c.start(away, false)
	c.ready(away)
	if got := back.get(t, "later", record.LevelLinearizable); got != "1" {
		t.Errorf("after a restart: %q", got)
	}
}

// A node that stops in the middle of receiving a state starts with its old one and gets it again.
func TestCluster_StreamIsCutInTheMiddle(t *testing.T) {
	t.Parallel()
	tune := func(_ string, cfg *Config) { cfg.Tuning = Tuning{SnapshotEvery: 50, LogTail: 10} }
	c := threeNodes(t, tune)
	away := c.follower()
	leader := c.nodes[c.leader()]
	leader.put(t, "old", "1")
	c.stop(away)
	value := strings.Repeat("v", 100_000)
	for i := range 120 {
		leader.put(t, fmt.Sprintf("k%03d", i), value)
	}
	for cut := range 1 {
		var chunks atomic.Int64
		c.faults.disturb(func(_, to string, kind wire.Kind) wire.Fault {
			return wire.Fault{Drop: kind == wire.KindSnapshot && to == away && chunks.Add(1) > int64(cut+1)}
		})
		c.start(away, false)
		eventually(t, "the stream is cut", 10*time.Second, func() bool { return chunks.Load() > int64(cut+1) })
		c.stop(away)
	}
	c.faults.heal()
	back := c.start(away, false)
	c.ready(away)
	for _, k := range []string{"old", "k000", "k119"} {
		if got := back.get(t, k, record.LevelLinearizable); got == "(none)" {
			t.Errorf("%s is missing after the catch-up", k)
		}
	}
}

func hashOf(t testing.TB, m *member) ([32]byte, uint64) {
	t.Helper()
	hash, at, err := m.parts.Load().store.Hash()
	if err != nil {
		t.Fatal(err)
	}
	return hash, at
}

func TestBootstrap_Refusals(t *testing.T) {
	t.Parallel()
	c := threeNodes(t)
	name := c.follower()
	leader := c.leader()
	eventually(t, "the region knows the node", 5*time.Second, func() bool {
		_, ok := c.nodes[leader].parts.Load().nodeRecord(name)
		return ok
	})
	refused := func(what string, cfg Config, text string) {
		t.Helper()
		m := run(t, cfg)
		err := m.wait(t, 10*time.Second)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v, want %q", what, err, text)
		}
	}
	refused("the folder is in use by a process", c.config(name, false), "in use")
	c.stop(name)
	refused("bootstrap of a used folder", c.config(name, true), "first start only")
	moved := c.config(name, false)
	moved.Node = leader
	moved.Members = map[string]string{leader: freeAddress(t), name: freeAddress(t), "n9": freeAddress(t)}
	refused("another node's folder", moved, "belongs to node")
	dir := filepath.Join(c.dir, name)
	if err := os.Rename(dir, dir+".lost"); err != nil {
		t.Fatal(err)
	}
	refused("an empty folder", c.config(name, false), "--bootstrap")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	refused("bootstrap after the disk was lost", c.config(name, true), "exists and knows node")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".lost", dir); err != nil {
		t.Fatal(err)
	}
	c.start(name, false)
	c.ready(name)
}

// A member that is started for the first time after the others formed the region is let in.
func TestBootstrap_LateFirstStart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "n1", "n2", "n3")
	c.start("n1", true)
	c.start("n2", true)
	c.ready("n1", "n2")
	c.nodes["n1"].put(t, "k", "1")
	c.start("n3", true)
	c.ready("n3")
	if got := c.nodes["n3"].get(t, "k", record.LevelLinearizable); got != "1" {
		t.Errorf("read %q", got)
	}
}
