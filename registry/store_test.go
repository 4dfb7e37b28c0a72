package registry

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/region/record"
	"supercluster/region/state"
)

// failer is what *testing.T, *testing.B and *rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// store is the real machine of a region on its in-memory twin, with the view that its events make.
type store struct {
	kv       *state.Memory
	index    uint64
	sequence uint64
	view     *View
	changes  Changes // of the last step
}

const testRegion = "dc1"

func newStore(t failer) *store {
	t.Helper()
	s := &store{kv: state.NewMemory(), view: Empty(testRegion)}
	s.must(t, record.Op{Type: record.OpIdentity, Identity: &record.Identity{RegionID: [16]byte{1}, Name: testRegion}})
	return s
}

// apply runs operations as one entry and gives their results and commits; the view does not move.
func (s *store) apply(t failer, ops ...record.Op) state.Outcome {
	t.Helper()
	s.index++
	s.sequence++
	e := &record.Entry{Level: 1, Replica: 1, Boot: 1, Sequence: s.sequence, Ops: ops}
	// Through the codec, as in the log: what cannot be encoded must not be made either.
	b, err := record.AppendEntry(nil, e)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	decoded, err := record.DecodeEntry(b)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	out, err := state.Apply(s.kv, s.index, decoded)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return out
}

// run applies one operation, moves the view and gives the outcome.
func (s *store) run(t failer, op record.Op) (record.Result, error) {
	t.Helper()
	out := s.apply(t, op)
	s.view, s.changes = s.view.Next(out.Commits)
	return out.Results[0], Outcome(op, out.Results[0])
}

func (s *store) must(t failer, op record.Op) record.Result {
	t.Helper()
	res, err := s.run(t, op)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return res
}

// made gives an operation that must not fail to be made.
func made(t failer) func(record.Op, error) record.Op {
	t.Helper()
	return func(op record.Op, err error) record.Op {
		t.Helper()
		if err != nil {
			t.Fatalf("make: %v", err)
		}
		return op
	}
}

// records are the live records of the store.
func (s *store) records(t failer) []record.Record {
	t.Helper()
	var all []record.Record
	err := state.Load(s.kv, Kinds(), func(r record.Record) error {
		r.Value = slices.Clone(r.Value)
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return all
}

// register registers an instance and gives it as the server answered it.
func (s *store) register(t failer, in *pb.Instance) *pb.Instance {
	t.Helper()
	op, out, err := RegisterOp(s.view, in, Write{})
	if err != nil {
		t.Fatalf("register %v: %v", in, err)
	}
	s.must(t, op)
	return out
}

func web(id string) *pb.Instance {
	return &pb.Instance{Service: "web", Id: id, Address: "10.0.0.1", Port: 80}
}

// dump writes down everything that a view holds but its revisions of last changes, which views built from
// records cannot know.
func dump(v *View) string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %+v instances %d\n", v.at, v.instances)
	for name, t := range pairs(v.tenants.KeyValues()) {
		fmt.Fprintf(&b, "tenant %q %s\n", name, wire(t))
	}
	for id, name := range pairs(v.tenantNames.KeyValues()) {
		fmt.Fprintf(&b, "tenant id %d %q\n", id, name)
	}
	for name, id := range pairs(v.namespaces.KeyValues()) {
		fmt.Fprintf(&b, "namespace %q %d\n", name, id)
	}
	for name, n := range pairs(v.nodes.KeyValues()) {
		fmt.Fprintf(&b, "node %q %s\n", name, wire(n))
	}
	for _, r := range v.regions.records {
		fmt.Fprintf(&b, "region %d %x %q %s %+v\n", r.Alias, r.ID, r.Name, wire(r.Region), r.Meta)
	}
	for r := range v.Regions() {
		fmt.Fprintf(&b, "alias %d %x %q\n", r.Alias, r.ID, r.Name)
	}
	for _, name := range sortedKeys(v.regions.named) {
		fmt.Fprintf(&b, "named %q %d\n", name, v.regions.named[name].Alias)
	}
	fmt.Fprintf(&b, "undecodable %q\n", v.undecodable.Keys())
	for id, s := range pairs(v.spaces.KeyValues()) {
		fmt.Fprintf(&b, "space %x %+v %+v %s\n", id, s.id, s.key, wire(s.namespace))
		for name, sv := range pairs(s.services.KeyValues()) {
			dumpService(&b, name, sv)
		}
		for name, i := range pairs(s.orphans.KeyValues()) {
			fmt.Fprintf(&b, "  orphan %q ", name)
			dumpInstance(&b, i)
		}
		for name, r := range pairs(s.routes.KeyValues()) {
			fmt.Fprintf(&b, "  route %q %+v %s %+v %s\n", name, r.Key, wire(r.Route), r.Meta, origin(r.Origin))
		}
		for name, all := range pairs(s.summaries.KeyValues()) {
			for _, x := range all {
				fmt.Fprintf(&b, "  summary %q %d %s %+v %+v\n", name, x.Alias, wire(x.Capacity), x.Origin, x.Meta)
			}
		}
		for _, k := range s.index.keys.Keys() {
			fmt.Fprintf(&b, "  index %q\n", k)
		}
	}
	return b.String()
}

func dumpService(b *strings.Builder, name string, s *ServiceView) {
	fmt.Fprintf(b, "  service %q %+v %s %+v %s %+v %+v %v %v %v %v\n",
		name, s.Key, wire(s.Definition), s.DefinitionMeta, origin(s.DefinitionOrigin), s.Counts, s.LocalCounts, s.Regions(), []labelCount(s.tags), []labelCount(s.zones), []labelCount(s.ports))
	for _, i := range s.Instances {
		b.WriteString("    ")
		dumpInstance(b, i)
	}
}

func dumpInstance(b *strings.Builder, i *InstanceView) {
	fmt.Fprintf(b, "%+v %s %v %v %+v %v %+v %s %d:",
		i.Key, wire(i.Instance), i.Addr, i.Health, i.Meta, i.DrainUntil.UnixMilli(), i.space, origin(i.Origin), i.SourceRevision)
	for _, p := range i.parts {
		fmt.Fprintf(b, " %s %s %+v %s %d %d;", p.id, wire(p.check), p.meta, wire(p.status), p.checkAt, p.statusAt)
	}
	for n := range i.Checks {
		fmt.Fprintf(b, " %s=%v", i.Checks[n].GetId(), i.Status[n].GetHealth())
	}
	b.WriteByte('\n')
}

func origin(o *record.Origin) string {
	if o == nil {
		return "here"
	}
	return fmt.Sprintf("%+v", *o)
}

func wire[M interface {
	comparable
	proto.Message
}](m M) string {
	var none M
	if m == none {
		return "-"
	}
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%q", out)
}

func pairs[K, V any](keys []K, values []V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i, k := range keys {
			if !yield(k, values[i]) {
				return
			}
		}
	}
}

// firstDifference makes a failed comparison of dumps readable.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d:\n  %s\n  %s", i+1, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d and %d lines", len(x), len(y))
}

func requireSame(t failer, what string, got, want *View) {
	t.Helper()
	if g, w := dump(got), dump(want); g != w {
		t.Fatalf("%s: %s", what, firstDifference(g, w))
	}
}

func keys[V any](t *testing.T, seq iter.Seq[V], name func(V) string) []string {
	t.Helper()
	out := []string{}
	for v := range seq {
		out = append(out, name(v))
	}
	return out
}
