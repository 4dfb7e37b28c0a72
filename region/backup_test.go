package region

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/region/state"
)

// smallBackup is a backup of a store that some entries were applied to.
func smallBackup(t *testing.T) []byte {
	t.Helper()
	mem := state.NewMemory()
	for i := range 40 {
		op := record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"}}
		if i > 0 {
			key := record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindConfig, Name: fmt.Sprint("k", i%7)}
			op = record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: record.ShardData, Then: []record.TxnOp{
				{Type: record.TxnPut, Key: key, Value: bytes.Repeat([]byte{byte(i)}, 20)},
			}}}
		}
		applyTo(t, mem, uint64(i+1), op)
	}
	return backupOf(t, mem)
}

// TestContent: the content hash changes by what a client writes, and not by where the machinery stands.
func TestContent(t *testing.T) {
	mem, index := state.NewMemory(), uint64(0)
	hashAfter := func(op record.Op) [32]byte {
		index++
		applyTo(t, mem, index, op)
		sum, err := state.Content(mem)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	put := func(k record.Key, value string) record.Op {
		return record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: k.Shard, Then: []record.TxnOp{{Type: record.TxnPut, Key: k, Value: []byte(value)}}}}
	}
	last := hashAfter(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"}})
	for _, c := range []struct {
		what    string
		op      record.Op
		changes bool
	}{
		{"a put", put(key("a"), "1"), true},
		{"an alarm", record.Op{Type: record.OpAlarm, Alarm: &record.Alarm{Kind: record.AlarmNoSpace, Replica: 1, Raised: true}}, false},
		{"no alarm", record.Op{Type: record.OpAlarm, Alarm: &record.Alarm{Kind: record.AlarmNoSpace, Replica: 1}}, false},
		{"a node's record", put(NodeKey("n1"), "n1"), false},
		{"another value", put(key("a"), "2"), true},
		{"the same value once more", put(key("a"), "2"), true},
		{"a record of the system shard", record.Op{Type: record.OpTxn, Txn: &record.Txn{Shard: record.ShardSystem, Then: []record.TxnOp{
			{Type: record.TxnPut, Key: record.Key{Shard: record.ShardSystem, Kind: record.KindRegion, Scope: record.ScopeRegion, Name: "x"}, Value: []byte("1")},
		}}}, true},
	} {
		next := hashAfter(c.op)
		if (next != last) != c.changes {
			t.Errorf("%s: the content changed: %v, want %v", c.what, next != last, c.changes)
		}
		last = next
	}
}

func TestBackup_EveryFlippedByteFailsVerify(t *testing.T) {
	file := smallBackup(t)
	content, err := verifyBytes(t, file)
	if err != nil || content.Header.Region != "dc1" || content.Trailer.Rows == 0 {
		t.Fatalf("the backup is %+v (%v)", content, err)
	}
	// All that is structure, and a sample of the rest: package backup flips every bit.
	random := rand.New(rand.NewPCG(1, 1))
	for at := range file {
		if at > 16 && at < len(file)-100 && random.IntN(20) > 0 {
			continue
		}
		wrong := bytes.Clone(file)
		wrong[at] ^= 1 << random.IntN(8)
		if _, err := verifyBytes(t, wrong); err == nil {
			t.Fatalf("a bit of byte %d of %d was flipped, and verify did not see it", at, len(file))
		}
	}
}

func verifyBytes(t *testing.T, file []byte) (BackupContent, error) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	return VerifyBackup(t.Context(), bytes.NewReader(file), dir)
}

// TestRestore_SameBeginEverywhere restores three members on their own; all begin with one state.
func TestRestore_SameBeginEverywhere(t *testing.T) {
	file := smallBackup(t)
	members := []string{"a", "b", "c"}
	var first Restored
	ids := map[uint64]bool{}
	for i, name := range members {
		got, err := RestoreBackup(t.Context(), restoreInto(t, file, name, members))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = got
		}
		if ids[got.Replica] = true; got.Hash != first.Hash || got.Content != first.Content {
			t.Errorf("member %s begins with %x, member a with %x", name, got.Hash, first.Hash)
		}
	}
	if len(ids) != len(members) || ids[1] || ids[2] || ids[3] {
		t.Errorf("the replicas are %v", ids)
	}
	other, err := RestoreBackup(t.Context(), restoreInto(t, file, "a", []string{"a", "b"}))
	if err != nil || other.Replica == first.Replica {
		t.Errorf("with other members the replica is %d, too (%v)", other.Replica, err)
	}
}

func restoreInto(t *testing.T, file []byte, name string, members []string) RestoreConfig {
	return RestoreConfig{
		Open:    opening(file),
		DataDir: filepath.Join(t.TempDir(), "data"), Region: "dc1", Node: name, Members: members, ID: [16]byte{1},
	}
}

func opening(file []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(file)), nil }
}

// laterFormat is a backup as a version to come would write it.
func laterFormat(file []byte) []byte {
	later := bytes.Clone(file)
	later[len("SCBACKUP")]++
	return later
}

// federatedBackup is a backup of a region that exchanges with others.
func federatedBackup(t *testing.T) []byte {
	t.Helper()
	mem := state.NewMemory()
	applyTo(t, mem, 1, record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"}})
	head, err := (&Region{cfg: Config{Node: "n1"}}).backupHeader(mem)
	if err != nil {
		t.Fatal(err)
	}
	head.Federated = true
	var out bytes.Buffer
	if _, err := writeBackup(&out, &head, mem); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRestore_Refusals(t *testing.T) {
	file := smallBackup(t)
	for _, c := range []struct {
		what   string
		change func(*RestoreConfig)
		kind   fault.Kind
		text   string
	}{
		{"another region's identity", func(c *RestoreConfig) { c.ID = [16]byte{2} }, fault.Conflict, "the identity is that of region"},
		{"another region's name", func(c *RestoreConfig) { c.ID, c.Region = [16]byte{}, "dc2" }, fault.Conflict, "set region: dc1"},
		{"no member", func(c *RestoreConfig) { c.Node = "x" }, fault.Invalid, "is no member"},
		{"a file that is cut", func(c *RestoreConfig) { c.Open = opening(file[:len(file)-1]) }, fault.Corrupt, "ends early"},
		{"a backup of a later format", func(c *RestoreConfig) { c.Open = opening(laterFormat(file)) }, fault.Unsupported, "use that one"},
		{"no backup", func(c *RestoreConfig) { c.Open = opening([]byte("hello")) }, fault.Invalid, "name a file that `supercluster backup create` wrote"},
		{"no key files", func(c *RestoreConfig) {
			c.ID, c.Open = [16]byte{}, opening(federatedBackup(t))
		}, fault.Conflict, "put the key files that `supercluster region init` made for it in place"},
	} {
		cfg := restoreInto(t, file, "a", []string{"a"})
		c.change(&cfg)
		_, err := RestoreBackup(t.Context(), cfg)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.what, err)
		}
		if _, err := os.Stat(cfg.DataDir); err == nil {
			t.Errorf("%s: the refusal left a folder", c.what)
		}
	}
	cfg := restoreInto(t, file, "a", []string{"a"})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := RestoreBackup(canceled, cfg); err == nil {
		t.Error("a canceled restore succeeded")
	}
	if left, err := os.ReadDir(cfg.DataDir); err == nil && len(left) > 1 { // the lock
		t.Errorf("a canceled restore left %v", left)
	}
	if _, err := RestoreBackup(t.Context(), cfg); err != nil {
		t.Errorf("after a canceled one: %v", err)
	}
	if _, err := RestoreBackup(t.Context(), cfg); !fault.Is(err, fault.Conflict) {
		t.Errorf("over a folder in use: %v", err)
	}
}

// applyTo applies one operation to the store's twin in memory.
func applyTo(t *testing.T, mem *state.Memory, index uint64, op record.Op) {
	t.Helper()
	_, err := state.Apply(mem, index, &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: index, Time: 1, Ops: []record.Op{op}})
	if err != nil {
		t.Fatal(err)
	}
}

// backupOf makes a backup of a store's twin in memory.
func backupOf(t *testing.T, rows state.Reader) []byte {
	t.Helper()
	head, err := (&Region{cfg: Config{Node: "n1"}}).backupHeader(rows)
	if err != nil {
		t.Fatal(err)
	}
	head.Time, head.Version = time.Unix(1_700_000_000, 0).UTC(), "test"
	var file bytes.Buffer
	if _, err := writeBackup(&file, &head, rows); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}
