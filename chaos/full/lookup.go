package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/history"
)

var local = &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}

// found is what a local read showed.
type found struct {
	values map[string]string
	age    *int64 // as declared
}

// lookup reads what a region wrote, a group of entries or the instances of a service, on one server as it has it. Both may
// be old and say how old. Where nothing is shown, nothing carries an age.
func (c *client) lookup(ctx context.Context) {
	w := c.world
	source := w.sites[c.random.IntN(len(w.sites))]
	call := history.Call{Kind: history.CallLookup, Source: source.Name}
	group, read := c.group(source), readEntries
	if c.random.IntN(3) == 0 {
		read = readInstances
		for k := range w.plan.Workload.Keys {
			call.Steps = append(call.Steps, history.Step{Do: history.DoGet, Key: fmt.Sprintf("%s%s-web/i%d", serviceKey, source.Name, k)})
		}
	} else {
		for _, k := range c.keys(group) {
			call.Steps = append(call.Steps, history.Step{Do: history.DoGet, Key: k})
		}
	}
	node, conn := c.server()
	id := w.log.Invoke(c.number, c.site.Name, node, call)
	asking, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	f, err := read(asking, conn, source.Name, c.site.Name, group)
	if err != nil {
		w.log.Fail(id, err)
		return
	}
	w.log.OK(id, node, history.Answer{Values: valuesOf(call.Steps, f.values), Age: f.age, AgeUnknown: f.age == nil})
}

// take takes in one record, as the answer says whose it is and how old.
func (f *found) take(key, value string, s *pb.Source, source, here string) {
	if s.GetRegion() != source {
		value = fmt.Sprintf("%q of region %q", value, s.GetRegion()) // nobody wrote that
	}
	f.values[key] = value
	if source != here && s.GetAge() != nil {
		age := int64(s.GetAge().AsDuration())
		if f.age == nil || age < *f.age {
			f.age = &age
		}
	}
}

func readEntries(ctx context.Context, conn *grpc.ClientConn, source, here, group string) (*found, error) {
	answer, err := pb.NewConfigServiceClient(conn).ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: name(group), Read: local})
	f := newFound(answer.GetHeader(), source == here)
	for _, e := range answer.GetConfigs() {
		f.take(configKey+e.GetName(), string(e.GetValue()), e.GetSource(), source, here)
	}
	return f, err
}

func readInstances(ctx context.Context, conn *grpc.ClientConn, source, here, _ string) (*found, error) {
	answer, err := pb.NewRegistryServiceClient(conn).ListInstances(ctx, &pb.ListInstancesRequest{Service: source + "-web", Region: source, Read: local})
	f := newFound(answer.GetHeader(), source == here)
	for _, i := range answer.GetInstances() {
		f.take(serviceKey+i.GetService()+"/"+i.GetId(), i.GetMetadata()[valueOf], i.GetSource(), source, here)
	}
	return f, err
}

// newFound begins with the age of the answer, which holds for what the region owns.
func newFound(h *pb.ReadHeader, own bool) *found {
	f := &found{values: map[string]string{}}
	if own && h.GetAge() != nil {
		age := int64(h.GetAge().AsDuration())
		f.age = &age
	}
	return f
}
