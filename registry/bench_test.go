package registry

import (
	"fmt"
	"slices"
	"testing"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
)

// populated is a view of services with instances, each with one check that passes.
func populated(b *testing.B, services, instances int) *View {
	b.Helper()
	s := newStore(b)
	records := s.records(b)
	space := spaceID{1, 1}
	encoded := func(k record.Kind, name string, value []byte, err error) {
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, record.Record{Key: space.key(k, name), Value: value, CreateRevision: 2, ModifyRevision: 2, Version: 1})
	}
	for n := range services {
		service := fmt.Sprintf("svc%05d", n)
		for i := range instances {
			id := fmt.Sprintf("i%05d", i)
			value, err := encode(&pb.Instance{
				Address: fmt.Sprintf("10.0.%d.%d", i/250, i%250+1), Port: 80, Weight: 100, Zone: fmt.Sprintf("z%d", i%3), Tags: []string{"v1"},
			})
			encoded(record.KindInstance, InstanceName(service, id), value, err)
			value, err = encode(tcpCheck("tcp"))
			encoded(record.KindCheck, CheckName(service, id, "tcp"), value, err)
			value, err = encode(&pb.CheckStatus{Health: passing, Output: "connected"})
			encoded(record.KindCheckStatus, CheckName(service, id, "tcp"), value, err)
		}
	}
	return Build(testRegion, record.Positions{System: 2, Data: 2}, slices.Values(records))
}

// flips are commits that turn the health of instances over and over.
func flips(b *testing.B, services, instances int) func(n int) []record.Commit {
	b.Helper()
	var values [2][]byte
	for i, h := range []pb.Health{critical, passing} {
		v, err := encode(&pb.CheckStatus{Health: h, Output: "dial tcp 10.0.0.1:80: connection refused", Node: "n1"})
		if err != nil {
			b.Fatal(err)
		}
		values[i] = v
	}
	space := spaceID{1, 1}
	names := make([]string, 0, services*instances)
	for n := range services {
		for i := range instances {
			names = append(names, CheckName(fmt.Sprintf("svc%05d", n), fmt.Sprintf("i%05d", i), "tcp"))
		}
	}
	return func(n int) []record.Commit {
		revision := uint64(n + 3)
		return []record.Commit{{
			Position: record.Position{Shard: record.ShardData, Revision: revision},
			Events: []record.Event{{Type: record.EventPut, Record: record.Record{
				Key: space.key(record.KindCheckStatus, names[n*7919%len(names)]), Value: values[n%2], ModifyRevision: revision,
			}}},
		}}
	}
}

func BenchmarkNext_HealthFlip(b *testing.B) {
	for _, size := range []struct{ services, instances int }{{1000, 10}, {100, 100}, {1, 10000}} {
		b.Run(fmt.Sprintf("services=%d/instances=%d", size.services, size.services*size.instances), func(b *testing.B) {
			v := populated(b, size.services, size.instances)
			next := flips(b, size.services, size.instances)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				v, _ = v.Next(next(n))
				n++
			}
		})
	}
}

func BenchmarkNext_Register(b *testing.B) {
	v := populated(b, 1000, 10)
	value, err := encode(&pb.Instance{Address: "10.0.0.1", Port: 80, Weight: 100})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		revision := uint64(n + 2)
		name := InstanceName(fmt.Sprintf("svc%05d", n%1000), fmt.Sprintf("n%d", n/1000%10))
		v, _ = v.Next([]record.Commit{{
			Position: record.Position{Shard: record.ShardData, Revision: revision},
			Events: []record.Event{{Type: record.EventPut, Record: record.Record{
				Key: spaceID{1, 1}.key(record.KindInstance, name), Value: value, ModifyRevision: revision,
			}}},
		}})
	}
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		populated(b, 1000, 10)
	}
}

func BenchmarkView_Service(b *testing.B) {
	v := populated(b, 1000, 10)
	k := ServiceOf("", "", "svc00500")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := v.Service(k); !ok {
			b.Fatal("no service")
		}
	}
}

func BenchmarkRegisterOp(b *testing.B) {
	s := newStore(b)
	in := web("a")
	in.Checks = []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_HTTP}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := RegisterOp(s.view, in, Write{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigest(b *testing.B) {
	text := []byte(`{"name":"web","replicas":3,"limits":{"cpu":0.5,"memory":"1Gi"},"ports":[80,443],"on":true}`)
	for _, f := range []pb.Format{textFormat, jsonFormat, yamlFormat} {
		b.Run(FormatName(f), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Digest(f, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
