package telemetry

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/metric"
)

// What was registered is listed under the names of Prometheus text, also without a value.
func TestInstruments(t *testing.T) {
	tel := make1(t, Config{})
	m := tel.Meter("test")
	counter, _ := m.Int64Counter("supercluster.test.things", metric.WithDescription("Things."))
	sent, _ := m.Int64Counter("supercluster.test.sent", metric.WithUnit("By"))
	gauge, _ := m.Float64Gauge("supercluster.test.age", metric.WithUnit("s"))
	reads, _ := m.Int64Histogram("supercluster.test.reads", metric.WithUnit("{read}"))
	want := []Instrument{
		{"supercluster_test_age_seconds", "gauge", ""},
		{"supercluster_test_reads", "histogram", ""},
		{"supercluster_test_sent_bytes_total", "counter", ""},
		{"supercluster_test_things_total", "counter", "Things."},
	}
	if got := tel.Instruments(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	counter.Add(t.Context(), 1)
	sent.Add(t.Context(), 1)
	gauge.Record(t.Context(), 1)
	reads.Record(t.Context(), 1)
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, i := range want {
		if !strings.Contains(w.Body.String(), "# TYPE "+i.Name+" "+i.Kind+"\n") {
			t.Errorf("a scrape lacks %s:\n%s", i.Name, w.Body.String())
		}
	}
}
