package server

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/federation"
	"supercluster/internal/fault"
	"supercluster/region/record"
	"supercluster/registry"
)

// oldCopy is a Sources that knows dc2.
type oldCopy struct{ age atomic.Int64 }

func (c *oldCopy) Ages() func([16]byte) (time.Duration, bool) {
	age := time.Duration(c.age.Load())
	return func(region [16]byte) (time.Duration, bool) { return age, region == [16]byte{2} }
}

func (c *oldCopy) Standing(federation.Watched) ([]federation.Standing, record.Positions, error) {
	return nil, record.Positions{}, nil
}

// heardViews and heardRegion have dc2 answer right after a read took what it shows: it shows the copy of before.
type heardViews struct {
	Views
	source *oldCopy
}

func (v heardViews) View() *registry.View {
	defer v.source.age.Store(0)
	return v.Views.View()
}

type heardRegion struct {
	Region
	source *oldCopy
}

func (r heardRegion) Get(ctx context.Context, k record.Key, revision uint64, level record.Level) (record.Record, bool, record.Freshness, error) {
	defer r.source.age.Store(0)
	return r.Region.Get(ctx, k, revision, level)
}

func (r heardRegion) Range(ctx context.Context, rng record.Range, revision uint64, level record.Level) (record.RangeResult, record.Freshness, error) {
	defer r.source.age.Store(0)
	return r.Region.Range(ctx, rng, revision, level)
}

func (r heardRegion) History(ctx context.Context, k record.Key, limit int) ([]record.Record, record.Freshness, error) {
	defer r.source.age.Store(0)
	return r.Region.History(ctx, k, limit)
}

// An age is that of before the read: a copy that becomes new while the answer is made is not what the answer shows.
func TestAges_AreOfBeforeTheRead(t *testing.T) {
	source := &oldCopy{}
	h := newHarness(t, func(c *Config) { c.Views, c.Sources = heardViews{c.Views, source}, source })
	h.region.imported(t, &pb.Instance{Service: "web", Id: "a", Address: "10.2.0.1", Port: 80})
	tests := map[string]func() *pb.Source{
		"lookup": func() *pb.Source {
			got, err := h.registry.Lookup(t.Context(), &pb.LookupRequest{Service: "web", Region: "dc2"})
			if err != nil {
				t.Fatal(err)
			}
			return got.GetEndpoints()[0].GetSource()
		},
		"instances": func() *pb.Source {
			got, err := h.registry.ListInstances(t.Context(), &pb.ListInstancesRequest{Service: "web", Region: "dc2"})
			if err != nil {
				t.Fatal(err)
			}
			return got.GetInstances()[0].GetSource()
		},
		"explain": func() *pb.Source {
			got, err := h.registry.Explain(t.Context(), &pb.ExplainRequest{Service: "web", Region: "dc2"})
			if err != nil {
				t.Fatal(err)
			}
			return got.GetEndpoints()[0].GetRecords()[0].GetSource()
		},
	}
	for name, read := range tests {
		t.Run(name, func(t *testing.T) {
			eventually(t, func() bool { // the server itself may look at the view between the two
				source.age.Store(int64(7 * time.Second))
				return read().GetAge().AsDuration() == 7*time.Second
			})
		})
	}
}

// A bounded read is judged by the age of before it too.
func TestBounded_JudgesTheAgeOfBeforeTheRead(t *testing.T) {
	source := &oldCopy{}
	a, _, _, _ := pair(t, func(c *Config) { c.Region, c.Sources = heardRegion{c.Region, source}, source })
	bound := &pb.ReadOptions{Consistency: pb.Consistency_CONSISTENCY_BOUNDED, MaxAge: durationpb.New(5 * time.Second)}
	tests := map[string]func() error{
		"get": func() error {
			_, err := a.config.GetConfig(t.Context(), &pb.GetConfigRequest{Name: "dc2/x", Read: bound})
			return err
		},
		"list": func() error {
			_, err := a.config.ListConfigs(t.Context(), &pb.ListConfigsRequest{Prefix: "dc2/", Read: bound})
			return err
		},
		"history": func() error {
			_, err := a.config.ListConfigHistory(t.Context(), &pb.ListConfigHistoryRequest{Name: "dc2/x", Read: bound})
			return err
		},
	}
	for name, read := range tests {
		source.age.Store(int64(7 * time.Second))
		if err := read(); !fault.Is(fromGRPC(err), fault.Unavailable) {
			t.Errorf("%s: %v, want that the copy is too old", name, err)
		}
	}
}

// A watch that is behind shows an old copy, whatever was heard of the region meanwhile.
func TestWatch_LooksAtAgesWhenItHasCaughtUp(t *testing.T) {
	source := &oldCopy{}
	h := newHarness(t, func(c *Config) { c.Sources = source })
	w, f := watchService{s: h.Server}, &eventFilter{}
	age := func() time.Duration {
		return f.reading.placed(&record.Origin{Home: [16]byte{2}}, 1).GetAge().AsDuration()
	}
	now := h.region.Freshness().Positions

	source.age.Store(int64(7 * time.Second))
	w.look(f, record.Positions{})
	source.age.Store(0)
	f.taken = f.taken.Add(-agesEvery)
	behind := now
	behind.Data--
	if w.look(f, behind); age() != 7*time.Second {
		t.Errorf("a watch that is behind calls the copy %v old, want 7 s", age())
	}
	if w.look(f, now); age() != 0 {
		t.Errorf("a watch that has everything calls the copy %v old, want 0", age())
	}
}
