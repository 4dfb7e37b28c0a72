package store

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestMetrics(t *testing.T) {
	reader := sdk.NewManualReader()
	cfg := testConfig(vfs.NewMem())
	cfg.Meter = sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	r := start(t, cfg)
	r.must(put("a", "1"))
	r.value("a")
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range data.ScopeMetrics[0].Metrics {
		names = append(names, m.Name)
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			if m.Name == "supercluster.store.cache.hits" && d.DataPoints[0].Value != 1 {
				t.Errorf("%s = %d", m.Name, d.DataPoints[0].Value)
			}
		case metricdata.Gauge[int64]:
			if d.DataPoints[0].Value <= 0 {
				t.Errorf("%s = %d", m.Name, d.DataPoints[0].Value)
			}
		}
	}
	slices.Sort(names)
	want := []string{
		"supercluster.store.applied", "supercluster.store.apply.entries", "supercluster.store.apply.time",
		"supercluster.store.cache.hits", "supercluster.store.cache.misses", "supercluster.store.disk.state",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the metrics are %v, want %v", names, want)
	}
}
