package dns

import (
	"testing"

	"go.uber.org/goleak"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/region/state"
	"supercluster/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a region in memory: real operations, the real state machine, the real view.
type store struct {
	t     testing.TB
	mem   *state.Memory
	index uint64
	view  *registry.View
}

func newStore(t testing.TB) *store {
	s := &store{t: t, mem: state.NewMemory(), view: registry.Empty("dc1")}
	s.apply(record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: "dc1"}})
	return s
}

func (s *store) apply(ops ...record.Op) {
	s.t.Helper()
	s.index++
	out, err := state.Apply(s.mem, s.index, &record.Entry{Level: 1, Ops: ops})
	if err != nil {
		s.t.Fatal(err)
	}
	for i, res := range out.Results {
		if res.Status != record.StatusOK {
			s.t.Fatalf("operation %d: %+v", i, res)
		}
	}
	s.view, _ = s.view.Next(out.Commits)
}

func (s *store) namespace(name string) {
	s.t.Helper()
	op, _, err := registry.CreateNamespaceOp(s.view, &pb.Namespace{Name: name}, registry.Write{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(op)
}

func (s *store) service(in *pb.Service) {
	s.t.Helper()
	op, _, err := registry.PutServiceOp(s.view, in, 0, registry.Write{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(op)
}

func (s *store) register(ins ...*pb.Instance) {
	s.t.Helper()
	ops := make([]record.Op, 0, len(ins))
	for _, in := range ins {
		op, _, err := registry.RegisterOp(s.view, in, registry.Write{})
		if err != nil {
			s.t.Fatal(err)
		}
		ops = append(ops, op)
	}
	s.apply(ops...)
}

func (s *store) health(service, id, check string, h pb.Health) {
	s.t.Helper()
	in, ok := s.view.Instance(registry.ServiceOf("", "", service).Instance(id))
	if !ok {
		s.t.Fatalf("no instance %s/%s", service, id)
	}
	op, err := registry.CheckStatusOp(in, &pb.CheckStatus{CheckId: check, Health: h}, registry.Write{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(op)
}
