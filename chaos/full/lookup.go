package main

import (
	"context"
	"fmt"
	"strings"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/chaos/drive"
)

var local = &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LOCAL}

// found is what a local read showed. Where nothing is shown, nothing carries an age.
type found struct {
	drive.Found
	source, here string
}

// Lookup reads entries of the configuration or the instances of a service.
func (s server) Lookup(ctx context.Context, source, prefix string) (*drive.Found, error) {
	f := &found{drive.Found{Values: map[string]string{}}, source, s.site.Name}
	read := s.readEntries
	if strings.HasPrefix(prefix, drive.ServiceKey) {
		read = s.readInstances
	}
	err := read(ctx, f, drive.NameOf(prefix))
	return &f.Found, err
}

// begin begins with the age of the answer, which holds for what the region owns.
func (f *found) begin(h *pb.ReadHeader) {
	if f.source == f.here && h.GetAge() != nil {
		age := int64(h.GetAge().AsDuration())
		f.Age = &age
	}
}

// take takes in one record, as the answer says whose it is and how old.
func (f *found) take(key, value string, s *pb.Source) {
	if s.GetRegion() != f.source {
		value = fmt.Sprintf("%q of region %q", value, s.GetRegion()) // nobody wrote that
	}
	f.Values[key] = value
	if f.source != f.here && s.GetAge() != nil {
		age := int64(s.GetAge().AsDuration())
		if f.Age == nil || age < *f.Age {
			f.Age = &age
		}
	}
}

func (s server) readEntries(ctx context.Context, f *found, prefix string) error {
	answer, err := pb.NewConfigServiceClient(s.conn).ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: prefix, Read: local})
	f.begin(answer.GetHeader())
	for _, e := range answer.GetConfigs() {
		f.take(drive.ConfigKey+e.GetName(), string(e.GetValue()), e.GetSource())
	}
	return err
}

func (s server) readInstances(ctx context.Context, f *found, prefix string) error {
	service, _, _ := strings.Cut(prefix, "/")
	answer, err := pb.NewRegistryServiceClient(s.conn).ListInstances(ctx, &pb.ListInstancesRequest{Service: service, Region: f.source, Read: local})
	f.begin(answer.GetHeader())
	for _, i := range answer.GetInstances() {
		f.take(drive.ServiceKey+i.GetService()+"/"+i.GetId(), i.GetMetadata()[valueOf], i.GetSource())
	}
	return err
}
