package federation

import (
	"context"
	"math"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"supercluster/internal/bubble"
	"supercluster/internal/fault"
	"supercluster/region/record"
)

// gauges are the figures that a node shows of its peers.
type gauges struct {
	t      *testing.T
	reader *sdkmetric.ManualReader
}

func gaugesOf(t *testing.T, f *Federation) *gauges {
	t.Helper()
	g := &gauges{t, sdkmetric.NewManualReader()}
	registered, err := copyGauges(sdkmetric.NewMeterProvider(sdkmetric.WithReader(g.reader)).Meter(""), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = registered.Unregister() })
	return g
}

// of gives a figure of a region, and of a class of its channels where one is named; false: it is not shown.
func (g *gauges) of(name, region, class string) (float64, bool) {
	g.t.Helper()
	var all metricdata.ResourceMetrics
	if err := g.reader.Collect(context.Background(), &all); err != nil {
		g.t.Fatal(err)
	}
	want := []attribute.KeyValue{attribute.String("region", region)}
	if class != "" {
		want = append(want, attribute.String("class", class))
	}
	at := attribute.NewSet(want...)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "supercluster.federation."+name {
				continue
			}
			if data, ok := m.Data.(metricdata.Gauge[int64]); ok {
				return pointOf(data.DataPoints, at)
			}
			return pointOf(m.Data.(metricdata.Gauge[float64]).DataPoints, at)
		}
	}
	return 0, false
}

func pointOf[N int64 | float64](points []metricdata.DataPoint[N], at attribute.Set) (float64, bool) {
	for _, p := range points {
		if p.Attributes.Equals(&at) {
			return float64(p.Value), true
		}
	}
	return 0, false
}

// is reports whether a figure is shown and has a value.
func (g *gauges) is(name, region, class string, want float64) bool {
	g.t.Helper()
	got, shown := g.of(name, region, class)
	return shown && got == want
}

// What is known to be elsewhere and cannot be taken over counts as behind, in its class alone.
func TestMetrics_Behind(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		b.put(instance("web/1"), "one")
		w.converge(15 * time.Second)
		shown := gaugesOf(t, b.fed())
		if !shown.is("behind", "alpha", "config", 0) || !shown.is("link.up", "alpha", "", 1) {
			t.Error("what has everything is behind, or its link not up")
		}
		b.store.mu.Lock()
		b.store.refuse = func(op *record.Op) error {
			if op.Type == record.OpImport {
				return fault.New(fault.Exhausted, "the disk is full")
			}
			return nil
		}
		b.store.mu.Unlock()
		for _, name := range []string{"one", "two", "three"} {
			a.put(config(name), "new")
		}
		w.until(10*time.Second, "three records are behind", func() bool { return shown.is("behind", "alpha", "config", 3) })
		if !shown.is("behind", "alpha", "services", 0) {
			t.Error("another class is behind, too")
		}
		b.store.mu.Lock()
		b.store.refuse = nil
		b.store.mu.Unlock()
		w.until(20*time.Second, "nothing is behind any more", func() bool { return shown.is("behind", "alpha", "config", 0) })
	})
}

// A copy of which nobody knows how old it is has an age that every alert rule finds too large: after a start while the peer is not
// reached. What only the node that leads knows, others do not show.
func TestMetrics_AgeOfAPeerThatIsNotReached(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.two()
		a.put(config("one"), "old")
		w.converge(15 * time.Second)
		if age, shown := gaugesOf(t, b.fed()).of("age", "alpha", ""); !shown || age > 5 {
			t.Errorf("the copy is %v s old, shown %v", age, shown)
		}
		w.cut(a, b)
		b.servers[0].stop()
		follower := b.start("n2")
		shown := gaugesOf(t, follower.fed)
		w.until(10*time.Second, "its age is infinite", func() bool { return shown.is("age", "alpha", "", math.Inf(1)) })
		if _, links := shown.of("link.up", "alpha", ""); links {
			t.Error("a node that does not lead shows a link")
		}
		b.store.lead("n2")
		w.until(10*time.Second, "the link is shown", func() bool { return shown.is("link.up", "alpha", "", 0) })
		if !shown.is("age", "alpha", "", math.Inf(1)) {
			t.Error("the age of a peer that was not heard since the start is not infinite")
		}
		w.heal(a, b)
		w.until(20*time.Second, "the copy is fresh", func() bool {
			age, known := shown.of("age", "alpha", "")
			return known && age < 5 && shown.is("link.up", "alpha", "", 1)
		})
	})
}

// Nothing is old of a peer of which nothing ever came: its link says how it is.
func TestMetrics_NothingCameYet(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t, 40*time.Millisecond)
		defer w.close()
		a, b := w.region("alpha"), w.region("beta")
		w.cut(a, b)
		a.knows(b)
		shown := gaugesOf(t, a.fed())
		w.until(10*time.Second, "the link is shown", func() bool { return shown.is("link.up", "beta", "", 0) })
		if age, known := shown.of("age", "beta", ""); known {
			t.Errorf("nothing is %v s old", age)
		}
	})
}
