package server

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/region"
	"supercluster/registry/live"
)

// realNode is a server over a real region of one node: log, disk and view as in `dev`.
func realNode(t testing.TB) *harness {
	t.Helper()
	raft, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r, err := region.New(region.Config{
		Region: "dc1", Node: "n1", Members: map[string]string{"n1": raft.Addr().String()}, DataDir: t.TempDir(), Listener: raft,
		GRPC: "127.0.0.1:8502", Dev: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	views := live.New(live.Config{Source: r, Region: "dc1"})
	h := &harness{}
	h.Server, err = New(Config{Region: r, Views: views, Principal: Dev(), RegionName: "dc1", Node: "n1", Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.Run(ctx) }()
	go func() { done <- views.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("a part ended with %v", err)
			}
		}
	})
	for _, ready := range []<-chan struct{}{r.Ready(), views.Ready()} {
		select {
		case <-ready:
		case <-time.After(20 * time.Second):
			t.Fatal("the node is not ready after 20 s")
		}
	}
	h.serve(t)
	return h
}

// One node, everything real behind the API: what a newcomer does in the first minutes.
func TestIntegration_OneNode(t *testing.T) {
	h, ctx := realNode(t), t.Context()
	in := h.register(t, "web", "", "127.0.0.1", 9001)
	look, err := h.registry.Lookup(ctx, &pb.LookupRequest{Service: "web"})
	if err != nil || len(look.GetEndpoints()) != 1 || look.GetHeader().GetRevision() < in.GetMeta().GetModifyRevision() {
		t.Fatalf("lookup right after register: %v, %v", look, err)
	}
	stream := h.startWatch(t, &pb.WatchRequest{Kind: pb.Kind_KIND_CONFIG, FromRevision: in.GetMeta().GetModifyRevision() + 1})
	var last uint64
	for i := range 50 {
		last = h.put(t, fmt.Sprintf("app/%02d", i), "v").GetHeader().GetRevision()
	}
	seen := uint64(0)
	for seen < last {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if seen != 0 && !m.GetProgress() && m.GetRevision() != seen+1 {
			t.Fatalf("a gap: %d after %d", m.GetRevision(), seen)
		}
		seen = m.GetRevision()
	}
	var names int
	for token, more := "", true; more; more = token != "" {
		page, err := h.config.ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: "app/", PageSize: 20, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		names, token = names+len(page.GetConfigs()), page.GetNextPageToken()
	}
	if names != 50 {
		t.Errorf("pages show %d entries, want 50", names)
	}
	st, err := h.cluster.GetStatus(ctx, &pb.GetStatusRequest{})
	if err != nil || st.GetLeader() != "n1" || st.GetRevision() < last || st.GetRegionId() == "00000000000000000000000000000000" {
		t.Errorf("status %v, %v", st, err)
	}
	members, err := h.cluster.ListMembers(ctx, &pb.ListMembersRequest{})
	if err != nil || len(members.GetMembers()) != 1 || !members.GetMembers()[0].GetAlive() {
		t.Errorf("members %v, %v", members, err)
	}
}

func TestIntegration_HistoryCompactionDrain(t *testing.T) {
	h, ctx := realNode(t), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	h.put(t, "a", "2")
	current := h.put(t, "a", "3").GetHeader().GetRevision()
	if _, err := h.cluster.Compact(ctx, &pb.CompactRequest{Revision: current}); err != nil {
		t.Fatal(err)
	}
	_, err := h.startWatch(t, &pb.WatchRequest{FromRevision: first}).Recv()
	if e := wantFault(t, err, fault.Compacted, ""); e.Revision == 0 {
		t.Error("the refusal does not say from where a watch could go on")
	}
	// The versions of an entry outlive compaction.
	if _, err := h.config.RollbackConfig(ctx, &pb.RollbackConfigRequest{Name: "a", ToRevision: first}); err != nil {
		t.Errorf("rollback past the compaction: %v", err)
	}
	_, err = h.cluster.Compact(ctx, &pb.CompactRequest{Revision: current + 1000})
	wantFault(t, err, fault.FutureRevision, "revision")
	_, err = h.cluster.Compact(ctx, &pb.CompactRequest{Revision: first})
	wantFault(t, err, fault.Compacted, "revision")

	h.register(t, "web", "a", "10.0.0.1", 80)
	if _, err := h.registry.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: "web", Id: "a", Drain: durationpb.New(200 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		_, err := h.registry.GetService(ctx, &pb.GetServiceRequest{Name: "web"})
		return fault.Is(fromGRPC(err), fault.NotFound)
	})
}

// BenchmarkIntegration is a put and a local get over TCP with everything real behind them.
func BenchmarkIntegration(b *testing.B) {
	h := realNode(b)
	h.put(b, benchGet.GetName(), string(benchPut.GetConfig().GetValue()))
	conn, err := grpc.NewClient(h.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client := pb.NewConfigServiceClient(conn)
	for _, bb := range []struct {
		name string
		call func(context.Context) error
	}{
		{"get-local", func(ctx context.Context) error { _, err := client.GetConfig(ctx, benchGet); return err }},
		{"get-linearizable", func(ctx context.Context) error {
			_, err := client.GetConfig(ctx, &pb.GetConfigRequest{Name: benchGet.GetName()})
			return err
		}},
		{"put", func(ctx context.Context) error { _, err := client.PutConfig(ctx, benchPut); return err }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			before := cpuTime(b)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := bb.call(b.Context()); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((cpuTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}
