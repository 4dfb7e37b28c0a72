package state_test

import (
	"fmt"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// putEntry makes an entry of n puts of 128 bytes to records chosen round robin among many.
func putEntry(tb testing.TB, sequence uint64, n int) []byte {
	tb.Helper()
	e := &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: sequence, Time: 1_700_000_000_000_000_000}
	value := make([]byte, 128)
	for i := range n {
		e.Ops = append(e.Ops, record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{
			Shard: record.ShardData,
			Then: []record.TxnOp{{Type: record.TxnPut, Value: value, Key: record.Key{
				Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindConfig,
				Name: fmt.Sprintf("bench/key-%06d", (sequence*7919+uint64(i))%100_000),
			}, Attributes: record.Attributes{Format: 4}}},
			Writer: record.Writer{Time: 1_700_000_000_000_000_000, Actor: "bench"},
		}})
	}
	b, err := record.AppendEntry(nil, e)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func benchmarkApply(b *testing.B, ops int) {
	m := state.NewMemory()
	id := &record.Entry{Level: 1, Ops: []record.Op{{
		Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "bench"},
	}}}
	if _, err := state.Apply(m, 1, id); err != nil {
		b.Fatal(err)
	}
	const entries = 512
	var encoded [entries][]byte
	for i := range encoded {
		encoded[i] = putEntry(b, uint64(i+1), ops)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e, err := record.DecodeEntry(encoded[i%entries])
		if err != nil {
			b.Fatal(err)
		}
		e.Sequence = uint64(i + 1)
		out, err := state.Apply(m, uint64(i+2), e)
		if err != nil || out.Results[0].Status != record.StatusOK || out.Results[0].Duplicate {
			b.Fatal(err, out.Results[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*ops), "ns/op-in-entry")
}

func BenchmarkApplyPut1(b *testing.B)   { benchmarkApply(b, 1) }
func BenchmarkApplyPut256(b *testing.B) { benchmarkApply(b, 256) }
