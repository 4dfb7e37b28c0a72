package main

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
)

// TestRegions_Six: six regions over real sockets. What is written in each, config, service definitions, instances and
// their health, is the same in all.
func TestRegions_Six(t *testing.T) {
	const n = 6
	d, all := startRegions(t, n, nil)
	ctx := within(t, 2*time.Minute)
	name := func(i int) string { return fmt.Sprintf("dc%d", i+1) }
	for i, r := range all {
		r.putUntil(ctx, t, "app/"+name(i), name(i), name(i))
		service := &pb.Service{Name: "of-" + name(i), Protocol: pb.Protocol_PROTOCOL_HTTP}
		if _, err := r.registry.PutService(ctx, &pb.PutServiceRequest{Service: service}); err != nil {
			t.Fatal(err)
		}
		for k, health := range []pb.Health{pb.Health_HEALTH_PASSING, pb.Health_HEALTH_CRITICAL} {
			web := &pb.Instance{
				Service: "web", Id: fmt.Sprint(name(i), "-", k), Address: fmt.Sprintf("10.0.%d.%d", i, k+1), Port: 80,
				Checks: []*pb.Check{{Type: pb.CheckType_CHECK_TYPE_TTL, Ttl: durationpb.New(time.Hour)}},
			}
			if _, err := r.registry.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Instance: web}); err != nil {
				t.Fatal(err)
			}
			beat := &pb.HeartbeatTarget{Service: "web", Instance: web.GetId(), Health: health}
			for unknown := true; unknown; time.Sleep(5 * time.Millisecond) { // until the view has the instance
				answer, err := r.registry.Heartbeat(ctx, &pb.HeartbeatRequest{Targets: []*pb.HeartbeatTarget{beat}})
				if err != nil {
					t.Fatal(err)
				}
				unknown = len(answer.GetUnknown()) > 0
			}
		}
	}
	began := time.Now()
	for i, r := range all {
		for problem := "?"; problem != ""; time.Sleep(20 * time.Millisecond) {
			if problem = r.lacks(n, name); problem != "" && ctx.Err() != nil {
				t.Fatalf("%s: %s", name(i), problem)
			}
		}
	}
	t.Logf("all is everywhere %v after the last write", time.Since(began))
	for i, r := range d.all {
		out, err := exec.CommandContext(ctx, "supercluster", "federation", "verify", "--server", r.config.Listen.GRPC).CombinedOutput()
		if err != nil {
			t.Errorf("%s: federation verify: %v\n%s", name(i), err, out)
		}
	}
}

// lacks says what a region does not show of what the test wrote in n regions.
func (c regionClient) lacks(n int, name func(int) string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for i := range n {
		got, err := c.get(ctx, "app/"+name(i), nil)
		if err != nil || string(got.GetConfig().GetValue()) != name(i) {
			return fmt.Sprintf("entry of %s: %v", name(i), err)
		}
		service, err := c.registry.GetService(ctx, &pb.GetServiceRequest{Name: "of-" + name(i)})
		if err != nil || service.GetService().GetProtocol() != pb.Protocol_PROTOCOL_HTTP {
			return fmt.Sprintf("service of %s: %v", name(i), err)
		}
	}
	for health, k := range map[pb.Health]int{pb.Health_HEALTH_PASSING: 0, pb.Health_HEALTH_CRITICAL: 1} {
		answer, err := c.registry.ListInstances(ctx, &pb.ListInstancesRequest{Service: "web", Health: health})
		if err != nil {
			return err.Error()
		}
		shown := map[string]string{}
		for _, each := range answer.GetInstances() {
			shown[each.GetId()] = each.GetRegion()
		}
		for i := range n {
			if id := fmt.Sprint(name(i), "-", k); shown[id] != name(i) {
				return fmt.Sprintf("instance %s is not %s of region %s: %v", id, health, name(i), shown)
			}
		}
	}
	return ""
}
