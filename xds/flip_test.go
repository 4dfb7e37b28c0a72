package xds

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/xds/ir"
)

const (
	flipServices  = 10_000
	flipRegions   = 10
	flipInstances = 2 // of each service in each region
)

// flipKey is where a record of instance n of a service in a region stands.
func flipKey(kind record.Kind, service string, alias, n int) record.Key {
	name := registry.InstanceName(service, fmt.Sprint(n))
	if kind != record.KindInstance {
		name = registry.CheckName(service, fmt.Sprint(n), "tcp")
	}
	return record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: kind, Scope: uint32(alias), Name: name}
}

// flipView is a registry of many services that are in all regions.
func flipView(b *testing.B) *registry.View {
	b.Helper()
	var records []record.Record
	add := func(k record.Key, flags uint64, m proto.Message) {
		value, err := proto.Marshal(m)
		if err != nil {
			b.Fatal(err)
		}
		records = append(records, record.Record{Key: k, Value: value, CreateRevision: 1, ModifyRevision: 1, Version: 1, Attributes: record.Attributes{Flags: flags}})
	}
	add(record.Key{Kind: record.KindTenant, Name: "default"}, 1, &pb.Tenant{Name: "default"})
	add(record.Key{Kind: record.KindNamespace, Tenant: 1, Name: "default"}, 1, &pb.Namespace{Name: "default"})
	for alias := 2; alias <= flipRegions; alias++ {
		add(registry.RegionRecordKey([16]byte{byte(alias)}), uint64(alias), &pb.Region{Name: fmt.Sprintf("dc%02d", alias)})
	}
	for s := range flipServices {
		for alias := 1; alias <= flipRegions; alias++ {
			for n := range flipInstances {
				add(flipKey(record.KindInstance, serviceName(s), alias, n), 0, &pb.Instance{
					Address: fmt.Sprintf("10.%d.%d.%d", alias, s>>8, s&0xff), Port: uint32(8000 + n), Zone: fmt.Sprint(n), Weight: 100,
				})
			}
		}
	}
	add(flipKey(record.KindCheck, serviceName(7), 1, 0), 0, &pb.Check{Type: pb.CheckType_CHECK_TYPE_TCP})
	return registry.Build("dc1", record.Positions{System: 1, Data: 1}, slices.Values(records))
}

// flip changes the health of one instance and gives the view and what differs.
func flip(b *testing.B, v *registry.View, revision uint64, h pb.Health) (*registry.View, registry.Changes) {
	value, err := proto.Marshal(&pb.CheckStatus{Health: h})
	if err != nil {
		b.Fatal(err)
	}
	return v.Next([]record.Commit{{Position: record.Position{Shard: record.ShardData, Revision: revision}, Events: []record.Event{{
		Type:   record.EventPut,
		Record: record.Record{Key: flipKey(record.KindCheckStatus, serviceName(7), 1, 0), Value: value, CreateRevision: revision, ModifyRevision: revision, Version: 1},
	}}}})
}

// BenchmarkFlip is what one health flip costs from the commit until its resources are encoded for Envoy and for gRPC
// clients and marked for two of them, what a region costs that goes away, since all its services move, and what a flip costs
// while one does.
func BenchmarkFlip(b *testing.B) {
	r := &registryOf{view: flipView(b), followers: map[*follower]struct{}{}}
	x := newBench(b, r)
	up, gone := reachOf(make([]plan.State, flipRegions-1)...), reachOf(append([]plan.State{away}, make([]plan.State, flipRegions-2)...)...)
	x.pub.applyReach(up)
	envoy, grpc := x.connect(ir.RoleSidecar, true), x.connect(ir.RoleGRPC, false)
	envoy.send(cds)
	envoy.send(eds, add(serviceName(7)))
	grpc.want(eds, serviceName(7))
	v, revision := r.view, uint64(1)
	b.Run("health", func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			revision++
			began := time.Now()
			next, c := flip(b, v, revision, pb.Health(1+revision%3))
			x.pub.apply(next, c)
			took = append(took, time.Since(began))
			v = next
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		b.Logf("one health flip of %d services x %d regions, planned and encoded: median %v, 99%% %v, slowest of %d %v (limit 2 ms)",
			flipServices, flipRegions, took[len(took)/2], took[len(took)*99/100], len(took), took[len(took)-1])
	})
	moves := 0
	next := func() *plan.Reach {
		moves++
		return []*plan.Reach{up, gone}[moves%2]
	}
	b.Run("region", func(b *testing.B) {
		planned, n := x.pub.stats.planned.Load(), 0
		for b.Loop() {
			x.pub.applyReach(next())
			n++
		}
		b.ReportMetric(float64(x.pub.stats.planned.Load()-planned)/float64(n), "services/op")
	})
	b.Run("meanwhile", func(b *testing.B) {
		var took []time.Duration
		for b.Loop() {
			var moved atomic.Bool
			to := next()
			go func() {
				x.pub.applyReach(to)
				moved.Store(true)
			}()
			for !moved.Load() {
				revision++
				began := time.Now()
				next, c := flip(b, v, revision, pb.Health(1+revision%3))
				x.pub.apply(next, c)
				took = append(took, time.Since(began))
				v = next
				time.Sleep(time.Millisecond)
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)-1].Microseconds()), "slowest-us")
		b.Logf("one health flip while a region goes: median %v, slowest of %d %v (limit 50 ms)", took[len(took)/2], len(took), took[len(took)-1])
	})
}
