package region

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"supercluster/internal/procs"
	"supercluster/region/record"
	"supercluster/region/wire"
)

// cluster is a region in one process.
type cluster struct {
	t       testing.TB
	dir     string
	members map[string]string
	faults  *cuts
	tune    func(name string, cfg *Config)
	nodes   map[string]*member
}

// member is one running node.
type member struct {
	*Region
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
	err    error
}

func newCluster(t testing.TB, names ...string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), members: map[string]string{}, nodes: map[string]*member{}, faults: &cuts{cut: map[string]bool{}}}
	for _, name := range names {
		c.members[name] = freeAddress(t)
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.cancel()
		}
		for _, m := range c.nodes {
			m.stop(t)
		}
	})
	return c
}

// freeAddress is one that no connection is given before its node listens there.
func freeAddress(t testing.TB) string {
	t.Helper()
	ports, err := procs.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}

// threeNodes starts a region of three and waits until all are ready.
func threeNodes(t testing.TB, tune ...func(name string, cfg *Config)) *cluster {
	t.Helper()
	c := newCluster(t, "n1", "n2", "n3")
	if len(tune) > 0 {
		c.tune = tune[0]
	}
	for name := range c.members {
		c.start(name, true)
	}
	c.ready(c.names()...)
	return c
}

func (c *cluster) config(name string, bootstrap bool) Config {
	cfg := Config{
		Region: "dc1", Node: name, Members: c.members, DataDir: filepath.Join(c.dir, name), Bootstrap: bootstrap,
		Faults: c.faults, GRPC: name + ":8502", HTTP: name + ":8500", Log: testLog(name),
	}
	if c.tune != nil {
		c.tune(name, &cfg)
	}
	return cfg
}

// testLog is silent unless TEST_LOG is set.
func testLog(name string) *slog.Logger {
	if os.Getenv("TEST_LOG") == "" {
		return nil
	}
	level := slog.LevelInfo
	if os.Getenv("TEST_LOG") == "debug" {
		level = slog.LevelDebug - 2
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("node", name)
}

func (c *cluster) start(name string, bootstrap bool) *member {
	c.t.Helper()
	m := run(c.t, c.config(name, bootstrap))
	c.nodes[name] = m
	return m
}

func run(t testing.TB, cfg Config) *member {
	t.Helper()
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return runRegion(r)
}

func runRegion(r *Region) *member {
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{Region: r, cancel: cancel, done: make(chan error, 1)}
	go func() { m.done <- r.Run(ctx) }()
	return m
}

// stop ends a node cleanly.
func (m *member) stop(t testing.TB) {
	t.Helper()
	m.cancel()
	if err := m.wait(t, 20*time.Second); err != nil {
		t.Errorf("node %s ended with: %v", m.cfg.Node, err)
	}
}

// wait waits for the end of Run.
func (m *member) wait(t testing.TB, d time.Duration) error {
	t.Helper()
	m.once.Do(func() {
		select {
		case m.err = <-m.done:
		case <-time.After(d):
			m.err = errors.New("Run did not end")
		}
	})
	return m.err
}

func (c *cluster) stop(name string) {
	c.t.Helper()
	c.nodes[name].stop(c.t)
	delete(c.nodes, name)
}

// kill ends a node so that it can tell nobody: it is cut off first, as kill -9 would.
func (c *cluster) kill(name string) {
	c.t.Helper()
	c.faults.isolate(name, c.names())
	c.stop(name)
	c.faults.heal()
}

func (c *cluster) names() []string {
	var names []string
	for name := range c.members {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (c *cluster) ready(names ...string) {
	c.t.Helper()
	for _, name := range names {
		m := c.nodes[name]
		select {
		case <-m.Ready():
		case err := <-m.done:
			c.t.Fatalf("node %s ended: %v", name, err)
		case <-time.After(20 * time.Second):
			c.t.Fatalf("node %s is not ready: %+v", name, m.Status())
		}
	}
}

// leader waits until the running nodes agree on one of them.
func (c *cluster) leader() string {
	c.t.Helper()
	var leader string
	eventually(c.t, "one leader", 10*time.Second, func() bool {
		leader = ""
		for _, m := range c.nodes {
			l := m.Status().Leader
			if leader != "" && l != leader || l == "" {
				return false
			}
			leader = l
		}
		return c.nodes[leader] != nil
	})
	return leader
}

func (c *cluster) follower() string {
	leader := c.leader()
	for _, name := range c.names() {
		if name != leader && c.nodes[name] != nil {
			return name
		}
	}
	c.t.Fatal("no follower runs")
	return ""
}

func eventually(t testing.TB, what string, within time.Duration, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func key(name string) record.Key {
	return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindConfig, Name: name}
}

func putOp(name, value string) record.Op {
	return record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{
		Shard: record.ShardData, Then: []record.TxnOp{{Type: record.TxnPut, Key: key(name), Value: []byte(value)}},
	}}
}

func (m *member) put(t testing.TB, name, value string) uint64 {
	t.Helper()
	r, err := m.Propose(within(t, 10*time.Second), putOp(name, value))
	if err != nil {
		t.Fatalf("put %s on %s: %v", name, m.cfg.Node, err)
	}
	return r.Revision
}

func (m *member) get(t testing.TB, name string, level record.Level) string {
	t.Helper()
	rec, found, _, err := m.Get(within(t, 10*time.Second), key(name), 0, level)
	if err != nil {
		t.Fatalf("get %s on %s: %v", name, m.cfg.Node, err)
	}
	if !found {
		return "(none)"
	}
	return string(rec.Value)
}

// cuts is a Faults that loses everything between some nodes, and what a test wants lost.
type cuts struct {
	mu    sync.Mutex
	cut   map[string]bool
	frame func(from, to string, kind wire.Kind) wire.Fault
}

func (c *cuts) Frame(from, to string, kind wire.Kind) wire.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[from+">"+to] {
		return wire.Fault{Drop: true}
	}
	if c.frame != nil {
		return c.frame(from, to, kind)
	}
	return wire.Fault{}
}

func (c *cuts) Dial(from, to string, _ wire.Kind) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut[from+">"+to] || c.cut[to+">"+from] {
		return fmt.Errorf("%s and %s are cut off from each other", from, to)
	}
	return nil
}

func (c *cuts) isolate(name string, all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range all {
		if other != name {
			c.cut[name+">"+other], c.cut[other+">"+name] = true, true
		}
	}
}

func (c *cuts) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.cut)
	c.frame = nil
}

func (c *cuts) disturb(frame func(from, to string, kind wire.Kind) wire.Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.frame = frame
}
