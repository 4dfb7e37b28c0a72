package xds

import (
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/xds/ir"
)

// grpcSettled is a gRPC client that talks to web.
func grpcSettled(t failer) *driver {
	d := newBench(t, shop(t)).connect(ir.RoleGRPC, false)
	d.want(lds, "web")
	d.expectAcked("listener [web]")
	d.want(rds, "web")
	d.expectAcked("route [web]")
	d.want(cds, "web")
	d.expectAcked("cluster [web]")
	d.want(eds, "web")
	d.expectAcked("endpoint [web]")
	d.nothing()
	return d
}

func TestSotW(t *testing.T) {
	tests := []struct {
		duty string
		run  func(t *testing.T, d *driver)
	}{
		{"a change of an endpoint reaches its subscriber", func(t *testing.T, d *driver) {
			d.registry.register(t, "web", 9003)
			d.publish()
			a := d.expectAcked("endpoint [web]")
			if n := len(a.bodies["web"].(*endpointv3.ClusterLoadAssignment).GetEndpoints()[0].GetLbEndpoints()); n != 2 {
				t.Errorf("%d endpoints, want 2", n)
			}
			d.registry.register(t, "api", 9003)
			d.publish()
			d.nothing()
		}},
		{"clusters and listeners carry the whole set, endpoints and routes what is new", func(t *testing.T, d *driver) {
			d.want(lds, "web", "api")
			d.expectAcked("listener [api web]")
			d.want(cds, "web", "api")
			d.expectAcked("cluster [api web]")
			d.want(rds, "web", "api")
			d.expectAcked("route [api]")
			d.want(eds, "web", "api")
			d.expectAcked("endpoint [api]")
			d.registry.define(t, &pb.Service{Name: "api", Protocol: pb.Protocol_PROTOCOL_GRPC})
			d.publish()
			d.nothing() // a gRPC client's resources do not depend on the protocol
		}},
		{"a rejected first response makes no loop", func(t *testing.T, d *driver) {
			d.want(lds, "web", "api")
			d.expect("listener [api web]")
			d.nack(lds)
			d.nothing()
			d.nack(lds)
			d.nothing()
			if got := d.s.types(d.now)[2]; got.GetNacks() != 1 || got.GetNack() != "no good" {
				t.Errorf("shown as %v", got)
			}
		}},
		{"an old nonce is ignored, the names with it", func(t *testing.T, d *driver) {
			d.registry.register(t, "web", 9003)
			d.publish()
			d.expect("endpoint [web]")
			d.sotw(&discoveryv3.DiscoveryRequest{TypeUrl: eds.URL(), ResponseNonce: "1", ResourceNames: []string{"api"}})
			d.nothing()
			d.ack(eds)
			d.nothing() // web was never given up, api never asked for
			d.names[eds] = []string{"web", "api"}
			d.ack(eds)
			d.expectAcked("endpoint [api]")
		}},
		{"unsubscribe, then subscribe: sent again", func(t *testing.T, d *driver) {
			d.want(eds)
			d.nothing()
			d.want(eds, "web")
			d.expectAcked("endpoint [web]")
			d.want(rds)
			d.want(rds, "web")
			d.expectAcked("route [web]")
			d.want(cds)
			d.nothing()
			d.want(cds, "web")
			d.expectAcked("cluster [web]")
		}},
		{"a listener that does not exist is absent from the answer, and comes when it appears", func(t *testing.T, d *driver) {
			d.want(lds, "web", "later")
			d.expectAcked("listener [web]")
			d.want(rds, "web", "later")
			d.nothing()
			d.want(eds, "web", "later")
			d.expectAcked("endpoint [later]") // explicit and empty
			d.registry.register(t, "later", 9009)
			d.publish()
			d.expectAcked("endpoint [later]")
			d.expectAcked("listener [later web]")
			d.expectAcked("route [later]")
		}},
		{"a service that goes: absent from listeners first, from clusters when routes are settled", func(t *testing.T, d *driver) {
			d.registry.deregister(t, "web", 9001)
			d.publish()
			d.expectAcked("endpoint [web]")
			d.expect("listener []")
			d.nothing()
			d.ack(lds)
			d.expectAcked("cluster []")
			d.nothing()
		}},
		{"a name twice counts once", func(t *testing.T, d *driver) {
			d.want(eds, "api", "api", "web")
			d.expectAcked("endpoint [api]")
		}},
		{"an acknowledgement that repeats the names changes nothing", func(t *testing.T, d *driver) {
			for range 3 {
				d.ack(eds)
				d.ack(cds)
			}
			d.nothing()
		}},
		{"a type that does not exist is not answered", func(t *testing.T, d *driver) {
			d.sotw(&discoveryv3.DiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.service.runtime.v3.Runtime", ResourceNames: []string{"x"}})
			d.nothing()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.duty, func(t *testing.T) {
			d := grpcSettled(t)
			d.t = t
			tt.run(t, d)
		})
	}
}

func TestSotW_AnEmptyRequestOfAGRPCClientIsNoWildcard(t *testing.T) {
	d := newBench(t, shop(t)).connect(ir.RoleGRPC, false)
	d.want(lds)
	d.nothing()
	d.want(cds)
	d.nothing()
	d.want(lds, "web")
	d.expectAcked("listener [web]")
}

func TestSotW_AnUnknownTargetIsAnsweredAtOnce(t *testing.T) {
	d := newBench(t, shop(t)).connect(ir.RoleGRPC, false)
	d.want(lds, "nothing-there")
	d.expectAcked("listener []")
	d.nothing()
}

func TestSotW_EnvoyWildcards(t *testing.T) {
	d := newBench(t, shop(t)).connect(ir.RoleEdge, false)
	d.want(cds)
	d.expectAcked("cluster [api web]")
	d.want(lds)
	d.expectAcked("listener [" + edgeListener + "]")
	d.want(rds, edgeRoutes)
	d.expectAcked("route [" + edgeRoutes + "]")

	// A cluster that changes has its endpoints sent again; the others, said again with it, do not.
	d.want(eds, "api", "web")
	d.expectAcked("endpoint [api web]")
	d.registry.define(t, &pb.Service{Name: "web", Protocol: pb.Protocol_PROTOCOL_HTTP2})
	d.publish()
	d.expect("cluster [api web]")
	d.expectAcked("endpoint [web]")
	d.ack(cds)
	d.nothing()
	d.want(eds)

	// What goes stays in the full set until the routes are acknowledged.
	d.registry.register(t, "new", 9010)
	d.registry.route(t, "web", "shop.example", "/", "new")
	d.publish()
	d.expect("cluster [api new web]")
	d.nothing()
	d.ack(cds)
	d.expect("route [" + edgeRoutes + "]")
	d.nothing()
	d.ack(rds)
	d.expectAcked("cluster [api new]")
	d.nothing()

	// A name ends the legacy wildcard; after it, an empty request is an empty set.
	d.want(cds, "web")
	d.expectAcked("cluster [web]")
	d.want(cds)
	d.nothing()
	d.registry.route(t, "api", "shop.example", "/api", "new")
	d.publish()
	d.expectAcked("route [" + edgeRoutes + "]")
	d.nothing()
	d.want(cds, "*")
	d.expectAcked("cluster [new]")
}

func TestSotW_FirstWildcardRequestIsAnsweredEvenIfEmpty(t *testing.T) {
	d := newBench(t, newRegistry(t)).connect(ir.RoleEdge, false)
	d.want(cds)
	d.expectAcked("cluster []")
	d.nothing()
}

func TestSotW_VersionsAreThoseOfTheContent(t *testing.T) {
	r := shop(t)
	one, two := newBench(t, r).connect(ir.RoleGRPC, false), newBench(t, r).connect(ir.RoleGRPC, false)
	one.want(cds, "web")
	two.want(cds, "web")
	a, b := one.next(), two.next()
	if a.version == "" || a.version != b.version {
		t.Errorf("two servers with the same content say %q and %q", a.version, b.version)
	}
}
