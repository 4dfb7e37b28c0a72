package store

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/region/record"
)

// benchStore is on a real disk, with n records.
func benchStore(b *testing.B, n int) *replica {
	b.Helper()
	cfg := testConfig(nil)
	cfg.Dir = b.TempDir() + "/state"
	r := start(b, cfg)
	for i := 0; i < n; i += 500 {
		var ops []record.Op
		for j := i; j < min(i+500, n); j++ {
			ops = append(ops, benchPut(j))
		}
		r.must(ops...)
	}
	return r
}

var benchValue = make([]byte, 128)

func benchPut(i int) record.Op {
	return record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{
		Shard:  record.ShardData,
		Then:   []record.TxnOp{{Type: record.TxnPut, Key: benchKey(i), Value: benchValue}},
		Writer: record.Writer{Time: 1, Actor: "bench"},
	}}
}

func benchKey(i int) record.Key { return testKey(fmt.Sprintf("bench/key-%08d", i)) }

// encoded makes entries of some puts each, over n records, to be applied in a loop with new indexes and names.
func encoded(b *testing.B, entries, puts, n int) [][]byte {
	all := make([][]byte, entries)
	for i := range all {
		e := record.Entry{Level: 1, Time: 1} // no replica: no window, so that an entry can be applied again
		for j := range puts {
			e.Ops = append(e.Ops, benchPut((i*puts*7919+j*31)%n))
		}
		var err error
		if all[i], err = record.AppendEntry(nil, &e); err != nil {
			b.Fatal(err)
		}
	}
	return all
}

func benchmarkUpdate(b *testing.B, entriesPerUpdate, putsPerEntry, records int) {
	r := benchStore(b, records)
	cmds := encoded(b, 256, putsPerEntry, records)
	batch := make([]sm.Entry, entriesPerUpdate)
	cpu := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		for j := range batch {
			r.index++
			batch[j] = sm.Entry{Index: r.index, Cmd: cmds[(i*len(batch)+j)%len(cmds)]}
		}
		if _, err := r.Update(batch); err != nil {
			b.Fatal(err)
		}
	}
	puts := float64(b.N * entriesPerUpdate * putsPerEntry)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/puts, "ns/put")
	b.ReportMetric(float64(cpuTime(b)-cpu)/puts, "cpu-ns/put")
}

// cpuTime is what the process has used so far, Pebble's flushes and compactions in the background included.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkUpdatePut applies entries of some puts of 128 bytes to 10,000 known records.
func BenchmarkUpdatePut(b *testing.B) {
	for _, puts := range []int{1, 64, 256, 512} {
		b.Run(fmt.Sprint(puts), func(b *testing.B) { benchmarkUpdate(b, 1, puts, 10_000) })
	}
	b.Run("64x8", func(b *testing.B) { benchmarkUpdate(b, 64, 8, 10_000) })
}

// BenchmarkUpdatePutUnknown has more records than the cache holds.
func BenchmarkUpdatePutUnknown(b *testing.B) { benchmarkUpdate(b, 1, 256, 300_000) }

// BenchmarkGetLocal reads 10,000 records from the cache, in random order.
func BenchmarkGetLocal(b *testing.B) {
	r := benchStore(b, 10_000)
	keys := make([]record.Key, 10_000)
	for i := range keys {
		keys[i] = benchKey(i * 7919 % len(keys))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, found, _, err := r.Get(keys[i%len(keys)], 0); err != nil || !found {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkGetDisk reads records that the cache does not hold.
func BenchmarkGetDisk(b *testing.B) {
	r := benchStore(b, 10_000)
	at := r.position().Data
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if _, found, _, err := r.Get(benchKey(i*7919%10_000), at); err != nil || !found {
			b.Fatal(found, err)
		}
	}
}

// BenchmarkFollow gives the commits of one put to some followers.
func BenchmarkFollow(b *testing.B) {
	for _, followers := range []int{0, 1, 100} {
		b.Run(fmt.Sprint(followers), func(b *testing.B) {
			r := benchStore(b, 1000)
			cmds := encoded(b, 256, 1, 1000)
			from := r.position()
			for range followers {
				go func() {
					_ = r.Follow(b.Context(), from, 0, func([]record.Commit, record.Positions) error { return nil })
				}()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				r.index++
				if _, err := r.Update([]sm.Entry{{Index: r.index, Cmd: cmds[i%len(cmds)]}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
