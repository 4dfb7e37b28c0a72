package state_test

import (
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// What exporting costs a put: the channel's record, chain, digest and rows.
func BenchmarkApplyFederated(b *testing.B) {
	m := state.NewMemory()
	ops := []record.Op{
		{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "bench"}},
		{Type: record.OpPeer, Peer: &record.Peer{RegionID: [16]byte{2}, Value: []byte("peer")}},
		{Type: record.OpPlace, Place: &record.Place{Tenant: 1, Namespace: 1, UID: [16]byte{1}, Name: "default", Home: [16]byte{1}}},
	}
	for c := record.ClassControl; c < record.ClassSummaries; c++ {
		ops = append(ops, record.Op{Type: record.OpSetChannel, SetChannel: &record.SetChannel{
			Channel: record.Channel{Name: "all", Class: c, Projection: record.ProjectionFull},
		}})
	}
	for i := range ops {
		out, err := state.Apply(m, uint64(i+1), &record.Entry{Level: 2, Ops: ops[i : i+1]})
		if err != nil || out.Results[0].Status != record.StatusOK {
			b.Fatal(err, out.Results)
		}
	}
	const entries, each = 512, 64
	var encoded [entries][]byte
	for i := range encoded {
		encoded[i] = putEntry(b, uint64(i+1), each)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		e, err := record.DecodeEntry(encoded[i%entries])
		if err != nil {
			b.Fatal(err)
		}
		e.Sequence = uint64(i + 1)
		out, err := state.Apply(m, uint64(i+100), e)
		if err != nil || out.Results[0].Status != record.StatusOK || out.Results[0].Duplicate {
			b.Fatal(err, out.Results[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/op-in-entry")
}
