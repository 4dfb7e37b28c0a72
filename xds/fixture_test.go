package xds

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/registry/access"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(loadEnv); mode != "" {
		runLoad(mode)
		return
	}
	// The gRPC client of the TLS test keeps watching its files after it was closed.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("google.golang.org/grpc/credentials/tls/certprovider/pemfile.(*watcher).run"))
}

// failer is what *testing.T, *testing.B and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// registryOf is a registry in memory that streams its changes as registry/live does.
type registryOf struct {
	mu        sync.Mutex
	view      *registry.View
	revision  uint64
	pending   registry.Changes // for tests that follow by hand
	followers map[*follower]struct{}
}

// follower is one server that follows: what changed since it last looked.
type follower struct {
	changes registry.Changes
	signal  chan struct{}
}

func newRegistry(t failer) *registryOf {
	t.Helper()
	r := &registryOf{view: registry.Empty("dc1"), followers: map[*follower]struct{}{}}
	r.addTenant(t, "default", 1)
	r.addNamespace(t, 1, "default", 1)
	return r
}

func (r *registryOf) addTenant(t failer, name string, id uint32) {
	t.Helper()
	r.put(t, record.Key{Kind: record.KindTenant, Name: name}, id, &pb.Tenant{Name: name})
}

func (r *registryOf) addNamespace(t failer, tenant uint32, name string, id uint32) {
	t.Helper()
	r.put(t, record.Key{Kind: record.KindNamespace, Tenant: tenant, Name: name}, id, &pb.Namespace{Name: name})
}

func (r *registryOf) put(t failer, k record.Key, id uint32, m proto.Message) {
	t.Helper()
	value, err := proto.Marshal(m)
	if err != nil {
		t.Fatalf("marshal: %v", err)
	}
	r.commit(record.Event{Type: record.EventPut, Record: record.Record{
		Key: k, Value: value, Attributes: record.Attributes{Flags: uint64(id)},
	}})
}

// commit applies events as one revision of their shard.
func (r *registryOf) commit(events ...record.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision++
	for i := range events {
		rec := &events[i].Record
		rec.CreateRevision, rec.ModifyRevision, rec.Version = r.revision, r.revision, 1
	}
	next, c := r.view.Next([]record.Commit{{
		Position: record.Position{Shard: events[0].Record.Key.Shard, Revision: r.revision}, Events: events,
	}})
	r.view = next
	r.pending.Merge(c)
	for f := range r.followers {
		f.changes.Merge(c)
		select {
		case f.signal <- struct{}{}:
		default:
		}
	}
}

// write does what an operation of the registry asks for, conditions aside.
func (r *registryOf) write(t failer, op record.Op, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	var events []record.Event
	for _, o := range op.Txn.Then {
		switch o.Type {
		case record.TxnPut:
			events = append(events, record.Event{Type: record.EventPut, Record: record.Record{
				Key: o.Key, Value: o.Value, Attributes: o.Attributes,
			}})
		case record.TxnDelete:
			events = append(events, record.Event{Type: record.EventDelete, Record: record.Record{Key: o.Key, Deleted: true}})
		case record.TxnDeleteRange: // checks: none of these tests' instances has stale ones
		}
	}
	r.commit(events...)
}

func (r *registryOf) View() *registry.View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.view
}

func (r *registryOf) Follow(ctx context.Context, fn func(*registry.View, registry.Changes) error) error {
	f := &follower{changes: registry.Changes{All: true}, signal: make(chan struct{}, 1)}
	r.mu.Lock()
	r.followers[f] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.followers, f)
	}()
	for {
		r.mu.Lock()
		v, c := r.view, f.changes
		f.changes = registry.Changes{}
		r.mu.Unlock()
		if err := fn(v, c); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-f.signal:
		}
	}
}

// register puts an instance of a service; port is also its id.
func (r *registryOf) register(t failer, service string, port int, edit ...func(*pb.Instance)) {
	t.Helper()
	in := &pb.Instance{Service: service, Id: fmt.Sprint(port), Address: "127.0.0.1", Port: uint32(port)}
	for _, e := range edit {
		e(in)
	}
	op, _, err := registry.RegisterOp(r.View(), in, registry.Write{})
	r.write(t, op, err)
}

// imported puts an instance of the region with alias 2, as the import of its records does.
func (r *registryOf) imported(t failer, service string, port int) {
	t.Helper()
	r.put(t, foreignKey(service, port), 0, &pb.Instance{Address: "127.0.0.1", Port: uint32(port)})
}

func (r *registryOf) unimported(service string, port int) {
	r.commit(record.Event{Type: record.EventDelete, Record: record.Record{Key: foreignKey(service, port), Deleted: true}})
}

func foreignKey(service string, port int) record.Key {
	return record.Key{
		Shard: record.ShardData, Tenant: 1, Namespace: 1, Kind: record.KindInstance, Scope: 2, Name: registry.InstanceName(service, fmt.Sprint(port)),
	}
}

func draining(in *pb.Instance) { in.Draining = true }

func (r *registryOf) deregister(t failer, service string, port int) {
	t.Helper()
	op, err := registry.DeregisterOp(r.View(), registry.ServiceOf("", "", service).Instance(fmt.Sprint(port)), registry.Write{})
	r.write(t, op, err)
}

func (r *registryOf) route(t failer, name, host, prefix, service string) {
	t.Helper()
	op, _, err := registry.PutRouteOp(r.View(), &pb.Route{
		Name: name, Hosts: []string{host}, Prefix: prefix, Service: service,
	}, 0, registry.Write{})
	r.write(t, op, err)
}

func (r *registryOf) deleteRoute(t failer, name string) {
	t.Helper()
	op, err := registry.DeleteRouteOp(r.View(), registry.NamespaceOf("", "").Route(name), 0, registry.Write{})
	r.write(t, op, err)
}

func (r *registryOf) define(t failer, s *pb.Service) {
	t.Helper()
	op, _, err := registry.PutServiceOp(r.View(), s, 0, registry.Write{})
	r.write(t, op, err)
}

// everyone may do everything.
func everyone(context.Context) access.Principal {
	return access.Principal{Name: "test", Role: access.RoleDev}
}

// running is a server on a port.
type running struct {
	*Server
	address string
	stop    func()
}

func testConfig(r *registryOf) Config {
	cfg := Config{Views: r, Region: "dc1", Node: "n1", Authorize: everyone}
	if os.Getenv("XDS_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return cfg
}

// start runs a server until the test ends.
func start(t testing.TB, r *registryOf, edit ...func(*Config)) *running {
	t.Helper()
	cfg := testConfig(r)
	for _, e := range edit {
		e(&cfg)
	}
	return startWith(t, cfg)
}

func startWith(t testing.TB, cfg Config, options ...grpc.ServerOption) *running {
	t.Helper()
	s := New(cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(append(ServerOptions(), options...)...)
	s.Register(g)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	parts.Go(func() {
		if err := g.Serve(l); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	stop := sync.OnceFunc(func() { cancel(); g.Stop(); parts.Wait() })
	t.Cleanup(stop)
	eventually(t, "the first view", s.publisher.ready)
	return &running{Server: s, address: l.Addr().String(), stop: stop}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func dial(t testing.TB, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
