package state_test

import (
	"fmt"
	"testing"

	"supercluster/region/record"
	"supercluster/region/state"
)

// What taking over a record of another region costs: its log, its copy, and the record that shows it.
func BenchmarkApplyImport(b *testing.B) {
	const each = 100
	m := state.NewMemory()
	self, home := [16]byte{2}, [16]byte{1}
	index := uint64(0)
	apply := func(op record.Op) {
		index++
		out, err := state.Apply(m, index, &record.Entry{Level: 2, Ops: []record.Op{op}})
		if err != nil || out.Results[0].Status != record.StatusOK {
			b.Fatal(err, out.Results)
		}
	}
	apply(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: self, Name: "bench"}})
	apply(record.Op{Type: record.OpPeer, Peer: &record.Peer{RegionID: home, Value: []byte("peer")}})
	apply(record.Op{Type: record.OpPlace, Place: &record.Place{Tenant: 1, Namespace: 1, UID: self, Name: "default", Home: home}})
	apply(record.Op{Type: record.OpLink, Link: &record.Link{RegionID: home, Remote: home, Tenant: 1}})
	at := record.FeedPosition{}
	digest := record.Digest{}
	elements := map[string]record.Digest{}
	value := make([]byte, 128)
	b.ReportAllocs()
	for i := range b.N {
		b.StopTimer()
		from := at
		var records [][]byte
		for j := range each {
			k := record.FeedKey{Tenant: home, Namespace: "default", Kind: record.KindConfig, Name: fmt.Sprintf("bench/key-%06d", (i*each+j)%100_000)}
			wire := record.AppendFeedKey(nil, &k)
			at.Sequence++
			entry := record.AppendFeedEntry(nil, &record.FeedEntry{OwnerEpoch: 1, Revision: at.Sequence, Version: 1, Value: value})
			rec := record.AppendFeedRecord(nil, &record.FeedRecord{Sequence: at.Sequence, Revision: at.Sequence, Changes: []record.FeedChange{{Op: record.FeedPut, Key: wire, Entry: entry}}})
			at.Chain = record.ChainNext(at.Chain, rec)
			e := record.Element(wire, entry)
			if old, ok := elements[string(wire)]; ok {
				digest.Remove(old)
			}
			digest.Add(e)
			elements[string(wire)] = e
			records = append(records, rec)
		}
		head := record.AppendFeedHead(nil, &record.FeedHead{Region: home, Channel: 2, Position: at, Digest: digest, Revision: at.Sequence, Time: int64(i + 1)})
		b.StartTimer()
		apply(record.Op{Type: record.OpImport, Import: &record.Import{RegionID: home, Channel: 2, From: from, Records: records, Head: head}})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/record")
}
