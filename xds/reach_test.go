package xds

import (
	"fmt"
	"sync"
	"testing"
	"time"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation/plan"
	"supercluster/region/record"
	"supercluster/registry"
	"supercluster/xds/ir"
)

// reaches is what is known of the regions, as tests set it.
type reaches struct {
	mu      sync.Mutex
	reach   *plan.Reach
	changed chan struct{}
}

func newReaches() *reaches { return &reaches{changed: make(chan struct{})} }

func (r *reaches) Reach() *plan.Reach {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reach
}

func (r *reaches) ReachChanged() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

func (r *reaches) set(next *plan.Reach) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reach = next
	close(r.changed)
	r.changed = make(chan struct{})
}

// reachOf gives regions with the aliases 2, 3, ... their states; the lower costs less.
func reachOf(states ...plan.State) *plan.Reach {
	r := &plan.Reach{}
	for n, s := range states {
		r.Regions = append(r.Regions, plan.RegionReach{ID: [16]byte{byte(n + 2)}, State: s, Cost: time.Duration(n+1) * time.Millisecond})
	}
	return r
}

// peers writes the records of regions dc2, dc3, ... with the aliases 2, 3, ...
func (r *registryOf) peers(t failer, n int) {
	t.Helper()
	for alias := 2; alias < 2+n; alias++ {
		r.put(t, registry.RegionRecordKey([16]byte{byte(alias)}), uint32(alias), &pb.Region{Name: fmt.Sprintf("dc%d", alias)})
	}
}

// importedFrom puts an instance of the region with an alias.
func (r *registryOf) importedFrom(t failer, alias uint32, service string, port int, edit ...func(*pb.Instance)) {
	t.Helper()
	k := foreignKey(service, port)
	k.Scope = alias
	in := &pb.Instance{Address: "127.0.0.1", Port: uint32(port)}
	for _, e := range edit {
		e(in)
	}
	r.put(t, k, 0, in)
}

// checkedFrom puts the check of such an instance, and its status.
func (r *registryOf) checkedFrom(t failer, alias uint32, service string, port int, h pb.Health) {
	t.Helper()
	k := foreignKey(service, port)
	k.Scope, k.Kind, k.Name = alias, record.KindCheck, registry.CheckName(service, fmt.Sprint(port), "tcp")
	r.put(t, k, 0, &pb.Check{Type: pb.CheckType_CHECK_TYPE_TCP})
	k.Kind = record.KindCheckStatus
	r.put(t, k, 0, &pb.CheckStatus{Health: h})
}

const (
	up, suspect, away = plan.StateUp, plan.StateSuspect, plan.StateAway
)

// Real clients follow the order of regions, and nobody rejects anything.
func TestReach_ClientsFollow(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	r.peers(t, 2)
	two, three := runBackend(t, "two"), runBackend(t, "three")
	r.importedFrom(t, 2, "web", two.port)
	r.importedFrom(t, 3, "web", three.port)
	grpcTwo, grpcThree := grpcBackend(t), grpcBackend(t)
	r.importedFrom(t, 2, "greeter", grpcTwo)
	r.importedFrom(t, 3, "greeter", grpcThree)
	r.route(t, "shop", "shop.example", "/", "web")
	known := newReaches()
	known.set(reachOf(up, up))
	s := start(t, r, func(c *Config) { c.Reaches = known })
	e, c := runEnvoy(t, s.address), grpcClient(t, "greeter", s.address)
	follow := func(what, body string, port int) {
		t.Helper()
		eventually(t, what, func() bool {
			for range 10 {
				code, got := e.get("shop.example", "/")
				p, err := call(c)
				if code != 200 || got != body+" /" || err != nil || p != port {
					return false
				}
			}
			return true
		})
	}
	follow("the nearer region", "two", grpcTwo)
	known.set(reachOf(away, up))
	follow("it is away", "three", grpcThree)
	known.set(reachOf(suspect, up))
	follow("it is heard of again, not all is well", "two", grpcTwo)
	island := reachOf(away, up)
	island.Island = true
	known.set(island)
	s.acknowledged(t)
	follow("this region is an island: nobody is demoted", "two", grpcTwo)
	known.set(reachOf(away, away))
	follow("all are away: the order stays, nobody is withdrawn", "two", grpcTwo)
	requireNoNacks(t, s)
}

// One healthy endpoint keeps its tier: what fails beside it sends nobody to another region.
func TestEnvoy_AFailingTierKeepsItsRequests(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	r.peers(t, 1)
	here, there := runBackend(t, "here"), runBackend(t, "there")
	r.register(t, "web", here.port)
	for n := range 9 {
		r.register(t, "web", 1+n, func(in *pb.Instance) { in.Checks = []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TCP}} })
	}
	r.importedFrom(t, 2, "web", there.port)
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)
	eventually(t, "the first answer", func() bool { code, _ := e.get("shop.example", "/"); return code == 200 })
	for range 200 {
		if code, body := e.get("shop.example", "/"); code != 200 || body != "here /" {
			t.Fatalf("%d %s", code, body)
		}
	}
	if n := there.hits.Load(); n != 0 {
		t.Errorf("the other region got %d requests", n)
	}
}

// The second retry leaves the region: the endpoints of the first tier are gone before the registry knows.
func TestEnvoy_RetriesInAnotherRegion(t *testing.T) {
	envoyBinary(t)
	r := newRegistry(t)
	r.peers(t, 1)
	there := runBackend(t, "there")
	r.register(t, "web", freePort(t))
	r.register(t, "web", freePort(t))
	r.importedFrom(t, 2, "web", there.port)
	r.route(t, "shop", "shop.example", "/", "web")
	s := start(t, r)
	e := runEnvoy(t, s.address)
	eventually(t, "the first answer", func() bool { code, _ := e.get("shop.example", "/"); return code != 0 && code != 404 })
	for range 50 {
		if code, body := e.get("shop.example", "/"); code != 200 || body != "there /" {
			t.Fatalf("%d %s", code, body)
		}
	}
}

// Weights hold for gRPC clients too, which spread evenly within a locality.
func TestGRPC_Weights(t *testing.T) {
	r := newRegistry(t)
	heavy, light, plain := grpcBackend(t), grpcBackend(t), grpcBackend(t)
	for port, weight := range map[int]uint32{heavy: 300, light: 50, plain: 50} {
		r.register(t, "greeter", port, func(in *pb.Instance) { in.Weight = weight })
	}
	s := start(t, r)
	c := grpcClient(t, "greeter", s.address)
	all := map[int]bool{}
	eventually(t, "all are used", func() bool {
		port, err := call(c)
		all[port] = err == nil
		return len(all) == 3
	})
	got := map[int]int{}
	const calls = 4000
	for range calls {
		port, err := call(c)
		if err != nil {
			t.Fatal(err)
		}
		got[port]++
	}
	for port, want := range map[int]float64{heavy: 0.75, light: 0.125, plain: 0.125} {
		if part := float64(got[port]) / calls; part < want*0.85 || part > want*1.15 {
			t.Errorf("%.3f of the calls, want %.3f", part, want)
		}
	}
}

// updates takes what a client is sent of a cluster's endpoints, acknowledging each at once, and counts it.
func (d *driver) updates(cluster string) int {
	d.t.Helper()
	n := 0
	for a := d.next(); a != nil; a = d.next() {
		if _, ok := a.bodies[cluster]; ok && a.kind == eds {
			n++
		}
		d.ack(a.kind)
	}
	return n
}

// A region that comes back is at most two updates of a service's endpoints for each client: what came while it was away,
// and its place. A client that is slow to acknowledge gets no more either.
func TestReach_AReturnIsTwoUpdates(t *testing.T) {
	r := newRegistry(t)
	r.peers(t, 2)
	r.register(t, "web", 1)
	for n := range 20 {
		r.importedFrom(t, 2, "web", 1000+n)
		r.checkedFrom(t, 2, "web", 1000+n, pb.Health_HEALTH_PASSING)
	}
	r.importedFrom(t, 3, "web", 3000)
	b := newBench(t, r)
	b.pub.applyReach(reachOf(away, up))
	envoy, grpc, slow := b.connect(ir.RoleSidecar, true), b.connect(ir.RoleGRPC, false), b.connect(ir.RoleSidecar, true)
	for _, d := range []*driver{envoy, slow} {
		d.send(cds)
		d.send(eds, add("web"))
	}
	grpc.want(eds, "web")
	for _, d := range []*driver{envoy, grpc, slow} {
		if d.updates("web") != 1 {
			t.Fatal("the first endpoints")
		}
	}
	// The link is back: what changed there meanwhile comes in many steps, then the region counts as up.
	got := map[string]int{}
	count := func() {
		got["envoy"] += envoy.updates("web")
		got["grpc"] += grpc.updates("web")
	}
	step := func(n int, h pb.Health) {
		r.checkedFrom(t, 2, "web", 1000+n, h)
		b.publish()
		count()
	}
	for n := range 10 {
		step(n, pb.Health_HEALTH_CRITICAL)
	}
	b.pub.release() // it takes longer than changes are kept back
	count()
	first := slow.expect("endpoint [web]")
	for n := range 5 {
		step(n, pb.Health_HEALTH_PASSING)
	}
	b.pub.applyReach(reachOf(suspect, up))
	count()
	b.pub.applyReach(reachOf(up, up))
	count()
	slow.ack(first.kind)
	got["slow"] = 1 + slow.updates("web")
	for who, n := range got {
		if n != 2 {
			t.Errorf("%s got %d updates, want 2", who, n)
		}
	}
}

// What serves is never kept back: a change of this region, of a region that is not away, or of a service that only those
// serve that are away.
func TestReach_OnlyWhatIsUnusedWaits(t *testing.T) {
	r := newRegistry(t)
	r.peers(t, 2)
	r.register(t, "web", 1)
	r.importedFrom(t, 2, "web", 2000)
	r.importedFrom(t, 3, "web", 3000)
	r.importedFrom(t, 2, "far", 2000)
	b := newBench(t, r)
	b.pub.applyReach(reachOf(away, up))
	d := b.connect(ir.RoleSidecar, true)
	d.send(cds)
	d.send(eds, add("web", "far"))
	d.updates("web")
	steps := []struct {
		what, cluster string
		do            func()
		want          int
	}{
		{"the away region", "web", func() { r.importedFrom(t, 2, "web", 2001) }, 0},
		{"the away region again", "web", func() { r.importedFrom(t, 2, "web", 2000, draining) }, 0},
		{"another region, which takes the others along", "web", func() { r.importedFrom(t, 3, "web", 3001) }, 1},
		{"this region", "web", func() { r.register(t, "web", 2) }, 1},
		{"the away region, beside nobody", "far", func() { r.importedFrom(t, 2, "far", 2001) }, 1},
		{"the away region once more", "web", func() { r.unimported("web", 2001) }, 0},
		{"this region's last healthy instances go", "web", func() {
			r.register(t, "web", 1, draining)
			r.register(t, "web", 2, draining)
			r.importedFrom(t, 3, "web", 3000, draining)
			r.importedFrom(t, 3, "web", 3001, draining)
		}, 1},
		{"so the away region serves", "web", func() { r.importedFrom(t, 2, "web", 2002) }, 1},
	}
	for _, s := range steps {
		s.do()
		b.publish()
		if got := d.updates(s.cluster); got != s.want {
			t.Errorf("%s: %d updates, want %d", s.what, got, s.want)
		}
	}
}

// A change does not wait until all services of a region that goes are planned again: they are owed, and planned in parts.
func TestReach_AChangeGoesBeforeWhatIsOwed(t *testing.T) {
	r := newRegistry(t)
	r.peers(t, 2)
	for n := range 200 {
		service := fmt.Sprint("s", n)
		r.importedFrom(t, 2, service, 2000+n)
		r.importedFrom(t, 3, service, 3000+n)
	}
	b := newBench(t, r)
	b.pub.applyReach(reachOf(up, up))
	d := b.connect(ir.RoleSidecar, true)
	d.send(cds)
	d.send(eds, add("s0", "s7"))
	if n := d.updates("s0"); n == 0 {
		t.Fatal("no endpoints at first")
	}
	planned := b.pub.stats.planned.Load()
	b.pub.moveTo(reachOf(away, up))
	if n := b.pub.stats.planned.Load() - planned; n != 0 || d.updates("s0") != 0 {
		t.Fatalf("%d services were planned at once", n)
	}
	r.importedFrom(t, 3, "s7", 3300)
	b.publish()
	if n := b.pub.stats.planned.Load() - planned; n != 1 || d.updates("s7") != 1 {
		t.Errorf("%d services were planned for a change of one", n)
	}
	b.pub.settle()
	if n := b.pub.stats.planned.Load() - planned; n != 200 || d.updates("s0") != 1 {
		t.Errorf("%d services were planned for a region with 200", n)
	}
	if b.pub.settlePart() {
		t.Error("something is owed still")
	}
}
