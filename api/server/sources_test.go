package server

import (
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "supercluster/api/gen/supercluster/v1"
)

// sourcesIn lists every source in a message, and every message that should have one and does not.
func sourcesIn(m protoreflect.Message) (found []*pb.Source, without []string) {
	if s, ok := m.Interface().(*pb.Source); ok {
		return []*pb.Source{s}, nil
	}
	if at := m.Descriptor().Fields().ByName("source"); at != nil && !m.Has(at) {
		without = append(without, string(m.Descriptor().Name()))
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Message() == nil || field.IsMap():
		case field.IsList():
			for i := range v.List().Len() {
				more, lack := sourcesIn(v.List().Get(i).Message())
				found, without = append(found, more...), append(without, lack...)
			}
		default:
			more, lack := sourcesIn(v.Message())
			found, without = append(found, more...), append(without, lack...)
		}
		return true
	})
	return found, without
}

// requireSources checks that every record in an answer says where it was written, and that it is so old as the answer.
func requireSources(t *testing.T, name string, answer proto.Message, age time.Duration) {
	t.Helper()
	found, without := sourcesIn(answer.ProtoReflect())
	if len(found) == 0 || len(without) > 0 {
		t.Errorf("%s: %d records have a source, not so %v", name, len(found), without)
	}
	for _, s := range found {
		if s.GetRegion() != "dc1" || s.GetRevision() == 0 || s.GetAge() == nil || s.GetAge().AsDuration() != age {
			t.Errorf("%s: source %v, want the age %v", name, s, age)
		}
	}
}

// What a write answers with is as new as can be.
func TestSources_OfWrites(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	written := func(name string, answer proto.Message, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(name, err)
		}
		requireSources(t, name, answer, 0)
	}
	instance, err := h.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{
		Instance: &pb.Instance{Service: "web", Id: "a", Address: "10.1.0.1", Port: 80},
	})
	written("instance", instance, err)
	service, err := h.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web"}})
	written("service", service, err)
	route, err := h.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"}})
	written("route", route, err)
	config, err := h.config.PutConfig(ctx, putConfig("a", "1", nil))
	written("config", config, err)
	rollback, err := h.config.RollbackConfig(ctx, &pb.RollbackConfigRequest{Name: "a", ToRevision: config.GetHeader().GetRevision()})
	written("rollback", rollback, err)
	txn, err := h.config.Txn(ctx, &pb.TxnRequest{Then: []*pb.TxnOp{
		{Op: &pb.TxnOp_Get_{Get: &pb.TxnOp_Get{Name: "a"}}}, {Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: "b", Value: []byte("1")}}},
	}})
	written("txn", txn, err)
	for i, want := range []uint64{rollback.GetHeader().GetRevision(), txn.GetHeader().GetRevision()} {
		if got := txn.GetResults()[i].GetConfig().GetSource().GetRevision(); got != want {
			t.Errorf("the transaction names revision %d, want %d", got, want)
		}
	}
}

// What this region owns is as old as the answer to a read of any level.
func TestSources_OfReads(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	h.register(t, "web", "a", "10.1.0.1", 80)
	h.put(t, "a", "1")
	_, err := h.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web"}})
	if err == nil {
		_, err = h.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "shop", Hosts: []string{"shop.example"}, Service: "web"}})
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, level := range []pb.Consistency{pb.Consistency_CONSISTENCY_LOCAL, pb.Consistency_CONSISTENCY_LINEARIZABLE} {
		o := &pb.ReadOptions{Consistency: level}
		read := func(name string, answer interface {
			proto.Message
			GetHeader() *pb.ReadHeader
		}, err error,
		) {
			t.Helper()
			if err != nil {
				t.Fatal(name, err)
			}
			age := answer.GetHeader().GetAge().AsDuration()
			if exact := level == pb.Consistency_CONSISTENCY_LINEARIZABLE || name == "history"; exact != (age == 0) {
				t.Errorf("%s: a read of level %v has the age %v", name, level, age)
			}
			requireSources(t, name, answer, age)
		}
		config, err := h.config.GetConfig(ctx, &pb.GetConfigRequest{Read: o, Name: "a"})
		read("config", config, err)
		configs, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{Read: o})
		read("configs", configs, err)
		history, err := h.config.ListConfigHistory(ctx, &pb.ListConfigHistoryRequest{Read: o, Name: "a"})
		read("history", history, err)
		route, err := h.registry.GetRoute(ctx, &pb.GetRouteRequest{Read: o, Name: "shop"})
		read("route", route, err)
		routes, err := h.registry.ListRoutes(ctx, &pb.ListRoutesRequest{Read: o})
		read("routes", routes, err)
		service, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Read: o, Name: "web"})
		read("service", service, err)
		services, err := h.registry.ListServices(ctx, &pb.ListServicesRequest{Read: o})
		read("services", services, err)
		instances, err := h.registry.ListInstances(ctx, &pb.ListInstancesRequest{Read: o, Service: "web"})
		read("instances", instances, err)
		lookup, err := h.registry.Lookup(ctx, &pb.LookupRequest{Read: o, Service: "web"})
		read("lookup", lookup, err)
		explain, err := h.registry.Explain(ctx, &pb.ExplainRequest{Read: o, Service: "web"})
		read("explain", explain, err)
		if got := explain.GetRegions()[0].GetAge(); got == nil || got.AsDuration() != explain.GetHeader().GetAge().AsDuration() {
			t.Errorf("explain: this region is %v old", got)
		}
	}
}
