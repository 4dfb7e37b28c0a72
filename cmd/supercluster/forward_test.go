package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/internal/procs"
	"supercluster/region/record"
)

// regionClient is what a client of one region has.
type regionClient struct {
	config   pb.ConfigServiceClient
	registry pb.RegistryServiceClient
}

// startRegions runs `dev --regions` in this process, with flags as dev takes them.
func startRegions(t *testing.T, n int, flags map[string][]string) (*devRegions, []regionClient) {
	t.Helper()
	var logs lockedBuffer
	var d *devRegions
	for attempt := 1; ; attempt++ {
		offset := 3_600 + rand.IntN(200)*100 // from 12,000, below the ports of connections
		var err error
		if d, err = newDevRegions(flags, n, offset, 0, t.TempDir(), &logs); err != nil {
			t.Fatal(err)
		}
		if claimPorts(t, d) != nil && attempt < 20 {
			continue
		}
		admin, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ready, done := make(chan struct{}), make(chan error, 1)
		go func() { done <- d.run(ctx, admin, func() { close(ready) }) }()
		select {
		case <-ready:
			t.Cleanup(func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if t.Failed() {
					t.Log(logs.String())
				}
			})
		case err := <-done: // a port was in use, most likely
			cancel()
			if attempt >= 20 {
				t.Fatalf("%v\n%s", err, logs.String())
			}
			continue
		}
		break
	}
	var all []regionClient
	for _, r := range d.all {
		conn, err := grpc.NewClient(r.config.Listen.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		all = append(all, regionClient{pb.NewConfigServiceClient(conn), pb.NewRegistryServiceClient(conn)})
	}
	return d, all
}

// claimPorts keeps what the regions listen on from other tests, also while a region is down.
func claimPorts(t *testing.T, d *devRegions) error {
	var ports []int
	for _, r := range d.all {
		l := r.config.Listen
		for _, addr := range []string{l.HTTP, l.GRPC, l.DNS, l.Raft, l.Probe, l.Federation} {
			_, text, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatal(err)
			}
			port, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			ports = append(ports, port)
		}
	}
	return procs.ClaimPorts(ports...)
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func (c regionClient) put(ctx context.Context, name, value, id string) (*pb.WriteHeader, error) {
	r, err := c.config.PutConfig(ctx, &pb.PutConfigRequest{
		Config: &pb.Config{Name: name, Value: []byte(value)}, Options: &pb.WriteOptions{RequestId: id, SeenRevision: 1 << 40},
	})
	return r.GetHeader(), status.FromGRPC(err)
}

// putUntil is put again and again while the link to the home is not up.
func (c regionClient) putUntil(ctx context.Context, t *testing.T, name, value, id string) *pb.WriteHeader {
	t.Helper()
	for {
		h, err := c.put(within(t, 2*time.Second), name, value, id)
		if err == nil {
			return h
		}
		if kind := fault.KindOf(err); !kind.Retryable() && kind != fault.Deadline || ctx.Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (c regionClient) get(ctx context.Context, name string, o *pb.ReadOptions) (*pb.GetConfigResponse, error) {
	r, err := c.config.GetConfig(ctx, &pb.GetConfigRequest{Name: name, Read: o})
	return r, status.FromGRPC(err)
}

func requireKind(t *testing.T, err error, kind fault.Kind, texts ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Fatalf("error %v, want %s", err, kind)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q lacks %q", err, text)
		}
	}
}

// TestRegions_Forward takes writes from dc2 and dc3 to their home dc1 and back, also while dc1 is away.
func TestRegions_Forward(t *testing.T) {
	d, c := startRegions(t, 3, nil)
	dc1, dc2, dc3 := c[0], c[1], c[2]
	ctx := within(t, time.Minute)

	dc2.putUntil(ctx, t, "up", "1", "up-2")
	dc3.putUntil(ctx, t, "up", "1", "up-3")

	// Read your writes, in any region, with the token.
	for i := range 20 {
		name, value := fmt.Sprintf("app/%d", i), fmt.Sprint(i)
		h, err := dc2.put(ctx, name, value, "")
		if err != nil || h.GetRegion() != "dc1" || !h.GetForwarded() {
			t.Fatal(h, err)
		}
		for _, r := range c {
			got, err := r.get(ctx, name, &pb.ReadOptions{Session: h.GetSessionToken()})
			if err != nil || string(got.GetConfig().GetValue()) != value {
				t.Fatal(got, err)
			}
			if s := got.GetConfig().GetSource(); s.GetRegion() != "dc1" || s.GetRevision() != h.GetRevision() || s.GetAge().AsDuration() > time.Minute {
				t.Errorf("source %v of revision %d", s, h.GetRevision())
			}
		}
	}
	// A token whose revision changed nothing of what is read: an idle channel covers it too.
	svc, err := dc3.registry.PutService(ctx, &pb.PutServiceRequest{Service: &pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_GRPC}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dc2.get(ctx, "app/1", &pb.ReadOptions{Session: svc.GetHeader().GetSessionToken()}); err != nil {
		t.Error(err)
	}

	// The same request id runs once, whichever region it is sent to.
	first, err := dc2.put(ctx, "once", "1", "id-1")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []regionClient{dc2, dc3, dc1} {
		again, err := r.put(ctx, "once", "1", "id-1")
		if err != nil || !again.GetDuplicate() || again.GetRevision() != first.GetRevision() {
			t.Errorf("%v, %v; first was %v", again, err, first)
		}
	}
	home := &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME}
	if got, err := dc3.get(ctx, "once", home); err != nil || got.GetConfig().GetMeta().GetVersion() != 1 || got.GetHeader().GetRegion() != "dc1" {
		t.Errorf("%v, %v", got, err)
	}
	if author, err := dc1.get(ctx, "once", nil); err != nil || author.GetConfig().GetAuthor() != "dev@dc2" {
		t.Errorf("%v, %v", author, err)
	}

	// dc3 takes dc2 for the home of odd/: dc2 says that it is not, and asks nobody.
	p := d.all[2].running()
	tenant, namespace, err := defaultIDs(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	id := d.all[1].running().identity.RegionID
	if _, err := p.federation.Place(ctx, federation.Tenant{ID: tenant, UID: p.identity.RegionID, Name: "default"}, namespace,
		&pb.Placement{Namespace: "default", Prefix: "odd/", Home: fmt.Sprintf("%x", id)}, false, record.Writer{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	for p.federation.Home(tenant, namespace, "odd/a").Region != id { // soon
		time.Sleep(time.Millisecond)
	}
	_, err = dc3.put(ctx, "odd/a", "1", "")
	requireKind(t, err, fault.NotHome, "dc1")
}

func TestRegions_HomeIsAway(t *testing.T) {
	d, c := startRegions(t, 2, nil)
	dc2 := c[1]
	ctx := within(t, time.Minute)
	h := dc2.putUntil(ctx, t, "a", "1", "id-1")
	if _, err := dc2.get(ctx, "a", &pb.ReadOptions{Session: h.GetSessionToken()}); err != nil {
		t.Fatal(err)
	}
	// A copy has no age before each channel of its region was heard of once.
	for got, err := dc2.get(ctx, "a", nil); got.GetConfig().GetSource().GetAge() == nil; got, err = dc2.get(ctx, "a", nil) {
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := d.setCut("dc1", "dc2", true); err != nil {
		t.Fatal(err)
	}
	// A write that is under way when the link goes may have been applied. Soon the link is known to be gone.
	deadline := time.Now().Add(30 * time.Second)
	var err error
	for {
		_, err = dc2.put(within(t, 2*time.Second), "a", "2", "")
		if fault.Is(err, fault.Unavailable) {
			break
		}
		if kind := fault.KindOf(err); kind != fault.OutcomeUnknown && kind != fault.Deadline || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	requireKind(t, err, fault.Unavailable, `"dc1"`, "reading")
	// Everything of its own goes on.
	if _, err := dc2.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: &pb.Instance{Service: "web", Address: "10.0.0.1", Port: 80}}); err != nil {
		t.Error(err)
	}
	got, err := dc2.get(ctx, "a", nil)
	if err != nil || string(got.GetConfig().GetValue()) != "1" || got.GetConfig().GetSource().GetAge().AsDuration() < time.Second {
		t.Errorf("%v, %v", got, err)
	}
	bounded := &pb.ReadOptions{MaxAge: durationpb.New(100 * time.Millisecond)}
	_, err = dc2.get(ctx, "a", bounded)
	requireKind(t, err, fault.Unavailable, `"dc1"`, "old")
	bounded.Forward = true
	_, err = dc2.get(ctx, "a", bounded)
	requireKind(t, err, fault.Unavailable, `"dc1"`)
	if err := d.setCut("", "", false); err != nil {
		t.Fatal(err)
	}
	dc2.putUntil(ctx, t, "a", "3", "id-3")
	// What was given up while the link was cut came before this, on the same stream, and was not applied.
	home := &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_HOME}
	if got, err := dc2.get(ctx, "a", home); err != nil || string(got.GetConfig().GetValue()) != "3" || got.GetConfig().GetMeta().GetVersion() != 2 {
		t.Errorf("%v, %v", got, err)
	}
}
