package server

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/federation"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

func fromGRPC(err error) error { return status.FromGRPC(err) }

// devContext is the context of a handler that is called without the chain.
func devContext(t testing.TB) context.Context {
	return context.WithValue(t.Context(), callKey{}, &call{
		row: &row{}, principal: access.Principal{Name: "dev", Role: access.RoleDev}, started: time.Now(),
	})
}

// eventually waits until a condition holds.
func eventually(t testing.TB, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatal("it did not happen within 10 s")
}

// imported writes instances of the region with alias 2, and its record, past this region's operations as the import of
// its records does.
func (r *fakeRegion) imported(t testing.TB, ins ...*pb.Instance) {
	t.Helper()
	id := [16]byte{2}
	op, err := registry.PutRegionOp(&pb.Region{Id: registry.RegionRecordKey(id).Name, Name: "dc2"}, 2, registry.Write{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Propose(t.Context(), op); err != nil {
		t.Fatal(err)
	}
	put := record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData}}
	put.Txn.Then = []record.TxnOp{{Type: record.TxnPut, Key: record.Key{
		Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindRoute, Name: "any",
	}}}
	var events []record.Event
	for _, in := range ins {
		rec := ofDC2(t, record.KindInstance, registry.InstanceName(in.GetService(), in.GetId()), in)
		if in.GetDraining() {
			rec.Attributes.Flags = 1 // due long ago
		}
		events = append(events, record.Event{Type: record.EventPut, Record: rec})
	}
	r.commit(t, put, events...)
}

// summarized writes what dc2 says that it has of a service, as the import of its summaries does.
func (r *fakeRegion) summarized(t testing.TB, service string, zones ...*pb.ZoneCapacity) {
	t.Helper()
	put := record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData}}
	put.Txn.Then = []record.TxnOp{{Type: record.TxnPut, Key: record.Key{
		Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindRoute, Name: "any",
	}}}
	rec := ofDC2(t, record.KindSummary, service, &pb.CapacitySummary{Service: service, Zones: zones})
	r.commit(t, put, record.Event{Type: record.EventPut, Record: rec})
}

// ofDC2 makes a record of dc2, written at its revision 640.
func ofDC2(t testing.TB, kind record.Kind, name string, m proto.Message) record.Record {
	t.Helper()
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return record.Record{
		Key:   record.Key{Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: kind, Scope: 2, Name: name},
		Value: value, Origin: record.Origin{Home: [16]byte{2}, HomeRevision: 640},
	}
}

func (r *fakeRegion) commit(t testing.TB, op record.Op, events ...record.Event) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.apply(op, events...); err != nil {
		t.Fatal(err)
	}
}

// gone takes records away past this region's operations, as an import does: dc2 was at revision 700 of its incarnation 3.
func (r *fakeRegion) gone(t testing.TB, keys ...record.Key) {
	t.Helper()
	put := record.Op{Type: record.OpTxn, Tenant: 1, Txn: &record.Txn{Shard: record.ShardData}}
	put.Txn.Then = []record.TxnOp{{Type: record.TxnPut, Key: record.Key{
		Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: 999, Name: "any",
	}}}
	var events []record.Event
	for _, k := range keys {
		k.Shard, k.Tenant, k.Namespace = record.ShardData, 1, 1
		events = append(events, record.Event{Type: record.EventDelete, Record: record.Record{
			Key: k, Deleted: true, Origin: record.Origin{Home: [16]byte{2}, HomeRevision: 700, Incarnation: 3},
		}})
	}
	r.commit(t, put, events...)
}

// ages is a Sources that knows one region.
type ages map[[16]byte]time.Duration

func (a ages) Ages() func(region [16]byte) (time.Duration, bool) {
	return func(region [16]byte) (time.Duration, bool) {
		age, ok := a[region]
		return age, ok
	}
}

// Standing says that everything up to revision 640 is here.
func (a ages) Standing(federation.Watched) (all []federation.Standing, at record.Positions, err error) {
	for region, age := range a {
		all = append(all, federation.Standing{Region: region, Incarnation: 3, Revision: 640, Heard: time.Now().Add(-age), Channels: []federation.ChannelStanding{
			{Class: "endpoints", Name: "all", Incarnation: 3, Sequence: 12},
		}})
	}
	return all, record.Positions{}, nil
}

// panicking is a Heartbeats with a bug.
type panicking struct{}

func (panicking) Heartbeat(context.Context, []*pb.HeartbeatTarget) ([]uint32, error) {
	panic("secret")
}

// unknownSecond is a Heartbeats that knows the first target alone.
type unknownSecond struct{}

func (unknownSecond) Heartbeat(context.Context, []*pb.HeartbeatTarget) ([]uint32, error) {
	return []uint32{1}, nil
}
