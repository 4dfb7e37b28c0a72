package health

import (
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	pb "supercluster/api/gen/supercluster/v1"
	"supercluster/internal/bubble"
)

func TestMetrics(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		reader := sdkmetric.NewManualReader()
		r, w := newRegion(t), newWorld()
		r.node("n1")
		cfg := r.nodes["n1"].cfg
		cfg.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("health")
		n := w.attach(New(cfg))
		t.Cleanup(run(t, n))
		r.register(tcpInstance("web", "1", 1))
		r.register(ttlInstance("web", "2", 10))
		synctest.Wait()
		beat(t, n, &pb.HeartbeatTarget{Service: "web", Instance: "2"})
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		var data metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &data); err != nil {
			t.Fatal(err)
		}
		got := map[string]int64{}
		for _, m := range data.ScopeMetrics[0].Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					got[m.Name] += p.Value
				}
			case metricdata.Gauge[int64]:
				got[m.Name] = d.DataPoints[0].Value
			case metricdata.Histogram[float64]:
				got[m.Name] = int64(d.DataPoints[0].Count)
			}
		}
		for name, want := range map[string]int64{
			"supercluster.health.probes": 1, "supercluster.health.probe.delay": 1, "supercluster.health.transitions": 2,
			"supercluster.health.writes": 2, "supercluster.health.heartbeats": 1, "supercluster.health.sessions": 1,
			"supercluster.health.checks": 1,
		} {
			if got[name] != want {
				t.Errorf("%s = %d, want %d", name, got[name], want)
			}
		}
	})
}
