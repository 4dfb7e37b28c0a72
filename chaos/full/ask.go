package main

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/api/status"
	"supercluster/chaos/drive"
	"supercluster/chaos/history"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

const (
	askFor  = time.Second // how long a client waits for an answer
	valueOf = "value"     // of the metadata of an instance
)

var linearizable = &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_LINEARIZABLE}

// server is one server of a region, as clients see it.
type server struct {
	site *site
	name string
	conn *grpc.ClientConn
}

// Serving gives all: a client does not know which of them run.
func (s *site) Serving() (all []drive.Server) {
	for n, conn := range s.Conns {
		all = append(all, server{s, s.Nodes[n], conn})
	}
	return all
}

// Name is that of the server in its region.
func (s server) Name() string { return s.name }

// Write asks for a write once.
func (s server) Write(ctx context.Context, w *drive.Write) (refused bool, revision uint64, err error) {
	options := &pb.WriteOptions{RequestId: w.RequestID, SeenRevision: w.Seen}
	if w.Call.Kind == history.CallService {
		revision, err = s.writeInstance(ctx, w.Call.Steps[0], options)
	} else {
		var answer *pb.TxnResponse
		answer, err = pb.NewConfigServiceClient(s.conn).Txn(ctx, transaction(w.Call, options))
		refused, revision = !answer.GetSucceeded(), answer.GetHeader().GetRevision()
	}
	if err != nil {
		return false, 0, status.FromGRPCWrite(err)
	}
	return refused, revision, nil
}

func (s server) writeInstance(ctx context.Context, step history.Step, options *pb.WriteOptions) (uint64, error) {
	service, id, _ := strings.Cut(drive.NameOf(step.Key), "/")
	client := pb.NewRegistryServiceClient(s.conn)
	if step.Do == history.DoDelete {
		answer, err := client.DeregisterInstance(ctx, &pb.DeregisterInstanceRequest{Service: service, Id: id, Options: options})
		return answer.GetHeader().GetRevision(), err
	}
	answer, err := client.RegisterInstance(ctx, &pb.RegisterInstanceRequest{Options: options, Instance: &pb.Instance{
		Service: service, Id: id, Address: "10.0.0.1", Port: 80, Metadata: map[string]string{valueOf: step.Value},
	}})
	return answer.GetHeader().GetRevision(), err
}

func transaction(call *history.Call, options *pb.WriteOptions) *pb.TxnRequest {
	out := &pb.TxnRequest{Options: options}
	for _, e := range call.Compare {
		compare := &pb.Compare{Name: drive.NameOf(e.Key), Target: pb.Compare_TARGET_VALUE, Operator: pb.Compare_OPERATOR_EQUAL, Value: []byte(e.Value)}
		if e.Value == "" {
			compare = &pb.Compare{Name: drive.NameOf(e.Key), Target: pb.Compare_TARGET_CREATE_REVISION, Operator: pb.Compare_OPERATOR_EQUAL}
		}
		out.Compare = append(out.Compare, compare)
	}
	for _, s := range call.Steps {
		op := &pb.TxnOp{Op: &pb.TxnOp_Delete_{Delete: &pb.TxnOp_Delete{Name: drive.NameOf(s.Key)}}}
		if s.Do == history.DoPut {
			op = &pb.TxnOp{Op: &pb.TxnOp_Put_{Put: &pb.TxnOp_Put{Name: drive.NameOf(s.Key), Value: []byte(s.Value), Format: pb.Format_FORMAT_TEXT}}}
		}
		out.Then = append(out.Then, op)
	}
	return out
}

// Get reads one key.
func (s server) Get(ctx context.Context, key string) (string, error) {
	answer, err := pb.NewConfigServiceClient(s.conn).GetConfig(ctx, &pb.GetConfigRequest{Name: drive.NameOf(key), Read: linearizable})
	if err != nil && !fault.Is(status.FromGRPC(err), fault.NotFound) {
		return "", err
	}
	return string(answer.GetConfig().GetValue()), nil
}

// List reads a group of keys at once.
func (s server) List(ctx context.Context, prefix string) (map[string]string, error) {
	answer, err := pb.NewConfigServiceClient(s.conn).ListConfigs(ctx, &pb.ListConfigsRequest{Prefix: drive.NameOf(prefix), Read: linearizable})
	have := map[string]string{}
	for _, e := range answer.GetConfigs() {
		have[drive.ConfigKey+e.GetName()] = string(e.GetValue())
	}
	return have, err
}

// Newest is where the region is.
func (s server) Newest(ctx context.Context) uint64 {
	now, err := s.site.revision(ctx)
	if err != nil {
		return 0
	}
	return now
}

// Now is where the region is.
func (s *site) Now(ctx context.Context) (record.Positions, error) {
	at, err := s.revision(ctx)
	return record.Positions{Data: at}, err
}

func (s *site) revision(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	answer, err := pb.NewConfigServiceClient(s.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{CountOnly: true, Read: linearizable})
	return answer.GetHeader().GetRevision(), err
}

// State reads all entries and all instances.
func (s *site) State(ctx context.Context) (*history.State, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	configs, err := pb.NewConfigServiceClient(s.Conns[0]).ListConfigs(ctx, &pb.ListConfigsRequest{PageSize: 5000, Read: linearizable})
	if err != nil {
		return nil, err
	}
	out := &history.State{Revision: configs.GetHeader().GetRevision()}
	for _, e := range configs.GetConfigs() {
		if key := drive.ConfigKey + e.GetName(); s.world.run.Maker(key) != "" {
			out.Entries = append(out.Entries, history.Entry{Key: key, Value: string(e.GetValue())})
		}
	}
	for _, other := range s.world.sites {
		answer, err := pb.NewRegistryServiceClient(s.Conns[0]).ListInstances(ctx, &pb.ListInstancesRequest{Service: drive.Service(other.Name), PageSize: 5000, Read: linearizable})
		if err != nil && !fault.Is(status.FromGRPC(err), fault.NotFound) { // a service without an instance is none
			return nil, err
		}
		for _, i := range answer.GetInstances() {
			out.Entries = append(out.Entries, history.Entry{Key: drive.ServiceKey + i.GetService() + "/" + i.GetId(), Value: i.GetMetadata()[valueOf]})
		}
	}
	return out, nil
}
