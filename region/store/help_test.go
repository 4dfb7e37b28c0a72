package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/region/record"
)

// replica drives a store as Dragonboat does.
type replica struct {
	*Store
	tb       testing.TB
	index    uint64
	sequence uint64
}

func testConfig(fs vfs.FS) Config {
	return Config{Dir: "state", Shard: 1, Replica: 1, FS: fs, Fatal: func(error) {}}
}

// start opens a store; a fresh one gets its identity.
func start(tb testing.TB, cfg Config) *replica {
	tb.Helper()
	s, err := New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	r := &replica{Store: s, tb: tb}
	r.open()
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	if r.index == 0 {
		r.must(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "test"}})
	}
	return r
}

func (r *replica) open() {
	r.tb.Helper()
	index, err := r.Open(nil)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.index = max(r.index, index)
	r.sequence = r.index + 1000
}

func (r *replica) restart() {
	r.tb.Helper()
	if err := r.Close(); err != nil {
		r.tb.Fatal(err)
	}
	r.index = 0
	r.open()
}

// entry encodes one group; its index is the next one.
func (r *replica) entry(ops ...record.Op) sm.Entry {
	r.tb.Helper()
	r.index++
	r.sequence++
	cmd, err := record.AppendEntry(nil, &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: r.sequence, Time: 1, Ops: ops})
	if err != nil {
		r.tb.Fatal(err)
	}
	return sm.Entry{Index: r.index, Cmd: cmd}
}

// apply applies one group and gives its results.
func (r *replica) apply(ops ...record.Op) []record.Result {
	r.tb.Helper()
	entries, err := r.Update([]sm.Entry{r.entry(ops...)})
	if err != nil {
		r.tb.Fatal(err)
	}
	return r.results(entries[0])
}

func (r *replica) results(e sm.Entry) []record.Result {
	r.tb.Helper()
	results, err := record.DecodeResults(e.Result.Data)
	if err != nil || uint64(len(results)) != e.Result.Value {
		r.tb.Fatalf("entry %d: %d results for %d operations (%v)", e.Index, len(results), e.Result.Value, err)
	}
	return results
}

// must applies operations that are all taken, and gives the last result.
func (r *replica) must(ops ...record.Op) record.Result {
	r.tb.Helper()
	results := r.apply(ops...)
	for i := range results {
		if results[i].Status != record.StatusOK {
			r.tb.Fatalf("operation %d: status %d, %s", i, results[i].Status, results[i].Detail)
		}
	}
	return results[len(results)-1]
}

func testKey(name string) record.Key {
	return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindService, Name: name}
}

func txn(ops ...record.TxnOp) record.Op {
	return record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData, Then: ops}}
}

func put(name, value string) record.Op {
	return txn(record.TxnOp{Type: record.TxnPut, Key: testKey(name), Value: []byte(value)})
}

func del(name string) record.Op {
	return txn(record.TxnOp{Type: record.TxnDelete, Key: testKey(name)})
}

func deleteAll(from, to string) record.Op {
	return txn(record.TxnOp{Type: record.TxnDeleteRange, Range: testRange(from, to)})
}

func testRange(from, to string) record.Range {
	return record.Range{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindService, From: from, To: to}
}

func compact(revision uint64) record.Op {
	return record.Op{Type: record.OpCompact, Compact: &record.Compact{Shard: record.ShardData, Revision: revision}}
}

func purge(changes uint32) record.Op {
	return record.Op{Type: record.OpPurge, Purge: &record.Purge{Shard: record.ShardData, Changes: changes}}
}

// tenancy makes a commit of the system shard.
func createTenant(name string) record.Op {
	t := &record.Tenancy{Tenant: name, UID: [16]byte{7}, Value: []byte(name)}
	copy(t.UID[:], name)
	return record.Op{Type: record.OpCreateTenant, Tenancy: t}
}

// value reads the newest value of a record; "" when there is none.
func (r *replica) value(name string) string {
	r.tb.Helper()
	rec, found, _, err := r.Get(testKey(name), 0)
	if err != nil {
		r.tb.Fatal(err)
	}
	if !found {
		return ""
	}
	return string(rec.Value)
}

func (r *replica) hash() [32]byte {
	r.tb.Helper()
	hash, _, err := r.Hash()
	if err != nil {
		r.tb.Fatal(err)
	}
	return hash
}

func (r *replica) position() record.Positions {
	r.tb.Helper()
	p, ok := r.Published()
	if !ok {
		r.tb.Fatal("the store is not open")
	}
	return p.Positions
}

func numbered(prefix string, i int) string { return fmt.Sprintf("%s-%04d", prefix, i) }
