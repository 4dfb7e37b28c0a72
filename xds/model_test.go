package xds

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/registry"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

// modelClient behaves as Envoy or a gRPC client does: it keeps what it accepted, follows references from clusters
// to endpoints and from listeners to routes, and answers when it likes.
type modelClient struct {
	*driver
	role     ir.Role
	have     [resources.Types]map[string]string // name -> encoded resource
	versions [resources.Types]map[string]string
	// refused are names in responses that were rejected and not accepted since.
	refused [resources.Types]map[string]bool
	// sour are types whose last response was rejected: what depends on them waits.
	sour   [resources.Types]bool
	inHand []*answer
}

func newModelClient(b *bench, role ir.Role, delta bool) *modelClient {
	c := &modelClient{driver: b.connect(role, delta), role: role}
	for t := range c.have {
		c.have[t], c.versions[t], c.refused[t] = map[string]string{}, map[string]string{}, map[string]bool{}
	}
	c.hello()
	return c
}

// targets are the services that a gRPC client of the model talks to.
var targets = []string{"s0", "s1", "s2"}

// hello sends the first requests of a stream, with what the client already has.
func (c *modelClient) hello() {
	c.inHand = nil
	switch {
	case c.role == ir.RoleGRPC:
		for _, t := range []resources.Type{lds, rds, cds, eds} {
			c.want(t, targets...)
		}
	case c.delta:
		c.send(cds, has(c.versions[cds]))
		c.send(eds, add(sortedKeys(c.have[cds])...), has(c.versions[eds]))
		c.send(lds, has(c.versions[lds]))
		c.send(rds, add(c.routeNames()...), has(c.versions[rds]))
	default:
		c.want(cds)
		c.want(eds, sortedKeys(c.have[cds])...)
		c.want(lds)
		c.want(rds, c.routeNames()...)
	}
}

func (c *modelClient) routeNames() []string {
	if len(c.have[lds]) == 0 {
		return nil
	}
	return []string{resources.RouteName(c.role, "default")}
}

func (c *modelClient) reconnect() {
	c.disconnect()
	fresh := c.bench.connect(c.role, c.delta)
	c.driver = fresh
	c.hello()
}

// take receives one response without answering it.
func (c *modelClient) take() bool {
	a := c.next()
	if a == nil {
		return false
	}
	for _, other := range c.inHand {
		if other.kind == a.kind {
			c.t.Fatalf("%v while %v is not acknowledged", a, other)
		}
	}
	c.inHand = append(c.inHand, a)
	return true
}

func (c *modelClient) reject() {
	a := c.inHand[0]
	c.inHand = c.inHand[1:]
	for _, name := range append(slices.Clone(a.names), a.removed...) {
		c.refused[a.kind][name] = true
	}
	c.sour[a.kind] = true
	c.nack(a.kind)
}

// accept applies the oldest response in hand and acknowledges it.
func (c *modelClient) accept() {
	a := c.inHand[0]
	c.inHand = c.inHand[1:]
	c.sour[a.kind] = false
	full := !c.delta && (a.kind == cds || a.kind == lds)
	if full {
		clear(c.have[a.kind])
		clear(c.refused[a.kind])
	}
	for name, body := range a.bodies {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(body)
		if err != nil {
			c.t.Fatalf("marshal: %v", err)
		}
		c.have[a.kind][name] = string(b)
		delete(c.refused[a.kind], name)
		c.versions[a.kind][name] = a.versions[name]
	}
	for _, name := range a.removed {
		if a.kind == eds {
			c.t.Fatalf("endpoints removed: %v", a)
		}
		delete(c.have[a.kind], name)
		delete(c.versions[a.kind], name)
		delete(c.refused[a.kind], name)
	}
	if a.kind == cds && c.delta {
		c.versions[cds] = onlyKeys(c.versions[cds], c.have[cds])
	}
	c.checkRoutes()
	c.follow(a)
	c.ack(a.kind)
	c.follow2(a)
}

func onlyKeys(m, keys map[string]string) map[string]string {
	maps.DeleteFunc(m, func(k, _ string) bool { _, ok := keys[k]; return !ok })
	return m
}

// follow asks for what a response refers to before it is acknowledged, as Envoy does for clusters that warm.
func (c *modelClient) follow(a *answer) {
	if !c.delta || a.kind != cds {
		return
	}
	var fresh []string
	for _, name := range a.names {
		fresh = append(fresh, name)
		delete(c.refused[eds], name)
	}
	c.send(eds, add(fresh...), drops(a.removed...))
	for _, name := range a.removed {
		delete(c.have[eds], name)
		delete(c.refused[eds], name)
	}
}

// follow2 asks for what a response refers to after it was acknowledged.
func (c *modelClient) follow2(a *answer) {
	if c.role == ir.RoleGRPC {
		return
	}
	if a.kind == cds && !c.delta {
		for name := range c.have[eds] {
			if _, ok := c.have[cds][name]; !ok {
				delete(c.have[eds], name)
				delete(c.refused[eds], name)
			}
		}
		c.want(eds, sortedKeys(c.have[cds])...)
	}
	if a.kind == lds {
		if c.delta {
			c.send(rds, add(c.routeNames()...))
		} else {
			c.want(rds, c.routeNames()...)
		}
	}
}

// checkRoutes is the invariant of make before break: no route refers to a cluster that the client lacks.
func (c *modelClient) checkRoutes() {
	if c.role == ir.RoleGRPC {
		return
	}
	for name, b := range c.have[rds] {
		var rc routev3.RouteConfiguration
		if err := proto.Unmarshal([]byte(b), &rc); err != nil {
			c.t.Fatalf("unmarshal: %v", err)
		}
		for _, vh := range rc.GetVirtualHosts() {
			for _, r := range vh.GetRoutes() {
				cluster := r.GetRoute().GetCluster()
				// A cluster that the client itself rejected is its own loss.
				if cluster != "" && !c.hasCluster(cluster) && !c.refused[cds][cluster] {
					c.t.Fatalf("%s refers to cluster %q; the client has %v", name, cluster, sortedKeys(c.have[cds]))
				}
			}
		}
	}
}

// finish takes and accepts everything, then compares with what is published.
func (c *modelClient) finish() {
	for len(c.inHand) > 0 || c.take() {
		for len(c.inHand) > 0 {
			c.accept()
		}
	}
	if c.rejectedAny() {
		c.reconnect() // nothing rejected is sent again before it changes; a new stream gets it all
		for t := range c.refused {
			clear(c.refused[t])
			c.sour[t] = false
		}
		for c.take() {
			c.accept()
		}
	}
	for t := range c.have {
		c.compare(resources.Type(t))
	}
}

func (c *modelClient) rejectedAny() bool {
	for t := range c.refused {
		if len(c.refused[t]) > 0 || c.sour[t] {
			return true
		}
	}
	return false
}

func (c *modelClient) compare(t resources.Type) {
	want := map[string]string{}
	for name, e := range c.s.space.tables[t].entries {
		if e.exists && c.s.watches[t].wants(e) || t == eds && len(c.have[cds]) > 0 && c.hasCluster(name) {
			want[name] = string(bodyOf(c.t, e.res))
		}
	}
	have := c.have[t]
	if t == eds || t == rds && c.role == ir.RoleGRPC { // what is gone is never removed there
		have = maps.Clone(have)
		maps.DeleteFunc(have, func(name, _ string) bool { _, ok := want[name]; return !ok })
	}
	if !maps.Equal(have, want) {
		c.t.Fatalf("%s of %s: the client has %s, the server %s", t, c.role, show(have), show(want))
	}
}

func (c *modelClient) hasCluster(name string) bool {
	_, ok := c.have[cds][name]
	return ok
}

var showSeed = maphash.MakeSeed()

func show(m map[string]string) string {
	var b strings.Builder
	for _, name := range sortedKeys(m) {
		fmt.Fprintf(&b, "%s(%x) ", name, maphash.String(showSeed, m[name])&0xffff)
	}
	return b.String()
}

// bodyOf gives the message that an entry publishes, in the deterministic encoding.
func bodyOf(t failer, e *encoded) []byte {
	var m discoveryv3.DiscoveryResponse
	if err := proto.Unmarshal(e.sotw.ReadOnlyData(), &m); err != nil {
		t.Fatalf("unmarshal: %v", err)
	}
	return m.GetResources()[0].GetValue()
}

// TestModel plays random changes and random clients against the core.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRegistry(t)
		b := newBench(t, r)
		clients := []*modelClient{
			newModelClient(b, ir.RoleEdge, true), newModelClient(b, ir.RoleSidecar, true),
			newModelClient(b, ir.RoleEdge, false), newModelClient(b, ir.RoleGRPC, false),
		}
		world := &modelRegistry{t: t, r: r, instances: map[string]map[int]bool{}, routes: map[string]bool{}}
		which := rapid.IntRange(0, len(clients)-1)
		client := func(t *rapid.T) *modelClient { return clients[which.Draw(t, "client")] }
		t.Repeat(map[string]func(*rapid.T){
			"instance": func(t *rapid.T) { world.instance(t) },
			"define":   func(t *rapid.T) { world.define(t) },
			"route":    func(t *rapid.T) { world.route(t) },
			"publish":  func(*rapid.T) { b.publish() },
			"take":     func(t *rapid.T) { client(t).take() },
			"accept": func(t *rapid.T) {
				if c := client(t); len(c.inHand) > 0 {
					c.accept()
				}
			},
			"reject": func(t *rapid.T) {
				if c := client(t); len(c.inHand) > 0 {
					c.reject()
				}
			},
			"resubscribe": func(t *rapid.T) {
				if c := client(t); c.delta {
					c.send(eds, add(sortedKeys(c.have[cds])...))
				}
			},
			"reconnect": func(t *rapid.T) { client(t).reconnect() },
		})
		b.publish()
		for _, c := range clients {
			c.finish()
			c.disconnect()
		}
		for _, tenant := range b.pub.tenants {
			for _, sp := range tenant.spaces {
				if sp != nil && len(sp.groups)+len(sp.listens) > 0 {
					t.Fatalf("audiences are left after all clients went")
				}
			}
		}
	})
}

// modelRegistry makes random writes.
type modelRegistry struct {
	t         failer
	r         *registryOf
	instances map[string]map[int]bool
	routes    map[string]bool
}

func drawService(t *rapid.T) string {
	return fmt.Sprintf("s%d", rapid.IntRange(0, 4).Draw(t, "service"))
}

func (m *modelRegistry) instance(t *rapid.T) {
	service, port := drawService(t), rapid.IntRange(1, 3).Draw(t, "port")
	if m.instances[service] == nil {
		m.instances[service] = map[int]bool{}
	}
	if m.instances[service][port] && rapid.Bool().Draw(t, "leave") {
		m.r.deregister(m.t, service, port)
		delete(m.instances[service], port)
		return
	}
	m.r.register(m.t, service, port, func(in *pb.Instance) {
		in.Draining = rapid.Bool().Draw(t, "draining")
		in.Zone = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone")
	})
	m.instances[service][port] = true
}

func (m *modelRegistry) define(t *rapid.T) {
	service := drawService(t)
	if _, ok := m.r.view.Service(registry.ServiceOf("", "", service)); ok && rapid.Bool().Draw(t, "undefine") {
		if sv, _ := m.r.view.Service(registry.ServiceOf("", "", service)); sv.Definition == nil {
			return
		}
		op, err := registry.DeleteServiceOp(m.r.view, registry.ServiceOf("", "", service), 0, registry.Write{})
		m.r.write(m.t, op, err)
		return
	}
	m.r.define(m.t, &pb.Service{
		Name: service, Protocol: pb.Protocol(rapid.IntRange(1, 4).Draw(t, "protocol")),
		Ports: []*pb.Port{{Name: "admin", Port: 8080}},
	})
}

func (m *modelRegistry) route(t *rapid.T) {
	name := fmt.Sprintf("r%d", rapid.IntRange(0, 3).Draw(t, "route"))
	if m.routes[name] && rapid.Bool().Draw(t, "delete") {
		m.r.deleteRoute(m.t, name)
		delete(m.routes, name)
		return
	}
	m.r.route(m.t, name, fmt.Sprintf("h%d.example", rapid.IntRange(0, 1).Draw(t, "host")),
		rapid.SampledFrom([]string{"/", "/a", "/a/b"}).Draw(t, "prefix"), drawService(t))
	m.routes[name] = true
}
