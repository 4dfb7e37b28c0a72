package region

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
)

func devRegion(t testing.TB, dir string, tuning ...Tuning) *member {
	t.Helper()
	cfg := Config{
		Region: "dev", Node: "dev", Members: map[string]string{"dev": freeAddress(t)}, DataDir: dir, Dev: true, Log: testLog("dev"),
	}
	if len(tuning) > 0 {
		cfg.Tuning = tuning[0]
	}
	m := run(t, cfg)
	select {
	case <-m.Ready():
	case err := <-m.done:
		t.Fatal(err)
	case <-time.After(10 * time.Second):
		t.Fatal("not ready")
	}
	return m
}

func TestDev_WritesReadsAndRestarts(t *testing.T) {
	dir := t.TempDir()
	began := time.Now()
	m := devRegion(t, dir)
	t.Logf("ready in %v", time.Since(began))
	first := m.put(t, "a", "1")
	if got := m.get(t, "a", record.LevelLinearizable); got != "1" {
		t.Errorf("read %q", got)
	}
	if second := m.put(t, "a", "2"); second != first+1 {
		t.Errorf("revisions %d, %d", first, second)
	}
	id := m.Status().RegionID
	if id == [16]byte{} {
		t.Error("the region has no id")
	}
	m.stop(t)
	m = devRegion(t, dir)
	defer m.stop(t)
	if got := m.get(t, "a", record.LevelLocal); got != "2" {
		t.Errorf("after a restart: %q", got)
	}
	s := m.Status()
	if s.RegionID != id || s.Leader != "dev" || s.Replica != 1 || s.Positions.Data != first+1 || s.Keys == 0 {
		t.Errorf("%+v", s)
	}
}

// A container has another host name each time it starts.
// TestDev_RegionID: the first start gives the region the id that is configured; a later one with another is refused.
func TestDev_RegionID(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{
		Region: "dev", Node: "dev", Members: map[string]string{"dev": freeAddress(t)}, DataDir: dir, Dev: true, Log: testLog("dev"), ID: [16]byte{7},
	}
	for range 2 {
		m := run(t, cfg)
		select {
		case <-m.Ready():
		case err := <-m.done:
			t.Fatal(err)
		case <-time.After(10 * time.Second):
			t.Fatal("not ready")
		}
		if status := m.Status(); status.RegionID != cfg.ID {
			t.Errorf("the region has the id %x, want %x", status.RegionID, cfg.ID)
		}
		m.stop(t)
	}
	if id, err := StoredID(dir); err != nil || id != cfg.ID {
		t.Errorf("the folder has the id %x (%v)", id, err)
	}
	cfg.ID = [16]byte{8}
	if err := run(t, cfg).wait(t, 10*time.Second); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "belongs to region id 07") {
		t.Errorf("another id: %v", err)
	}
	// The folder does not know yet what the log says.
	path := filepath.Join(dir, "identity.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = []byte(strings.Replace(string(data), "07000000000000000000000000000000", "", 1))
	data = regexp.MustCompile(`"crc32c": "[0-9a-f]+"`).ReplaceAll(data, []byte(`"crc32c": ""`))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t, cfg).wait(t, 10*time.Second); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "the region has the id 07") {
		t.Errorf("another id than the log's: %v", err)
	}
}

func TestDev_HostNameMayChange(t *testing.T) {
	dir := t.TempDir()
	snapshots := Tuning{SnapshotEvery: 20, LogTail: 5}
	m := devRegion(t, dir, snapshots)
	for range 50 {
		m.put(t, "k", "kept")
	}
	m.stop(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	raft := filepath.Join(dir, "raft")
	if err := os.Rename(filepath.Join(raft, host), filepath.Join(raft, "another-host")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m = devRegion(t, dir, snapshots)
		if got := m.get(t, "k", record.LevelLinearizable); got != "kept" {
			t.Errorf("%q", got)
		}
		for range 30 {
			m.put(t, "k", "kept")
		}
		m.stop(t)
	}
}

func TestDev_StatusesComeBackAsErrors(t *testing.T) {
	m := devRegion(t, t.TempDir())
	defer m.stop(t)
	unknown := putOp("a", "1")
	unknown.Tenant, unknown.Txn.Then[0].Key.Tenant = 99, 99
	if r, err := m.Propose(within(t, time.Second), unknown); !fault.Is(err, fault.NotFound) || r.Status != record.StatusNotFound {
		t.Errorf("unknown tenant: %+v, %v", r, err)
	}
	future := record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: record.ShardData, Revision: 1 << 40}}
	if _, err := m.Propose(within(t, time.Second), future); !fault.Is(err, fault.FutureRevision) {
		t.Errorf("compaction of the future: %v", err)
	}
}

func TestRegion_BeforeRunEverythingIsUnavailable(t *testing.T) {
	r, err := New(Config{Region: "dc1", Node: "n1", Members: map[string]string{"n1": "127.0.0.1:1"}, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, time.Second)
	_, errs := r.Propose(ctx, putOp("a", "1"))
	_, errLin := r.Linearize(ctx)
	_, _, _, errGet := r.Get(ctx, key("a"), 0, record.LevelLocal)
	_, errLoad := r.Load(ctx, nil)
	errFollow := r.Follow(ctx, record.Positions{}, 0, nil)
	for _, err := range []error{errs, errLin, errGet, errLoad, errFollow} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("%v", err)
		}
	}
	if s := r.Status(); s.Region != "dc1" || s.Node != "n1" {
		t.Errorf("%+v", s)
	}
}

func TestCluster_EveryNodeWritesAndReads(t *testing.T) {
	t.Parallel()
	c := threeNodes(t)
	for i, name := range c.names() {
		value := string(rune('a' + i))
		c.nodes[name].put(t, "k", value)
		for _, other := range c.names() {
			if got := c.nodes[other].get(t, "k", record.LevelLinearizable); got != value {
				t.Errorf("%s wrote %q, %s read %q", name, value, other, got)
			}
		}
	}
	eventually(t, "every node has its record and hears the others", 5*time.Second, func() bool {
		for _, m := range c.nodes {
			leaders := 0
			for _, n := range m.Nodes() {
				if !n.Alive || n.GRPC != n.Name+":8502" || n.Raft == "" || n.Replica == 0 {
					return false
				}
				if n.Leader {
					leaders++
				}
			}
			if leaders != 1 || len(m.Alive()) != 3 {
				return false
			}
		}
		return true
	})
	f := c.nodes[c.follower()]
	eventually(t, "local reads stay fresh while someone asks", 5*time.Second, func() bool {
		return time.Duration(f.Freshness().AgeNanos) < 1500*time.Millisecond
	})
	ids := map[[16]byte]bool{}
	for _, m := range c.nodes {
		ids[m.Status().RegionID] = true
	}
	if len(ids) != 1 {
		t.Errorf("the nodes know %d regions", len(ids))
	}
}
