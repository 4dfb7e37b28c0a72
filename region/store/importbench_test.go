package store

import (
	"fmt"
	"testing"

	sm "github.com/lni/dragonboat/v4/statemachine"

	"supercluster/region/record"
)

// BenchmarkUpdateImport takes over transactions of 128 new keys of another region, each in an entry, on a real disk: what a region
// does that catches up.
func BenchmarkUpdateImport(b *testing.B) {
	const each = 128
	r := benchStore(b, 0)
	home := [16]byte{2}
	for _, op := range []record.Op{
		{Type: record.OpPeer, Peer: &record.Peer{RegionID: home, Value: []byte("peer")}},
		{Type: record.OpPlace, Place: &record.Place{Tenant: 1, Namespace: 1, UID: [16]byte{1}, Name: "default", Home: home}},
		{Type: record.OpLink, Link: &record.Link{RegionID: home, Remote: home, Tenant: 1}},
	} {
		r.level2(op)
	}
	source := &benchSource{home: home}
	cpu := cpuTime(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		b.StopTimer()
		op := source.next(each)
		b.StartTimer()
		r.level2(op)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/key")
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N*each), "cpu-ns/key")
}

// level2 applies an operation of the second feature level.
func (r *replica) level2(op record.Op) {
	r.tb.Helper()
	r.index++
	cmd, err := record.AppendEntry(nil, &record.Entry{Level: 2, Time: 1, Ops: []record.Op{op}})
	if err != nil {
		r.tb.Fatal(err)
	}
	entries, err := r.Update([]sm.Entry{{Index: r.index, Cmd: cmd}})
	if err != nil {
		r.tb.Fatal(err)
	}
	if result := r.results(entries[0])[0]; result.Status != record.StatusOK {
		r.tb.Fatalf("status %d, %s", result.Status, result.Detail)
	}
}

// benchSource is a channel of another region.
type benchSource struct {
	home   [16]byte
	at     record.FeedPosition
	digest record.Digest
	keys   int
}

// next is a transaction of some new keys, as an import.
func (s *benchSource) next(keys int) record.Op {
	from := s.at
	s.at.Sequence++
	rec := record.FeedRecord{Sequence: s.at.Sequence, Revision: s.at.Sequence, Writer: record.Writer{Actor: "bench", Time: 1}}
	for range keys {
		wire := record.AppendFeedKey(nil, &record.FeedKey{
			Tenant: s.home, Namespace: "default", Kind: record.KindConfig, Name: fmt.Sprintf("dc1/keys/%08d", s.keys),
		})
		entry := record.AppendFeedEntry(nil, &record.FeedEntry{OwnerEpoch: 1, Revision: s.at.Sequence, Version: 1, Value: benchValue})
		rec.Changes = append(rec.Changes, record.FeedChange{Op: record.FeedPut, Key: wire, Entry: entry})
		s.digest.Add(record.Element(wire, entry))
		s.keys++
	}
	encoded := record.AppendFeedRecord(nil, &rec)
	s.at.Chain = record.ChainNext(s.at.Chain, encoded)
	head := record.AppendFeedHead(nil, &record.FeedHead{
		Region: s.home, Channel: 2, Position: s.at, Digest: s.digest, Revision: s.at.Sequence, Time: int64(s.at.Sequence),
	})
	return record.Op{Type: record.OpImport, Import: &record.Import{RegionID: s.home, Channel: 2, From: from, Records: [][]byte{encoded}, Head: head}}
}
