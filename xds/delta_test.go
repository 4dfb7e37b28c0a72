package xds

import (
	"strings"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/ir"
	"supercluster/xds/resources"
)

const (
	edgeListener = "edge.default@127.0.0.1:10000"
	edgeRoutes   = "edge.default"
)

// shop is a registry of two services behind one host.
func shop(t failer) *registryOf {
	r := newRegistry(t)
	r.register(t, "web", 9001)
	r.register(t, "api", 9002)
	r.route(t, "web", "shop.example", "/", "web")
	r.route(t, "api", "shop.example", "/api", "api")
	return r
}

// settled is an Envoy that has everything of the shop.
func settled(t failer) *driver {
	d := newBench(t, shop(t)).connect(ir.RoleEdge, true)
	d.send(cds)
	d.expectAcked("cluster [api web]")
	d.send(eds, add("api", "web"))
	d.expectAcked("endpoint [api web]")
	d.send(lds)
	d.expectAcked("listener [" + edgeListener + "]")
	d.send(rds, add(edgeRoutes))
	d.expectAcked("route [" + edgeRoutes + "]")
	d.nothing()
	return d
}

// Each test is one duty of a control plane; the table of the reference names them.
func TestDelta(t *testing.T) {
	tests := []struct {
		duty string
		run  func(t *testing.T, d *driver)
	}{
		{"a change of an endpoint reaches its subscriber, and nothing else does", func(t *testing.T, d *driver) {
			d.registry.register(t, "web", 9003)
			d.publish()
			a := d.expectAcked("endpoint [web]")
			if n := len(a.bodies["web"].(*endpointv3.ClusterLoadAssignment).GetEndpoints()[0].GetLbEndpoints()); n != 2 {
				t.Errorf("%d endpoints, want 2", n)
			}
			d.nothing()
		}},
		{"a write that changes no bytes sends nothing", func(t *testing.T, d *driver) {
			d.registry.register(t, "web", 9001)
			d.publish()
			d.nothing()
		}},
		{"a name that is subscribed again is sent again", func(t *testing.T, d *driver) {
			d.send(eds, add("web"))
			d.expectAcked("endpoint [web]")
			d.send(cds, add("web"))
			d.expectAcked("cluster [web]")
		}},
		{"unsubscribe, then subscribe: sent again", func(t *testing.T, d *driver) {
			d.send(eds, drops("web"))
			d.nothing()
			d.registry.register(t, "web", 9003)
			d.publish()
			d.nothing()
			d.send(eds, add("web"))
			d.expectAcked("endpoint [web]")
		}},
		{"an unknown cluster is answered as removed, and sent when it appears", func(t *testing.T, d *driver) {
			d.send(cds, add("*", "later"))
			d.expectAcked("cluster [api web] -[later]")
			d.registry.register(t, "later", 9009)
			d.publish()
			d.expectAcked("cluster [later]")
		}},
		{"an unknown route configuration is answered as removed", func(t *testing.T, d *driver) {
			d.send(rds, add("none"))
			d.expectAcked("route [] -[none]")
		}},
		{"an unknown assignment is an explicit empty one, never removed", func(t *testing.T, d *driver) {
			d.send(eds, add("none"))
			a := d.expectAcked("endpoint [none]")
			if n := len(a.bodies["none"].(*endpointv3.ClusterLoadAssignment).GetEndpoints()); n != 0 {
				t.Errorf("%d localities", n)
			}
		}},
		{"the assignment of a service that goes is emptied, not removed", func(t *testing.T, d *driver) {
			d.registry.deregister(t, "api", 9002)
			d.publish()
			if a := d.expectAcked("endpoint [api]"); len(a.bodies["api"].(*endpointv3.ClusterLoadAssignment).GetEndpoints()) != 0 {
				t.Error("it has endpoints")
			}
			d.expectAcked("route [" + edgeRoutes + "]")
			d.expectAcked("cluster [] -[api]")
			d.nothing()
		}},
		{"unsubscribing from what was never asked is ignored", func(t *testing.T, d *driver) {
			d.send(eds, drops("phantom"))
			d.nothing()
			d.send(rds, drops("phantom"))
			d.nothing()
		}},
		{"unsubscribing from a name below a wildcard answers with the resource", func(t *testing.T, d *driver) {
			d.send(cds, add("*", "web"))
			d.settle()
			d.send(cds, drops("web"))
			d.expectAcked("cluster [web]")
		}},
		{"unsubscribing from a name that the wildcard does not cover answers with its removal", func(t *testing.T, d *driver) {
			d.registry.register(t, "extra", 9005)
			d.publish()
			d.nothing()
			d.send(cds, add("*", "extra"))
			d.expectAcked("cluster [api extra web]")
			d.send(cds, drops("extra"))
			d.expectAcked("cluster [] -[extra]")
		}},
		{"a legacy wildcard ends at the first name", func(t *testing.T, d *driver) {
			d.send(cds, add("web"))
			d.expectAcked("cluster [web]")
			d.expectAcked("endpoint [web]")
			d.registry.route(t, "more", "more.example", "/", "more")
			d.registry.register(t, "more", 9007)
			d.publish()
			d.expectAcked("route [" + edgeRoutes + "]")
			d.nothing()
		}},
		{"unsubscribing from * leaves the names", func(t *testing.T, d *driver) {
			d.send(cds, add("*", "web"))
			d.settle()
			d.send(cds, drops("*"))
			d.nothing()
			d.registry.define(t, &pb.Service{Name: "web", Protocol: 3})
			d.registry.define(t, &pb.Service{Name: "api", Protocol: 3})
			d.publish()
			d.expectAcked("cluster [web]")
		}},
		{"one response of a type is in flight; what changes meanwhile gathers", func(t *testing.T, d *driver) {
			d.registry.register(t, "web", 9003)
			d.publish()
			d.expect("endpoint [web]")
			for port := range 5 {
				d.registry.register(t, "web", 9010+port)
				d.registry.register(t, "api", 9010+port)
				d.publish()
			}
			d.nothing()
			d.ack(eds)
			d.expectAcked("endpoint [api web]")
			d.nothing()
		}},
		{"an old nonce neither acknowledges nor hides a subscription", func(t *testing.T, d *driver) {
			old := d.nonce[eds]
			d.registry.register(t, "web", 9003)
			d.publish()
			d.expect("endpoint [web]")
			d.send(eds, nonce(old), add("more"))
			d.nothing() // still in flight
			d.ack(eds)
			d.expectAcked("endpoint [more]")
		}},
		{"a rejected response is not sent again until its bytes change", func(t *testing.T, d *driver) {
			d.registry.register(t, "web", 9003)
			d.publish()
			d.expect("endpoint [web]")
			d.nack(eds)
			d.nothing()
			d.registry.register(t, "api", 9004)
			d.publish()
			d.expectAcked("endpoint [api]")
			d.registry.deregister(t, "web", 9003)
			d.publish()
			d.expectAcked("endpoint [web]")
		}},
		{"the first response being rejected makes no loop", func(t *testing.T, d *driver) {
			d.disconnect()
			d = d.connect(ir.RoleEdge, true)
			d.send(cds)
			d.expect("cluster [api web]")
			d.nack(cds)
			d.nothing()
			types := d.s.types(d.now)
			if types[0].GetNack() != "no good" || types[0].GetNacks() != 1 || types[0].GetVersionAcked() != "" {
				t.Errorf("shown as %v", types[0])
			}
		}},
		{"a cluster that changes has its endpoints sent again, before it is acknowledged", func(t *testing.T, d *driver) {
			d.registry.define(t, &pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_GRPC})
			d.publish()
			d.expect("cluster [web]")
			d.expectAcked("endpoint [web]")
			d.ack(cds)
			d.expectAcked("route [" + edgeRoutes + "]")
			d.nothing()
		}},
		{"a type that does not exist is answered with nothing", func(t *testing.T, d *driver) {
			req := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.service.runtime.v3.Runtime", ResourceNamesSubscribe: []string{"rtds"}}
			if err := d.s.takeDelta(req, d.now); err != nil {
				t.Fatal(err)
			}
			if a := d.next(); a.url != req.GetTypeUrl() || len(a.removed) != 1 || a.removed[0] != "rtds" {
				t.Errorf("got %+v", a)
			}
			d.nothing()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.duty, func(t *testing.T) {
			d := settled(t)
			d.t = t
			tt.run(t, d)
		})
	}
}

func TestDelta_FirstWildcardRequestIsAnsweredEvenIfEmpty(t *testing.T) {
	d := newBench(t, newRegistry(t)).connect(ir.RoleEdge, true)
	d.send(cds)
	d.expectAcked("cluster []")
	d.send(lds, add("*"))
	d.expectAcked("listener [" + edgeListener + "]")
	d.send(rds, add(edgeRoutes))
	d.expectAcked("route [" + edgeRoutes + "]") // no routes is a route table too
	d.nothing()
}

func TestDelta_ReconnectSkipsOnlyUnchangedWildcardResources(t *testing.T) {
	d := settled(t)
	versions := map[string]string{}
	for _, e := range d.s.scopes[cds].members {
		versions[e.name] = resources.VersionText(e.res.version)
	}
	versions["gone"] = "0123456789abcdef"
	edsVersions := map[string]string{"web": resources.VersionText(d.s.space.tables[eds].entries["web"].res.version)}
	d.registry.define(t, &pb.Service{Name: "api", Protocol: 3})
	d.publish()
	d.disconnect()

	d = d.connect(ir.RoleEdge, true)
	d.send(cds, has(versions))
	d.expectAcked("cluster [api]") // web is unchanged; what is gone waits for the routes
	d.nothing()
	d.send(eds, add("web"), has(edsVersions))
	d.expectAcked("endpoint [web]") // never skipped: warming waits for it
	d.send(lds)
	d.expectAcked("listener [" + edgeListener + "]")
	d.nothing()
	d.send(rds, add(edgeRoutes))
	d.expectAcked("route [" + edgeRoutes + "]")
	d.expectAcked("cluster [] -[gone]")
	d.nothing()
}

func TestDelta_ReconnectWithNothingNewIsStillAnswered(t *testing.T) {
	d := settled(t)
	versions := map[string]string{}
	for _, e := range d.s.scopes[cds].members {
		versions[e.name] = resources.VersionText(e.res.version)
	}
	d = d.connect(ir.RoleEdge, true)
	d.send(cds, has(versions))
	d.expectAcked("cluster []")
}

func TestDelta_MakeBeforeBreak(t *testing.T) {
	d := settled(t)
	d.registry.register(t, "new", 9010)
	d.registry.route(t, "web", "shop.example", "/", "new")
	d.registry.deregister(t, "web", 9001)
	d.publish()

	d.expect("cluster [new]")
	d.expect("endpoint [web]") // emptied with its service
	d.nothing()                // routes wait for the cluster
	d.send(eds, add("new"))
	d.ack(eds)
	d.expectAcked("endpoint [new]") // endpoints never wait for clusters: a warming cluster would wait for them
	d.nothing()
	d.ack(cds)
	d.expect("route [" + edgeRoutes + "]")
	d.nothing() // the old cluster stays until the routes are acknowledged
	d.ack(rds)
	d.expectAcked("cluster [] -[web]")
	d.nothing()
}

func TestDelta_RoutesWaitOnlySoLongForClusters(t *testing.T) {
	d := settled(t)
	d.registry.register(t, "new", 9010)
	d.registry.route(t, "new", "new.example", "/", "new")
	d.publish()
	d.expect("cluster [new]")
	d.nothing()
	if _, again := d.s.next(d.now); !again.Equal(d.now.Add(d.limits.Gate)) {
		t.Errorf("asks again at %v, want after %v", again, d.limits.Gate)
	}
	d.now = d.now.Add(d.limits.Gate - time.Millisecond)
	d.nothing()
	d.now = d.now.Add(2 * time.Millisecond)
	d.expectAcked("route [" + edgeRoutes + "]")
}

func TestDelta_RoutesWaitForClustersThatWereRejected(t *testing.T) {
	d := settled(t)
	d.registry.register(t, "new", 9010)
	d.registry.route(t, "new", "new.example", "/", "new")
	d.publish()
	d.expect("cluster [new]")
	d.nack(cds)
	d.nothing()
	d.registry.define(t, &pb.Service{Name: "new", Protocol: 3})
	d.publish()
	d.expectAcked("cluster [new]")
	d.expectAcked("route [" + edgeRoutes + "]")
}

func TestDelta_FlappingEndpointsDoNotHoldRoutesUp(t *testing.T) {
	d := settled(t)
	d.registry.register(t, "api", 9020)
	d.registry.route(t, "more", "more.example", "/", "web")
	d.publish()
	d.expect("endpoint [api]")
	d.registry.register(t, "api", 9021) // dirty again before the client has answered
	d.publish()
	d.ack(eds)
	d.expect("endpoint [api]")
	d.expectAcked("route [" + edgeRoutes + "]")
}

func TestDelta_ARejectedRouteKeepsItsCluster(t *testing.T) {
	d := settled(t)
	d.registry.deleteRoute(t, "api")
	d.publish()
	d.expect("route [" + edgeRoutes + "]")
	d.nack(rds)
	d.now = d.now.Add(time.Hour)
	d.nothing() // the client still routes to it
	d.registry.route(t, "other", "other.example", "/", "web")
	d.publish()
	d.expectAcked("route [" + edgeRoutes + "]")
	d.expectAcked("cluster [] -[api]")
}

func TestDelta_AClusterThatComesBackIsNotRemoved(t *testing.T) {
	d := settled(t)
	d.registry.deregister(t, "api", 9002)
	d.publish()
	d.expectAcked("endpoint [api]")
	d.expect("route [" + edgeRoutes + "]")
	d.registry.register(t, "api", 9002)
	d.publish()
	d.expectAcked("cluster [api]")
	d.expectAcked("endpoint [api]")
	d.nothing()
	d.ack(rds)
	d.expectAcked("route [" + edgeRoutes + "]")
	d.nothing()
}

func TestDelta_Limits(t *testing.T) {
	b := newBench(t, shop(t))
	b.limits.Names = 3
	b.limits.NameBytes = 10
	d := b.connect(ir.RoleEdge, true)
	for name, want := range map[string]string{"": "0 bytes", strings.Repeat("x", 11): "11 bytes"} {
		if err := d.trySend(eds, add(name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if err := d.trySend(eds, add("a", "b", "c")); err != nil {
		t.Fatal(err)
	}
	if err := d.trySend(rds, add("d")); err == nil || !strings.Contains(err.Error(), "more than 3 names") {
		t.Errorf("a fourth name: %v", err)
	}
	d.disconnect()
	if n := len(d.s.space.tables[eds].entries); n != 2 {
		t.Errorf("%d assignments are left after the client went, want those of the 2 services", n)
	}
}

// Either protocol serves either kind of client, and a wildcard of any type is what the audience may see.
func TestDelta_GRPCRoleAndWildcardsOfEveryType(t *testing.T) {
	d := newBench(t, shop(t)).connect(ir.RoleGRPC, true)
	d.send(lds)
	d.nothing() // no wildcard for a gRPC client that asks for nothing
	d.send(lds, add("web"))
	d.expectAcked("listener [web]")
	for _, typ := range []resources.Type{cds, eds, rds} {
		d.send(typ, add("*"))
		d.expectAcked(typ.String() + " [api web]")
	}
	d.registry.register(t, "later", 9009)
	d.publish()
	d.expectAcked("cluster [later]")
	d.expectAcked("endpoint [later]")
	d.expectAcked("route [later]")
	d.registry.deregister(t, "later", 9009)
	d.publish()
	d.expectAcked("endpoint [later]") // emptied
	d.expectAcked("route [] -[later]")
	d.expectAcked("cluster [] -[later]")
	d.nothing()
}

// Another tenant's services are not there, whatever a client asks for.
func TestDelta_TenantsAreApart(t *testing.T) {
	r := shop(t)
	r.addTenant(t, "acme", 2)
	r.addNamespace(t, 2, "default", 3)
	b := newBench(t, r)
	c, err := identify(node(ir.RoleSidecar), &b.limits)
	if err != nil {
		t.Fatal(err)
	}
	c.namespace.Tenant = "acme"
	a, err := b.pub.attach(c)
	if err != nil {
		t.Fatal(err)
	}
	d := &driver{bench: b, delta: true, s: newSession(b.pub, a, c, true, &b.limits, controlField(true, "dc1/n1"), b.now)}
	d.send(cds, add("*", "web"))
	d.expectAcked("cluster [] -[web]")
	d.send(eds, add("web"))
	if got := d.expectAcked("endpoint [web]"); len(got.bodies["web"].(*endpointv3.ClusterLoadAssignment).GetEndpoints()) != 0 {
		t.Error("it got another tenant's endpoints")
	}
}
