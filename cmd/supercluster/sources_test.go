package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

// TestRegions_DeletionsNameTheirSource: dc2 shows whose record went and where that region was then, to a watch that is there
// when it happens and, after a restart, to one that reads it from history; and marks say how far it has come with dc1.
func TestRegions_DeletionsNameTheirSource(t *testing.T) {
	d, c := startRegions(t, 2, nil)
	dc1, dc2 := c[0], c[1]
	ctx := within(t, time.Minute)
	dc2.putUntil(ctx, t, "app/a", "1", "id-a")
	web := &pb.Instance{Service: "web", Id: "a", Address: "10.0.0.1", Port: 80, Checks: []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TTL}}}
	if _, err := dc1.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: web}); err != nil {
		t.Fatal(err)
	}
	if _, err := dc1.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web"}}); err != nil {
		t.Fatal(err)
	}
	put, err := dc1.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "r", Hosts: []string{"*"}, Service: "web"}})
	if err != nil {
		t.Fatal(err)
	}
	live := &goneWatch{address: d.all[1].config.Listen.GRPC}
	for live.follow(ctx, t); live.puts < 5; live.next(t) { // all of it has come
	}
	want := map[string]uint64{}
	config, err := dc1.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "app/a"})
	if err != nil {
		t.Fatal(err)
	}
	want["KIND_CONFIG app/a"] = config.GetHeader().GetRevision()
	route, err := dc1.registry.DeleteRoute(ctx, &pb.DeleteRouteRequest{Name: "r", ExpectRevision: put.GetHeader().GetRevision()})
	if err != nil {
		t.Fatal(err)
	}
	want["KIND_ROUTE r"] = route.GetHeader().GetRevision()
	service, err := dc1.registry.DeleteService(ctx, &pb.DeleteServiceRequest{Name: "web"})
	if err != nil {
		t.Fatal(err)
	}
	want["KIND_SERVICE web"] = service.GetHeader().GetRevision()
	instance, err := dc1.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a"})
	if err != nil {
		t.Fatal(err)
	}
	want["KIND_INSTANCE web/a"], want["KIND_CHECK web/a/ttl"] = instance.GetHeader().GetRevision(), instance.GetHeader().GetRevision()
	live.check(t, want)
	last := instance.GetHeader().GetRevision()
	mark := live.mark(t, "dc1", last)
	if len(mark.GetChannels()) != 3 || mark.GetIncarnation() != 1 || mark.GetAge() == nil {
		t.Errorf("the mark says %v", mark)
	}

	if err := d.kill("dc2"); err != nil {
		t.Fatal(err)
	}
	if err := d.restart(ctx, "dc2"); err != nil {
		t.Fatal(err)
	}
	history := &goneWatch{address: live.address}
	history.follow(ctx, t)
	history.check(t, want)
}

// goneWatch is a watch that notes what the events of deletions say, by kind and name.
type goneWatch struct {
	address string
	stream  grpc.ServerStreamingClient[pb.WatchResponse]
	puts    int
	gone    map[string]*pb.Event
	sources []*pb.SourcePosition
}

func (w *goneWatch) follow(ctx context.Context, t *testing.T) {
	t.Helper()
	conn, err := grpc.NewClient(w.address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w.gone = map[string]*pb.Event{}
	w.stream, err = pb.NewWatchServiceClient(conn).Watch(ctx, &pb.WatchRequest{FromRevision: 1, Progress: durationpb.New(time.Second)}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
}

func (w *goneWatch) next(t *testing.T) {
	t.Helper()
	m, err := w.stream.Recv()
	if err != nil {
		t.Fatalf("after %d puts and %v: %v", w.puts, w.gone, err)
	}
	w.sources = m.GetSources()
	for _, e := range m.GetEvents() {
		if e.GetType() == pb.Event_TYPE_DELETE {
			w.gone[fmt.Sprint(e.GetKind(), " ", e.GetName())] = e
		} else {
			w.puts++
		}
	}
}

// check waits for deletions in dc1 at revisions.
func (w *goneWatch) check(t *testing.T, want map[string]uint64) {
	t.Helper()
	for len(w.gone) < len(want) {
		w.next(t)
	}
	for name, revision := range want {
		e := w.gone[name]
		if s := e.GetSource(); s.GetRegion() != "dc1" || e.GetMeta().GetRegion() != "dc1" || s.GetRevision() != revision || s.GetIncarnation() != 1 {
			t.Errorf("%s, deleted in dc1 at %d: %v", name, revision, e)
		}
	}
}

// mark waits for a mark that has come to a revision of a region.
func (w *goneWatch) mark(t *testing.T, region string, revision uint64) *pb.SourcePosition {
	t.Helper()
	for {
		w.next(t)
		at := slices.IndexFunc(w.sources, func(s *pb.SourcePosition) bool { return s.GetRegion() == region && s.GetRevision() >= revision })
		if at >= 0 {
			return w.sources[at]
		}
	}
}
