package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/fault"
	"supercluster/registry"
)

// line shows a message in one line.
func line(m *pb.WatchResponse) string {
	var b strings.Builder
	if m.GetProgress() {
		return "progress"
	}
	for i, e := range m.GetEvents() {
		if i > 0 {
			b.WriteString(" ")
		}
		fmt.Fprintf(&b, "%s %s %s", strings.TrimPrefix(e.GetType().String(), "TYPE_"), strings.TrimPrefix(e.GetKind().String(), "KIND_"), e.GetName())
		if c := e.GetConfig(); c != nil {
			fmt.Fprintf(&b, "=%s", c.GetValue())
		}
		if p := e.GetPreviousConfig(); p != nil {
			fmt.Fprintf(&b, " was %s", p.GetValue())
		}
	}
	return b.String()
}

func (h *harness) startWatch(t *testing.T, req *pb.WatchRequest) grpc.ServerStreamingClient[pb.WatchResponse] {
	t.Helper()
	stream, err := h.watch.Watch(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func receive(t *testing.T, stream grpc.ServerStreamingClient[pb.WatchResponse], want ...string) []*pb.WatchResponse {
	t.Helper()
	var all []*pb.WatchResponse
	for _, w := range want {
		m, err := stream.Recv()
		if err != nil {
			t.Fatalf("waiting for %q: %v", w, err)
		}
		if got := line(m); got != w {
			t.Fatalf("received %q, want %q", got, w)
		}
		all = append(all, m)
	}
	return all
}

func TestWatch_HistoryThenLive(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	first := h.put(t, "app/a", "1").GetHeader().GetRevision()
	h.put(t, "app/a", "2")
	h.put(t, "zoo", "x")
	stream := h.startWatch(t, &pb.WatchRequest{Kind: pb.Kind_KIND_CONFIG, Prefix: "app/", FromRevision: first, Previous: true})
	got := receive(t, stream, "PUT CONFIG app/a=1", "PUT CONFIG app/a=2 was 1")
	if got[0].GetRevision() != first || got[1].GetRevision() != first+1 || got[0].GetTime() == nil || got[1].GetEvents()[0].GetMeta().GetVersion() != 2 {
		t.Errorf("%v", got)
	}
	if _, err := h.config.DeleteConfig(ctx, &pb.DeleteConfigRequest{Name: "app/a"}); err != nil {
		t.Fatal(err)
	}
	receive(t, stream, "DELETE CONFIG app/a was 2")
}

// All events of one revision come in one message: a transaction, and a registration with its check.
func TestWatch_OneMessagePerRevision(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	all := h.startWatch(t, &pb.WatchRequest{FromRevision: 1})
	checks := h.startWatch(t, &pb.WatchRequest{FromRevision: 1, Kind: pb.Kind_KIND_CHECK})
	put := func(name string) *pb.TxnOp {
		return &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: name, Value: []byte("v")}}}
	}
	if _, err := h.config.Txn(ctx, &pb.TxnRequest{Then: []*pb.TxnOp{put("a"), put("b")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{
		Service: "web", Id: "i", Address: "10.0.0.1", Port: 80, Checks: []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TCP}},
	}}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.registry.PutRoute(ctx, &pb.PutRouteRequest{Route: &pb.Route{Name: "r", Hosts: []string{"*"}, Service: "web"}}); err != nil {
		t.Fatal(err)
	}
	got := receive(t, all, "PUT CONFIG a=v PUT CONFIG b=v", "PUT INSTANCE web/i PUT CHECK web/i/tcp", "PUT ROUTE r")
	if in := got[1].GetEvents()[0].GetInstance(); in.GetPort() != 80 {
		t.Errorf("the instance in the event: %v", in)
	}
	receive(t, checks, "PUT CHECK web/i/tcp")
}

// "From now" means after what was acknowledged when the watch began, and other namespaces are not shown.
func TestWatch_FromNow(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	if _, err := h.tenants.CreateNamespace(ctx, &pb.CreateNamespaceRequest{Namespace: &pb.Namespace{Name: "blue"}}); err != nil {
		t.Fatal(err)
	}
	before := h.put(t, "a", "old").GetHeader().GetRevision()
	stream := h.startWatch(t, &pb.WatchRequest{Namespace: "blue", Progress: durationpb.New(time.Second)})
	got := receive(t, stream, "progress")
	if got[0].GetRevision() != before {
		t.Errorf("the mark is at %d, want %d", got[0].GetRevision(), before)
	}
	h.put(t, "a", "other namespace")
	if _, err := h.config.PutConfig(ctx, &pb.PutConfigRequest{Config: &pb.Config{Namespace: "blue", Name: "a", Value: []byte("new")}}); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, stream, "PUT CONFIG a=new"); m[0].GetEvents()[0].GetNamespace() != "blue" {
		t.Errorf("%v", m)
	}
	// Changes that the watch does not select still move its marks.
	for range 3 {
		h.put(t, "a", "other namespace")
	}
	mark := receive(t, stream, "progress")
	if mark[0].GetRevision() != before+5 {
		t.Errorf("the mark is at %d, want %d", mark[0].GetRevision(), before+5)
	}
}

func TestWatch_Refusals(t *testing.T) {
	h, ctx := newHarness(t, func(c *Config) { c.Limits.Watches = 2 }), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	h.put(t, "a", "2")
	h.put(t, "a", "3")
	if _, err := h.cluster.Compact(ctx, &pb.CompactRequest{Revision: first + 2}); err != nil {
		t.Fatal(err)
	}
	refused := func(req *pb.WatchRequest) error {
		_, err := h.startWatch(t, req).Recv()
		return err
	}
	if e := wantFault(t, refused(&pb.WatchRequest{FromRevision: first}), fault.Compacted, ""); e.Revision != first+2 {
		t.Errorf("compacted names %d, want %d", e.Revision, first+2)
	}
	wantFault(t, refused(&pb.WatchRequest{Tenant: "none"}), fault.NotFound, "tenant")
	wantFault(t, refused(&pb.WatchRequest{Progress: durationpb.New(time.Millisecond)}), fault.Invalid, "progress")
	wantFault(t, refused(&pb.WatchRequest{Kind: 99}), fault.Invalid, "kind")

	// A watch from the future of this node waits for it.
	ahead := h.startWatch(t, &pb.WatchRequest{FromRevision: first + 4})
	if _, err := ahead.Header(); err != nil { // the watch stands
		t.Fatal(err)
	}
	h.put(t, "a", "skipped")
	h.put(t, "a", "shown")
	receive(t, ahead, "PUT CONFIG a=shown")
	other := h.startWatch(t, &pb.WatchRequest{FromRevision: first + 4})
	receive(t, other, "PUT CONFIG a=shown")
	wantFault(t, refused(&pb.WatchRequest{}), fault.Busy, "")
}

// A client that never reads is ended with the revision to resume from, and costs the server nothing afterwards.
func TestWatch_AClientThatNeverReads(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Limits.SendTimeout = 300 * time.Millisecond })
	conn, err := grpc.NewClient(h.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := pb.NewWatchServiceClient(conn).Watch(ctx, &pb.WatchRequest{FromRevision: 1})
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 50_000)
	first := h.put(t, "a", big).GetHeader().GetRevision()
	for range 40 {
		h.put(t, "a", big)
	}
	eventually(t, func() bool {
		h.watches.mu.Lock()
		defer h.watches.mu.Unlock()
		return len(h.watches.open) == 0
	})
	// When it reads at last, it gets what was under way, without a gap, and the reason.
	last := first - 1
	for {
		m, err := stream.Recv()
		if err == nil {
			if m.GetRevision() != last+1 {
				t.Fatalf("a gap: %d after %d", m.GetRevision(), last)
			}
			last = m.GetRevision()
			continue
		}
		e := wantFault(t, err, fault.SlowConsumer, "")
		if e.Revision <= first || e.Revision > last+1 {
			t.Errorf("resume from %d, received up to %d", e.Revision, last)
		}
		break
	}
}

// Where a region was put back in time, a resume point of the life that was lost is refused; one without an incarnation is
// judged by its revision alone, as ever.
func TestWatch_OfAnotherIncarnation(t *testing.T) {
	h, _, x, _ := pair(t)
	first := h.put(t, "a", "1").GetHeader()
	read, err := h.config.GetConfig(t.Context(), &pb.GetConfigRequest{Name: "a"})
	if err != nil || first.GetIncarnation() != 1 || read.GetHeader().GetIncarnation() != 1 || read.GetConfig().GetSource().GetIncarnation() != 1 {
		t.Fatalf("written in %d, read in %v: %v", first.GetIncarnation(), read, err)
	}
	from := func(incarnation uint64) *pb.WatchRequest {
		return &pb.WatchRequest{FromRevision: first.GetRevision(), FromIncarnation: incarnation}
	}
	lived, plain := h.startWatch(t, from(1)), h.startWatch(t, from(0))
	for _, s := range []grpc.ServerStreamingClient[pb.WatchResponse]{lived, plain} {
		if m := receive(t, s, "PUT CONFIG a=1")[0]; m.GetIncarnation() != 1 || m.GetEvents()[0].GetConfig().GetName() != "a" {
			t.Errorf("received %v", m)
		}
	}
	x.mint()
	_, err = lived.Recv()
	if e := wantFault(t, err, fault.Compacted, ""); !strings.Contains(e.Hint, "read the current state") {
		t.Errorf("the hint: %s", e.Hint)
	}
	h.put(t, "a", "2")
	if m := receive(t, plain, "PUT CONFIG a=2")[0]; m.GetIncarnation() != 2 {
		t.Errorf("it is of incarnation %d", m.GetIncarnation())
	}
	for _, dead := range []uint64{1, 3} { // 3: a life that this region does not know of any more
		_, err = h.startWatch(t, from(dead)).Recv()
		wantFault(t, err, fault.Compacted, "")
		resp, err := h.client.Get(fmt.Sprintf("%s/api/v1/watch?from_revision=%d&from_incarnation=%d", h.url, first.GetRevision(), dead))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusGone {
			t.Errorf("over HTTP: %s", resp.Status)
		}
	}
	receive(t, h.startWatch(t, from(2)), "PUT CONFIG a=1", "PUT CONFIG a=2")
	receive(t, h.startWatch(t, from(0)), "PUT CONFIG a=1", "PUT CONFIG a=2")
	_, err = h.startWatch(t, &pb.WatchRequest{FromIncarnation: 2}).Recv()
	wantFault(t, err, fault.Invalid, "from_incarnation")
}

func TestWatch_EndsWhenTheNodeStops(t *testing.T) {
	h := &harness{region: newFakeRegion(t)}
	h.views = &fakeViews{r: h.region}
	s, err := New(Config{Region: h.region, Views: h.views, Principal: Dev(), RegionName: "dc1", Node: "n1"})
	if err != nil {
		t.Fatal(err)
	}
	grpcAddr, _, stop := runServer(t, s)
	conn, err := grpc.NewClient(grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	h.config, h.watch = pb.NewConfigServiceClient(conn), pb.NewWatchServiceClient(conn)
	rev := h.put(t, "a", "1").GetHeader().GetRevision()
	stream := h.startWatch(t, &pb.WatchRequest{FromRevision: rev})
	receive(t, stream, "PUT CONFIG a=1")
	begin := time.Now()
	stop()
	_, err = stream.Recv()
	if e := wantFault(t, err, fault.Unavailable, ""); e.Revision != rev+1 {
		t.Errorf("resume from %d, want %d", e.Revision, rev+1)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the stop took %s", took)
	}
}

func TestWatch_OverHTTP(t *testing.T) {
	h := newHarness(t)
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/api/v1/watch?kind=KIND_CONFIG&from_revision=%d", h.url, first), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "application/x-ndjson" || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s", resp.Status, ct)
	}
	lines := bufio.NewScanner(resp.Body)
	next := func() (m struct {
		Events []struct {
			Type   string
			Name   string
			Config struct{ Value []byte }
		}
		Revision string
	},
	) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		return m
	}
	if m := next(); m.Events[0].Name != "a" || string(m.Events[0].Config.Value) != "1" || m.Revision != fmt.Sprint(first) {
		t.Errorf("first line %+v", m)
	}
	h.put(t, "b", "2") // flushed at once
	if m := next(); m.Events[0].Name != "b" {
		t.Errorf("second line %+v", m)
	}
}

func TestWatch_OverHTTP_Errors(t *testing.T) {
	h, ctx := newHarness(t), t.Context()
	first := h.put(t, "a", "1").GetHeader().GetRevision()
	h.put(t, "a", "2")
	if _, err := h.cluster.Compact(ctx, &pb.CompactRequest{Revision: first + 1}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"from_revision=1":   `410 {"kind":"compacted"`,
		"tenant=none":       `404 {"kind":"not-found"`,
		"form_revision=1":   `400 {"kind":"invalid"`,
		"from_revision=abc": `400 {"kind":"invalid"`,
		"kind=KIND_NONE":    `400 {"kind":"invalid"`,
	} {
		resp, err := h.client.Get(h.url + "/api/v1/watch?" + query)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := fmt.Sprintf("%d %s", resp.StatusCode, body); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

// Over HTTP a client that never reads is ended by the deadline of the write.
func TestWatch_OverHTTP_AClientThatNeverReads(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Limits.SendTimeout = 300 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /api/v1/watch?from_revision=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 200_000)
	for range 60 {
		h.put(t, "a", big)
	}
	eventually(t, func() bool {
		h.watches.mu.Lock()
		defer h.watches.mu.Unlock()
		return len(h.watches.open) == 0
	})
}

// The time that a request may take to arrive does not end a watch, and the head of the answer comes before events.
func TestWatch_OverHTTP_OutlivesTheRequestTimeout(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Limits.RequestTimeout = 200 * time.Millisecond })
	resp, err := h.client.Get(h.url + "/api/v1/watch?progress=1s")
	if err != nil {
		t.Fatal(err) // without a head the client would wait for the first mark
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for range 2 {
		if !lines.Scan() || !strings.Contains(lines.Text(), `"progress":true`) {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
	}
}

// A request that does not arrive in time is ended.
func TestHTTP_SlowRequests(t *testing.T) {
	h := newHarness(t, func(c *Config) { c.Limits.RequestTimeout = 200 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PUT /api/v1/config/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 504 ") || !strings.Contains(string(answer), `{"kind":"deadline","message":"the request did not arrive in time"`) {
		t.Errorf("%q, %v", answer, err)
	}
}

// Nodes are of no namespace: a watch of them counts in revisions of the system shard.
func TestWatch_Nodes(t *testing.T) {
	h := newHarness(t)
	h.put(t, "a", "1")
	stream := h.startWatch(t, &pb.WatchRequest{Kind: pb.Kind_KIND_NODE})
	if _, err := stream.Header(); err != nil { // the watch stands
		t.Fatal(err)
	}
	op, err := registry.PutNodeOp(&pb.Node{Name: "n2", Replica: 2, GrpcAddress: "10.0.0.2:8502"}, registry.Write{})
	if err != nil {
		t.Fatal(err)
	}
	res, err := h.region.Propose(t.Context(), op)
	if err != nil {
		t.Fatal(err)
	}
	got := receive(t, stream, "PUT NODE n2")
	if got[0].GetRevision() != res.Revision || got[0].GetEvents()[0].GetNode().GetGrpcAddress() != "10.0.0.2:8502" || got[0].GetEvents()[0].GetTenant() != "" {
		t.Errorf("%v", got)
	}
}

// Heads of requests are bounded on both listeners.
func TestHeaders_AreBounded(t *testing.T) {
	h := newHarness(t)
	big := strings.Repeat("x", maxHeaderBytes+8192)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-big", big)
	if _, err := h.cluster.GetStatus(ctx, &pb.GetStatusRequest{}); err == nil {
		t.Error("gRPC took a header of 72 KiB")
	}
	if a := h.do(t, "GET", "/healthz", "", "X-Big: "+big); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("HTTP took a header of 72 KiB: %d", a.status)
	}
}
